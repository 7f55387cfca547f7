"""A capture of the frames that a film has so far, made while it grows."""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

from avatar.data.capture_folder import Capture
from capture.film.folder import open_film
from capture.options import CaptureOptions, FaceModels
from capture.pipeline import SourceTraits, capture_frames

#: Of the folder of the frames, beside the capture.
FRAMES_SUFFIX = ".frames"
#: A person is recognized in so few frames.
_TRAITS = SourceTraits(least_frames=8)


def count_frames(film: Path) -> int:
    """Number of frames in the folder `film` now."""
    with suppress(OSError):
        return sum(entry.name.endswith(".png") for entry in os.scandir(film))
    return 0


def capture_so_far(film: Path, out: Path, models: FaceModels | None = None) -> Capture:
    """Capture the frames in the folder `film` now; the film is neither changed nor waited for.

    Args:
        film: from `growing_film`.
        out: the capture folder to make; the frames are linked or copied beside it.
        models: makers of the networks.

    Raises:
        HeadsplatError: too few of them show a face.
    """
    frames = out.with_suffix(FRAMES_SUFFIX)
    frames.mkdir(parents=True)
    for path in sorted(film.glob("*.png")):
        with suppress(FileNotFoundError):  # dropped meanwhile: another frame shows more
            _link(path, frames / path.name)
    video = open_film(frames, out)
    metadata = {"name": film.name, "sha256": secrets.token_hex(32)}
    return capture_frames(video, len(video), metadata, out, CaptureOptions(), None, models, _TRAITS)


def _link(path: Path, target: Path) -> None:
    try:
        os.link(path, target)
    except FileNotFoundError:
        raise
    except OSError:  # another volume, or a file system without links
        shutil.copyfile(path, target)
