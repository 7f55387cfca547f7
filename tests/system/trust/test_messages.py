"""An input that cannot be read is reported as such, and file names that are not UTF-8 work everywhere."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from avatar import cli
from avatar.common.files import atomic_folder, os_error_sentence, path_text, write_error
from avatar.errors import HeadsplatError
from avatar.model.avatar_file import read_header
from capture.sources import folder_digest

Refused = Callable[..., str]
pytestmark = pytest.mark.skipif(os.name != "posix", reason="POSIX file names and permissions")
#: Not UTF-8, as Python represents it.
ODD = os.fsdecode(b"\xff\xe9")
#: Commands that read the file `x` with this suffix.
READERS = {
    "info x.avatar": ".avatar",
    "info x.mp4": ".mp4",
    "train x.mp4 -o new.avatar": ".mp4",
    "capture x.mp4 -o new": ".mp4",
    "train c -o new.avatar --config x.toml": ".toml",
    "render x.avatar --motion c -o new.mp4": ".avatar",
    "render me.avatar --motion x.csv -o new.mp4": ".csv",
    "render me.avatar --motion x.motion.npz -o new.mp4": ".motion.npz",
    "render me.avatar --motion c --camera x.json -o new.mp4": ".json",
    "render me.avatar --motion c --background x.png -o new.mp4": ".png",
    "render me.avatar --motion c --audio x.wav -o new.mp4": ".wav",
    "eval x.avatar c": ".avatar",
    "export x.avatar -o new.ply": ".avatar",
    "motion info x.json": ".json",
    "motion convert x.csv -o new.json": ".csv",
    "head info x.npz": ".npz",
    "head info x.pkl": ".pkl",
    "join x.mp4 -o new.mp4": ".mp4",
    "bench --avatar x.avatar": ".avatar",
}


def unreadable(path: Path, why: str) -> None:
    """Create `path` as a file that is there and cannot be read."""
    if why == "broken":  # reading it is an input/output error, to root as well
        if not Path("/proc/self/mem").exists():
            pytest.skip("needs /proc")
        path.symlink_to("/proc/self/mem")
        return
    path.write_bytes(b"x")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("root may read every file")


@pytest.mark.parametrize(
    ("command", "why"),
    [
        *((command, "denied") for command in READERS),
        # Files of these kinds are refused by their size before they are read.
        *((command, "broken") for command, suffix in READERS.items() if suffix not in (".mp4", ".npz")),
    ],
)
def test_an_unreadable_input_is_reported_as_unreadable(own: Path, refused: Refused, command: str, why: str) -> None:
    unreadable(own / f"x{READERS[command]}", why)
    sentence = refused(*command.split())
    assert f"x{READERS[command]}" in sentence and "read" in sentence
    assert not any(words in sentence for words in ("write to", "choose a place", "choose another place", "with -o"))
    assert not list(own.glob("new*"))


def test_a_refused_input_and_a_refused_output_have_different_sentences() -> None:
    error = PermissionError(errno.EACCES, "Permission denied", "me.mp4")
    assert os_error_sentence(error) == (
        "me.mp4: cannot read it (Permission denied); check its permissions or give another one"
    )
    assert (
        str(write_error(Path("me.mp4"), error)) == "me.mp4: permission denied; choose a place you may write to with -o"
    )


def test_an_input_that_is_read_while_an_output_is_written_is_not_the_output(tmp_path: Path) -> None:
    error = PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "c" / "frames" / "00000.png"))
    with pytest.raises(PermissionError), atomic_folder(tmp_path / "out"):
        raise error
    with (
        pytest.raises(HeadsplatError, match="choose a place you may write to"),
        atomic_folder(tmp_path / "out") as part,
    ):
        raise PermissionError(errno.EACCES, "Permission denied", str(part / "00000.png"))


def test_commands_with_odd_names_write_what_can_be_read_again(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = own / ODD
    folder.mkdir()
    avatar, capture = folder / f"me{ODD}.avatar", folder / f"c{ODD}"
    shutil.copytree(own / "c", capture)
    (folder / f"fast{ODD}.toml").write_text("steps = 2\ngaussians = 300\nbases = 3\nrefine_at = 1.0\n")
    take, video = folder / f"take{ODD}", folder / f"v{ODD}.mp4"
    commands = [
        ["train", capture, "-o", avatar, "--config", folder / f"fast{ODD}.toml", "--size", "48"],
        ["info", avatar],
        ["info", avatar, "--json"],
        ["info", capture, "--json"],
        ["render", avatar, "--motion", capture, "--frames", ":2", "-o", video],
        ["render", avatar, "--motion", capture, "--frames", ":2", "-o", folder / f"frames{ODD}"],
        ["join", video, "-o", folder / f"joined{ODD}.mp4", "--partial"],
        ["join", folder / f"frames{ODD}", "-o", folder / f"joined{ODD}", "--partial"],
        ["info", video],
        ["export", avatar, "-o", folder / f"x{ODD}.ply"],
        ["convert", capture, "-o", folder / f"nerf{ODD}"],
        *(["motion", "convert", capture, "-o", f"{take}{suffix}"] for suffix in (".csv", ".json", ".motion.npz")),
        *(["motion", "info", f"{take}{suffix}", "--avatar", avatar] for suffix in (".csv", ".json", ".motion.npz")),
    ]
    for command in commands:
        assert cli.main([str(argument) for argument in command]) == 0, capsys.readouterr().err
    stored = [read_header(avatar)["capture"], json.loads(avatar.with_suffix(".report.json").read_text())]
    stored.append(json.loads(video.with_name(f"{video.name}.report.json").read_text()))
    assert stored[0]["name"] == r"c\xff\xe9" and stored[2]["motion"] == r"c\xff\xe9"
    json.dumps(stored, ensure_ascii=False).encode("utf-8")  # no escapes that other programs refuse
    assert avatar.with_suffix(".toml").read_text(encoding="utf-8").splitlines()[0].endswith(r"of me\xff\xe9.avatar")


@pytest.mark.parametrize(
    "arguments",
    [["info", "missing"], ["render", "missing", "--motion", "c", "-o", "x.mp4"], ["train", "missing.mp4", "-o", "new"]],
)
def test_messages_name_such_files(own: Path, refused: Refused, arguments: list[str]) -> None:
    refused(*(argument.replace("missing", f"missing{ODD}").replace("new", f"{ODD}.avatar") for argument in arguments))


def test_a_terminal_gets_such_a_name(tmp_path: Path) -> None:
    """In a process of its own: stdout is strict there."""
    (tmp_path / f"{ODD}.json").write_text(json.dumps({"names": ["jawOpen"], "frames": [{"weights": [0.5], "time": 0}]}))
    command = [sys.executable, "-m", "avatar.cli", "motion", "info", str(tmp_path / f"{ODD}.json")]
    done = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONUTF8": "1"}, check=False)
    assert done.returncode == 0 and b"Traceback" not in done.stderr and b"jawOpen" in done.stdout


def test_layout_folders_may_contain_such_names(tmp_path: Path) -> None:
    (tmp_path / f"{ODD}.png").touch()
    assert len(folder_digest(tmp_path)) == 64


def test_shown_names_can_be_encoded() -> None:
    assert path_text(Path(ODD) / "ü.mp4") == r"\xff\xe9/ü.mp4" and path_text(b"\xff") == r"\xff"
