"""The result of a training."""

from __future__ import annotations

from dataclasses import dataclass

from avatar.model.avatar import Avatar
from avatar.refine.track import RefinedTrack
from avatar.training.report import TrainReport


@dataclass(frozen=True)
class TrainResult:
    """A trained avatar, figures of its training, and the refined poses of the training frames."""

    avatar: Avatar
    report: TrainReport
    refined_track: RefinedTrack | None  # None if no frames were refined
