"""The landmark network of the capture, for measures of `headsplat eval`; nothing is downloaded for them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from avatar.errors import HeadsplatError

if TYPE_CHECKING:
    import numpy as np

    from avatar.evaluation.landmarks import Landmarker

_MODEL = "face_landmarks_attention"


def landmarker() -> Landmarker:
    """The landmark network where its model is on this machine; else the reason why it is not."""
    from avatar.evaluation.landmarks import Landmarker
    from capture.networks.models import model_path

    try:
        model_path(_MODEL, _no_download)
    except HeadsplatError:
        reason = "not measured, the face models are not on this machine (`headsplat capture` fetches them)"
        return Landmarker(None, reason)
    from capture.faces.landmarks import LandmarkTracker, Roi
    from capture.live.replay import replayed
    from capture.stages.landmarks import PRESENT

    tracker = LandmarkTracker()

    def locate(rgb: np.ndarray, start: np.ndarray) -> np.ndarray | None:
        """The second search starts from the result of the first, so that the two images do not share its region."""
        found = tracker.locate(rgb, Roi.from_landmarks(start))
        if found.presence >= PRESENT:
            found = tracker.locate(rgb, Roi.from_landmarks(found.points))
        return found.points if found.presence >= PRESENT else None

    return Landmarker(locate, track_live=replayed)


def _no_download(folder: Path) -> None:
    raise OSError("not requested")
