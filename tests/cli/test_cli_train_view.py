"""`headsplat train --view`: the training beside a window, here mostly one that is only told to be there."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from avatar import cli
from avatar.cli import train_view
from avatar.data.capture_folder import Capture
from avatar.errors import HeadsplatError
from avatar.training.snapshot import SnapshotBuffer
from avatar.training.trainer import Trainer

FAST = "steps = 12\ngaussians = 300\nbases = 3\nsize = 48\nrefine_at = 1.0\n"
ENDLESS = FAST.replace("steps = 12", "steps = 1000000")
Window = Callable[[SnapshotBuffer, "Future[int]"], None]


@pytest.fixture
def arguments(tiny: Capture, tmp_path: Path) -> list[str]:
    (tmp_path / "fast.toml").write_text(FAST)
    out, config = str(tmp_path / "a.avatar"), str(tmp_path / "fast.toml")
    return ["train", str(tiny.root), "-o", out, "--config", config, "--view"]


@pytest.fixture
def windowed(monkeypatch: pytest.MonkeyPatch) -> Callable[[Window], None]:
    """Puts a function in the window's place."""

    def use(window: Window) -> None:
        monkeypatch.setattr(train_view, "check_window", lambda: None)
        monkeypatch.setattr(train_view, "_window", lambda training, first: window(training.growth, training.code))

    return use


def ended(training: Future[int]) -> None:
    """A window that stays until the training has ended, however it does."""
    training.exception()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_without_a_display_nothing_is_begun(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    assert cli.main(arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "there is no display for the window" in line
    assert names(tmp_path) == {"fast.toml"}


def test_a_window_that_stays_sees_the_finished_avatar_and_its_files_written(
    arguments: list[str], windowed: Callable[[Window], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[Any] = []

    def window(growth: SnapshotBuffer, training: Future[int]) -> None:
        ended(training)
        seen.extend((growth.finished, growth.take(), names(tmp_path), capsys.readouterr().out))

    windowed(window)
    assert cli.main(arguments) == 0
    finished, avatar, written, told = seen
    assert finished and avatar is not None and avatar.summary["steps"] == 12
    assert {"a.avatar", "a.toml", "a.report.json"} <= written and "a.checkpoint" not in written
    assert "a.avatar: 300 Gaussians" in told


def test_a_real_window_shows_the_avatar_growing_to_its_end(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not os.environ.get("DISPLAY"):
        pytest.skip("no X server here: DISPLAY is not set")
    from viewer.session.session import Session

    advance, shown = Session.advance, []

    def looked_at(session: Session) -> bool:
        changed = advance(session)
        shown.append((session.avatar.summary.get("steps"), session.state.status.growing, session.picture is not None))
        if session.state.status.growing.startswith("trained"):
            session.closing = True
        return changed

    monkeypatch.setenv("HOME", str(tmp_path))  # where the window would keep its layout
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(Session, "advance", looked_at)
    assert cli.main(arguments) == 0
    steps, words, drawn = shown[-1]
    assert steps == 12 and words.startswith("trained: 12 steps") and drawn


def test_a_closed_window_leaves_the_training_to_its_end_and_says_so_once(
    arguments: list[str], windowed: Callable[[Window], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    windowed(lambda growth, training: None)
    assert cli.main(arguments) == 0
    assert capsys.readouterr().err.count("the window is closed and the training goes on; Ctrl-C stops it") == 1
    assert (tmp_path / "a.avatar").exists()


def test_a_window_that_fails_does_not_cost_the_training(
    arguments: list[str], windowed: Callable[[Window], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def window(growth: SnapshotBuffer, training: Future[int]) -> None:
        raise HeadsplatError("no window could be opened")

    windowed(window)
    assert cli.main(arguments) == 0
    assert "no window could be opened; the training goes on without the window" in capsys.readouterr().err
    assert (tmp_path / "a.avatar").exists()


def test_an_error_of_the_training_is_reported_as_without_a_window(
    arguments: list[str],
    windowed: Callable[[Window], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    windowed(lambda growth, training: ended(training))
    monkeypatch.setattr(Trainer, "step", lambda *_: float("nan"))
    assert cli.main(arguments) == 1
    assert "headsplat: training diverged at step 0; try" in capsys.readouterr().err.splitlines()[-1]


def test_ctrl_c_saves_what_there_is_beside_a_window(
    arguments: list[str], windowed: Callable[[Window], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def window(growth: SnapshotBuffer, training: Future[int]) -> None:
        signal.raise_signal(signal.SIGINT)
        ended(training)

    (tmp_path / "fast.toml").write_text(ENDLESS)
    windowed(window)
    assert cli.main(arguments) == 130
    told = capsys.readouterr().err
    assert "stopping after this step" in told and "--resume goes on from there" in told.splitlines()[-1]
    assert {"a.avatar", "a.checkpoint"} <= names(tmp_path)


def test_a_second_ctrl_c_gives_up_without_saving(
    arguments: list[str], windowed: Callable[[Window], None], tmp_path: Path
) -> None:
    def window(growth: SnapshotBuffer, training: Future[int]) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    (tmp_path / "fast.toml").write_text(ENDLESS)
    windowed(window)
    assert cli.main(arguments) == 130
    assert not {"a.avatar", "a.checkpoint"} & names(tmp_path)
