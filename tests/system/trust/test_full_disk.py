"""A full disk ends no training: checkpoints are tried again, and results that cannot be written are kept elsewhere."""

from __future__ import annotations

import logging
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import avatar.training.fit
from avatar import cli
from avatar.data.capture_folder import Capture
from avatar.model.avatar_file import load_avatar
from avatar.training.trainer import Trainer

ROOT = Path(__file__).parents[3]
QUICK = "steps = 12\ngaussians = 300\nbases = 3\nsize = 48\nrefine_at = 1.0\n"
#: The command with a checkpoint after every step.
COMMAND = (
    "import sys, avatar.training.fit; avatar.training.fit.CHECKPOINT_SECONDS = 0.0; "
    "from avatar.cli import main; sys.exit(main())"
)
#: A command in its own mount namespace, where a disk of 64 kB is mounted at the first argument.
SMALL_DISK = 'mount -t tmpfs -o size=64k none "$0" && "$@"; code=$?; ls -A "$0" >&2; exit $code'


@pytest.fixture
def rescue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary directory of the system, for this test."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return tmp_path / "temporary"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    (tmp_path / "quick.toml").write_text(QUICK)
    return tmp_path / "out"


def arguments(tiny: Capture, out: Path, *flags: str) -> list[str]:
    config = str(out.parent / "quick.toml")
    return ["train", str(tiny.root), "-o", str(out / "me.avatar"), "--config", config, *flags]


@pytest.fixture
def during(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[int, Callable[[], Any]]], None]:
    """Checkpoints after every step, and functions that are called before the step of their number."""

    def use(actions: dict[int, Callable[[], Any]]) -> None:
        step = Trainer.step

        def acting(trainer: Trainer, fraction: float) -> float:
            actions.get(trainer.steps_done, lambda: None)()
            return step(trainer, fraction)

        monkeypatch.setattr(Trainer, "step", acting)
        monkeypatch.setattr(avatar.training.fit, "CHECKPOINT_SECONDS", 0.0)

    return use


def test_results_whose_folder_is_lost_are_kept_in_the_temporary_directory(
    tiny: Capture,
    out: Path,
    rescue: Path,
    during: Callable[[dict[int, Callable[[], Any]]], None],
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    def lose_folder() -> None:
        shutil.rmtree(out)
        out.write_text("a file in the place of the folder")

    during({4: lose_folder})
    with caplog.at_level(logging.WARNING):
        assert cli.main(arguments(tiny, out)) == 1
    assert len([text for text in caplog.messages if text.startswith("no checkpoint")]) == 1
    (folder,) = rescue.iterdir()
    assert folder.stat().st_mode & 0o077 == 0
    assert {path.name for path in folder.iterdir()} == {"me.avatar", "me.toml", "me.report.json"}
    assert load_avatar(folder / "me.avatar").provenance["steps"] == 12
    last = capsys.readouterr().err.splitlines()[-1]
    assert str(out / "me.avatar") in last and f"are kept in {folder}: move them from there" in last


def test_the_checkpoint_of_a_stopped_training_is_kept_elsewhere_and_continues_from_there(
    tiny: Capture,
    out: Path,
    rescue: Path,
    during: Callable[[dict[int, Callable[[], Any]]], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    obstacle = out / "me.checkpoint"
    during({2: lambda: (obstacle.unlink(), obstacle.mkdir()), 5: lambda: signal.raise_signal(signal.SIGINT)})
    assert cli.main(arguments(tiny, out)) == 130
    last = capsys.readouterr().err.splitlines()[-1]
    found = re.search(r"--resume continues the training after (\S+) is moved to (\S+)$", last)
    assert found is not None and Path(found[1]).is_relative_to(rescue) and Path(found[2]) == obstacle
    assert load_avatar(out / "me.avatar").provenance["steps"] == 6

    obstacle.rmdir()
    shutil.move(found[1], obstacle)
    during({})
    assert cli.main(arguments(tiny, out, "--resume")) == 0
    assert load_avatar(out / "me.avatar").provenance["steps"] == 12


def trained(command: list[str], temporary: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=300, check=False, **options
    )


def test_a_training_on_a_full_disk_ends_and_its_avatar_is_kept_elsewhere(
    tiny: Capture, out: Path, tmp_path: Path
) -> None:
    mounting = ["unshare", "--map-root-user", "--mount", "sh", "-c", SMALL_DISK, str(out)]
    if shutil.which("unshare") is None or subprocess.run([*mounting, "true"], capture_output=True).returncode:
        pytest.skip("no mount namespaces for users here")
    done = trained([*mounting, sys.executable, "-c", COMMAND, *arguments(tiny, out)], tmp_path / "temporary")
    assert done.returncode == 1
    assert done.stderr.count("no checkpoint: ") == 1
    assert f"no checkpoint: {out}/me.checkpoint: the disk is full" in done.stderr
    (folder,) = (tmp_path / "temporary").iterdir()
    assert f"are kept in {folder}: move them from there" in done.stderr
    assert load_avatar(folder / "me.avatar").provenance["steps"] == 12
    left = set(done.stderr.splitlines()[-3:]) & {"me.checkpoint.part", "me.checkpoint", "me.avatar"}
    assert not left


def test_a_result_that_fits_nowhere_is_an_error_that_says_so(tiny: Capture, out: Path, tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    command = [sys.executable, "-c", COMMAND, *arguments(tiny, out)]
    done = trained(command, tmp_path / "temporary", preexec_fn=limit)
    assert done.returncode == 1
    assert done.stderr.count("no checkpoint: ") == 1 and "internal error" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert "the avatar could not be kept in the temporary directory either" in last
    assert "--resume cannot continue the training, because no checkpoint could be written" in last
    assert not list((tmp_path / "temporary").iterdir())
    assert {path.suffix for path in out.iterdir()} <= {".png"}
