"""Random synthetic people who show action units, filmed and tracked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avatar.data.capture_folder import METADATA_FILE, Capture
from avatar.head.arkit import ARKIT_52
from avatar.performance.facs.table import FacsTable
from avatar.performance.facs.units import UnitReader
from capture.options import CaptureOptions
from capture.pipeline import run_capture
from capture.synthetic.options import SyntheticOptions
from capture.synthetic.scripts import SCRIPTS, Script
from capture.synthetic.video import make_video

#: Units that a person can show alone, and that a camera can see.
UNITS = (
    "AU1", "AU2", "AU4", "AU5", "AU6", "AU7", "AU9", "AU10", "AU12", "AU14", "AU15", "AU16", "AU17", "AU18", "AU20",
    "AU22", "AU24", "AU26", "AU28", "AU34", "AU43",
)  # fmt: skip


def expressions_of(sides: NDArray[np.float64], table: FacsTable) -> dict[str, float]:
    """Expression weights by name of intensities [U,2] of the units of `table`."""
    weights = UnitReader(table).weights(sides[None])[0]
    return {name: float(weight) for name, weight in zip(ARKIT_52, weights, strict=True) if weight}


def intensities(table: FacsTable, **units: float) -> NDArray[np.float64]:
    """Intensities [U,2] of units by their key, on both sides."""
    sides = np.zeros((len(table.units), 2))
    for key, value in units.items():
        sides[table.keys.index(key)] = value
    return sides


def film(stem: Path, seed: int, script: Script | None, **scene: Any) -> Capture:
    """The capture of one person, filmed as `stem`.mp4 with its truth beside it; made where it is not there.

    Args:
        stem: path of the video and of the capture folder, without a suffix.
        seed: of the person.
        script: what the person shows; None: the `performance` in `scene`.
        scene: other options of the film.
    """
    video, folder = stem.with_suffix(".mp4"), stem.with_suffix(".capture")
    if (folder / METADATA_FILE).is_file():
        return Capture.load(folder)
    stem.parent.mkdir(parents=True, exist_ok=True)
    if script is not None:
        SCRIPTS["units"] = script
        scene["performance"] = "units"
    options = SyntheticOptions(seed=seed, person="random", width=320, height=400, handheld=0.5, **scene)
    if not video.is_file():
        make_video(video, options, save_truth=True)
    return run_capture(video, folder, CaptureOptions(max_frames=5000))
