"""`headsplat train --view`: training with a window, which most tests replace by a function."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from avatar import cli
from avatar.data.capture_folder import Capture
from avatar.errors import HeadsplatError
from avatar.jobs import training_window
from avatar.jobs.training_outputs import TrainedAvatar
from avatar.training.snapshot import SnapshotBuffer
from avatar.training.trainer import Trainer

FAST = "steps = 12\ngaussians = 300\nbases = 3\nsize = 48\nrefine_at = 1.0\n"
ENDLESS = FAST.replace("steps = 12", "steps = 1000000")
Window = Callable[[SnapshotBuffer, "Future[TrainedAvatar]"], None]


@pytest.fixture
def arguments(tiny: Capture, tmp_path: Path) -> list[str]:
    (tmp_path / "fast.toml").write_text(FAST)
    out, config = str(tmp_path / "a.avatar"), str(tmp_path / "fast.toml")
    return ["train", str(tiny.root), "-o", out, "--config", config, "--view"]


@pytest.fixture
def windowed(monkeypatch: pytest.MonkeyPatch) -> Callable[[Window], None]:
    """Replaces the window by a function."""

    def use(window: Window) -> None:
        monkeypatch.setattr(training_window, "check_window", lambda: None)
        monkeypatch.setattr(
            training_window, "_window", lambda training, first: window(training.snapshots, training.trained)
        )

    return use


def ended(training: Future[TrainedAvatar]) -> None:
    """Wait until the training has ended, with or without an error."""
    training.exception()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_without_a_display_nothing_is_started(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    assert cli.main(arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "there is no display for the window" in line
    assert names(tmp_path) == {"fast.toml"}


def test_an_open_window_gets_the_finished_avatar_after_its_files_are_written(
    arguments: list[str], windowed: Callable[[Window], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[Any] = []

    def window(snapshots: SnapshotBuffer, training: Future[TrainedAvatar]) -> None:
        ended(training)
        seen.extend((snapshots.finished, snapshots.take(), names(tmp_path), capsys.readouterr().out))

    windowed(window)
    assert cli.main(arguments) == 0
    finished, avatar, written, printed = seen
    assert finished and avatar is not None and avatar.provenance["steps"] == 12
    assert {"a.avatar", "a.toml", "a.report.json"} <= written and "a.checkpoint" not in written
    assert "a.avatar: 300 Gaussians" in printed


def test_a_real_window_shows_the_avatar_until_the_training_ends(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not os.environ.get("DISPLAY"):
        pytest.skip("no X server here: DISPLAY is not set")
    from viewer.session.session import Session

    advance, shown = Session.advance, []

    def recorded(session: Session) -> bool:
        changed = advance(session)
        text, has_image = session.state.status.training, session.viewport.image is not None
        shown.append((session.avatar.provenance.get("steps"), text, has_image))
        if text.startswith("trained"):
            session.closing = True
        return changed

    monkeypatch.setenv("HOME", str(tmp_path))  # the window saves its layout there
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(Session, "advance", recorded)
    assert cli.main(arguments) == 0
    steps, text, has_image = shown[-1]
    assert steps == 12 and text.startswith("trained: 12 steps") and has_image


def test_closing_the_window_does_not_end_the_training_and_is_reported_once(
    arguments: list[str], windowed: Callable[[Window], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    windowed(lambda snapshots, training: None)
    assert cli.main(arguments) == 0
    assert capsys.readouterr().err.count("the window is closed, the training continues; Ctrl-C stops it") == 1
    assert (tmp_path / "a.avatar").exists()


def test_an_error_of_the_window_does_not_end_the_training(
    arguments: list[str], windowed: Callable[[Window], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def window(snapshots: SnapshotBuffer, training: Future[TrainedAvatar]) -> None:
        raise HeadsplatError("no window could be opened")

    windowed(window)
    assert cli.main(arguments) == 0
    assert "no window could be opened; the training continues without the window" in capsys.readouterr().err
    assert (tmp_path / "a.avatar").exists()


def test_an_error_of_the_training_is_reported_as_without_a_window(
    arguments: list[str],
    windowed: Callable[[Window], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    windowed(lambda snapshots, training: ended(training))
    monkeypatch.setattr(Trainer, "step", lambda *_: float("nan"))
    assert cli.main(arguments) == 1
    assert "headsplat: training diverged at step 0; try" in capsys.readouterr().err.splitlines()[-1]


def test_ctrl_c_saves_the_avatar_while_a_window_is_open(
    arguments: list[str], windowed: Callable[[Window], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def window(snapshots: SnapshotBuffer, training: Future[TrainedAvatar]) -> None:
        signal.raise_signal(signal.SIGINT)
        ended(training)

    (tmp_path / "fast.toml").write_text(ENDLESS)
    windowed(window)
    assert cli.main(arguments) == 130
    text = capsys.readouterr().err
    assert "stopping after this step" in text and "--resume continues the training" in text.splitlines()[-1]
    assert {"a.avatar", "a.checkpoint"} <= names(tmp_path)


def test_a_second_ctrl_c_quits_without_saving(
    arguments: list[str], windowed: Callable[[Window], None], tmp_path: Path
) -> None:
    def window(snapshots: SnapshotBuffer, training: Future[TrainedAvatar]) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    (tmp_path / "fast.toml").write_text(ENDLESS)
    windowed(window)
    assert cli.main(arguments) == 130
    assert not {"a.avatar", "a.checkpoint"} & names(tmp_path)
