"""Progress output never ends work: with closed, full or dropped streams a command does all it would do otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from avatar.data.capture_folder import Capture
from avatar.model.avatar_file import load_avatar
from tests.support.streams import ROOT, run_all

pytestmark = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's /dev/full and fork")
#: Streams during a training.
DURING_TRAINING = ("closed", "full", "unread", "ascii", "dropped terminal")
QUICK = "steps = 6\ngaussians = 300\nbases = 3\nsize = 48\nrefine_at = 1.0\n"


@pytest.fixture(scope="module")
def codes(tiny: Capture, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, Path]]:
    """Exit code and folder of each run: trainings, and `info` on the last trained avatar."""
    root = tmp_path_factory.mktemp("streams")
    (root / "quick.toml").write_text(QUICK)
    runs = []
    for name in DURING_TRAINING:
        folder = root / name.replace(" ", "_")
        folder.mkdir()
        arguments = ["train", str(tiny.root), "-o", str(folder / "zoë.avatar"), "--config", str(root / "quick.toml")]
        runs.append({"arguments": arguments, "streams": name, "log": str(folder / "log")})
    trained = str(root / "ascii" / "zoë.avatar")
    for name in ("unread results", "full results"):
        folder = root / name.replace(" ", "_")
        folder.mkdir()
        runs.append({"arguments": ["info", trained], "streams": name, "log": str(folder / "log")})
    return {str(run["streams"]): (code, Path(run["log"]).parent) for run, code in zip(runs, run_all(runs), strict=True)}


@pytest.mark.parametrize("name", DURING_TRAINING)
def test_a_training_without_readers_ends_with_a_whole_avatar(codes: dict[str, tuple[int, Path]], name: str) -> None:
    code, folder = codes[name]
    assert code == 0, (folder / "log").read_text()
    assert load_avatar(folder / "zoë.avatar").provenance["steps"] == 6
    names = {"log", "zoë.avatar", "zoë.toml", "zoë.report.json", "zoë.preview.png"}
    assert {path.name for path in folder.iterdir()} == names


def test_characters_that_the_encoding_lacks_are_escaped(codes: dict[str, tuple[int, Path]]) -> None:
    log = (codes["ascii"][1] / "log").read_text(encoding="ascii")
    assert "zo\\xeb.avatar: 300 Gaussians" in log


def test_a_reader_that_exits_early_ends_a_command_quietly(codes: dict[str, tuple[int, Path]]) -> None:
    code, folder = codes["unread results"]
    assert (code, (folder / "log").read_text()) == (0, "")


def test_results_that_cannot_be_printed_are_an_error(codes: dict[str, tuple[int, Path]]) -> None:
    code, folder = codes["full results"]
    assert code == 1
    (line,) = (folder / "log").read_text().splitlines()
    assert line.startswith("headsplat: standard output: the disk is full; free some space")


@pytest.mark.parametrize(
    ("shell", "code", "stderr"),
    [
        ("--version >&-", 0, ""),
        ("--version 2>&- | true", 0, ""),
        ("--version >/dev/full", 1, "headsplat: standard output: the disk is full"),
        ("info none.avatar 2>&-", 1, ""),
        ("info none.avatar 2>/dev/full", 1, ""),
        ("info none.avatar <&- >&- 2>&-", 1, ""),
    ],
)
def test_exit_codes_do_not_depend_on_the_streams(shell: str, code: int, stderr: str) -> None:
    command = ["bash", "-o", "pipefail", "-c", f"{sys.executable} -m avatar.cli {shell}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == code
    assert done.stderr.startswith(stderr) if stderr else done.stderr == ""
