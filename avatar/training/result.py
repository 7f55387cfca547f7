"""The result of a training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from avatar.model.avatar import Avatar
from avatar.refine.track import RefinedTrack
from avatar.training.report import TrainReport


@dataclass(frozen=True)
class TrainResult:
    """A trained avatar, figures of its training, the refined poses of the training frames, and the last checkpoint."""

    avatar: Avatar
    report: TrainReport
    refined_track: RefinedTrack | None  # None if no frames were refined
    checkpoint: Path | None = None  # of a stopped training; not the requested path if that could not be written
