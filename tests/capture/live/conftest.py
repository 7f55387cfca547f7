"""Fixtures of the live tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from avatar.motion import write_motion
from tests.capture.live.made_up import made_up_take


@pytest.fixture(scope="session")
def take_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made-up take as a .motion.npz. Read only."""
    path = tmp_path_factory.mktemp("take") / "take.motion.npz"
    write_motion(path, made_up_take())
    return path
