"""One avatar, trained on exact poses without refinement, for all tests of the refinement."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from avatar.data.capture_folder import Capture
from avatar.data.training_frames import TrainingFrames, load_frames
from avatar.model.avatar import Avatar
from avatar.refine.options import RefineOptions
from avatar.training.config import TrainConfig
from tests.support.build_cache import cached_avatar
from tests.support.tiny import tiny_capture

SIZE = 96


@dataclass(frozen=True)
class Trained:
    """A capture with exact poses, its training frames, and an avatar trained on them. Read only."""

    capture: Capture
    frames: TrainingFrames
    avatar: Avatar

    @staticmethod
    def on(capture: Capture) -> Trained:
        """An avatar trained for some seconds on `capture`."""
        config = TrainConfig(size=SIZE, steps=250, gaussians=3000, refine_at=1.0)
        avatar = cached_avatar(f"refine_{len(capture)}", capture, config)
        return Trained(capture, load_frames(capture, capture.train_indices, SIZE, avatar.head), avatar)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """24 time steps at 96 pixels, 20 of them for training."""
    return Trained.on(tiny_capture(tmp_path_factory.mktemp("refine") / "capture", size=SIZE))


@pytest.fixture
def options() -> RefineOptions:
    """Refinement at the size of the images."""
    return RefineOptions(size=SIZE, expression_size=SIZE)
