"""Fixtures of the live tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from avatar.motion import write_motion
from tests.capture.live.synthetic import synthetic_motion


@pytest.fixture(scope="session")
def motion_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The synthetic motion as a .motion.npz. Read only."""
    path = tmp_path_factory.mktemp("take") / "take.motion.npz"
    write_motion(path, synthetic_motion())
    return path
