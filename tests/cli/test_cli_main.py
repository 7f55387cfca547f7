"""The command as a whole: help, exit codes and error messages."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from avatar import __version__, cli
from avatar.cli.info import InfoCommand
from avatar.errors import HeadsplatError

ROOT = Path(__file__).parents[2]


def raising(error: BaseException) -> Any:
    def run(command: InfoCommand) -> int:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (HeadsplatError("a.mp4: not a video; give one"), 1, "a.mp4: not a video; give one"),
        (
            KeyboardInterrupt(),
            130,
            "stopped by Ctrl-C; a rendered video or image folder keeps the frames so far",
        ),
        (MemoryError(), 1, "out of memory; use a smaller --size"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), 1, "out of memory; use a smaller"),
        (OSError(errno.ENOSPC, "No space left on device", "me.mp4"), 1, "me.mp4: the disk is full; free some space"),
        (OSError(errno.EACCES, "Permission denied", "me.mp4"), 1, "me.mp4: cannot read it (Permission denied); check"),
        (OSError(errno.EROFS, "Read-only file system", "me.mp4"), 1, "me.mp4: the file system is read-only"),
        (TypeError("oops"), 1, "internal error (TypeError: oops); run again with --debug and report the traceback"),
    ],
)
def test_failure_prints_one_line_and_returns_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: int, sentence: str
) -> None:
    monkeypatch.setattr(InfoCommand, "run", raising(error))
    assert cli.main(["info", "x"]) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"headsplat: {sentence}")
    assert len(printed.err.splitlines()) == 1


@pytest.mark.parametrize("arguments", [["--debug", "info", "x"], ["info", "x", "--debug"]])
def test_debug_prints_the_traceback_at_any_position(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.setattr(InfoCommand, "run", raising(HeadsplatError("broken")))
    assert cli.main(arguments) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ([], "Expected one of"),
        (["trian"], "train"),
        (["train", "x", "-o", "y.avatar", "--szie", "3"], "--size"),
        (["train", "x"], "--out"),
        (["train", "x", "-o", "y.avatar", "--preset", "best"], "quality"),
        (["train", "x", "-o", "y.avatar", "--size", "big"], "--size"),
    ],
)
def test_usage_errors_exit_with_2_and_a_hint(
    capsys: pytest.CaptureFixture[str], arguments: list[str], hint: str
) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(arguments)
    assert left.value.code == 2
    assert hint in capsys.readouterr().err


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"headsplat {__version__}\n"


def test_help_lists_the_commands_without_loading_torch() -> None:
    code = (
        "import sys\nfrom avatar import cli\n"
        "try:\n    cli.main(['--help'])\nexcept SystemExit as left:\n    assert left.code == 0\n"
        "assert not {'torch', 'cv2', 'av', 'numpy'} & set(sys.modules), 'heavy import'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    for name in ("demo", "capture", "train", "eval", "render", "info", "doctor", "bench"):
        assert name in done.stdout


@pytest.mark.skipif(shutil.which("sh") is None, reason="needs a POSIX shell")
@pytest.mark.parametrize("arguments", ["doctor --json", "--help"])
def test_closed_pipe_prints_no_traceback(arguments: str) -> None:
    command = f"{sys.executable} -m avatar.cli {arguments} | true"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, cwd=ROOT, check=False)
    assert "Traceback" not in done.stderr
