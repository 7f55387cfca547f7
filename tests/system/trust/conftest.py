"""Fixtures of the tests of what users rely on: a file of an avatar, and the command line in this process."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from avatar import cli
from avatar.data.capture_folder import Capture
from avatar.head import load_head
from avatar.jobs.render_inputs import capture_entry
from avatar.model.avatar_file import save_avatar
from avatar.training.config import TrainConfig
from avatar.training.fit import fit


@pytest.fixture(scope="session")
def me(tiny: Capture, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of an avatar trained on `tiny` for two steps. Read only."""
    config = TrainConfig(size=48, steps=2, gaussians=300, bases=3, refine_at=1.0)
    path = tmp_path_factory.mktemp("trust") / "me.avatar"
    save_avatar(path, fit(tiny, load_head(), config).avatar, {"capture": capture_entry(tiny)})
    return path


@pytest.fixture
def own(me: Path, tiny: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with copies: me.avatar and the capture `c`."""
    shutil.copy(me, tmp_path / "me.avatar")
    shutil.copytree(tiny.root, tmp_path / "c")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that must fail with one sentence, and returns it."""

    def run(*arguments: Any) -> str:
        capsys.readouterr()
        assert (
            cli.main([os.fspath(argument) if isinstance(argument, Path) else str(argument) for argument in arguments])
            == 1
        )
        message = capsys.readouterr().err.splitlines()[-1]
        assert message.startswith("headsplat: ") and "internal error" not in message
        return message.removeprefix("headsplat: ")

    return run
