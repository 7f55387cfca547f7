"""Text from a file cannot control the terminal: its control characters and newlines are printed as escape sequences."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save

from avatar import cli
from avatar.cli.progress import say, show
from avatar.common.printable import printable, single_line
from avatar.data.capture_folder import METADATA_FILE, Capture
from avatar.model.avatar_file import load_avatar, read_header, save_avatar
from avatar.motion import write_motion
from avatar.types import Motion
from tests.support.sample_avatar import SAMPLE

#: Clears the screen, sets the title of the window, starts lines of its own, and what else moves the cursor.
EVIL = "a\x1b[2J\x1b]0;t\x07\rb\nheadsplat: fine\nv 9 9 9\x9b31m\x85\u2028\u202ec\x00\x7f"
#: What may be in printed text: everything but control characters other than newline and tab, and the like.
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def assert_safe(text: str) -> None:
    """No control character, no line that the file started, and the hostile text is there to be read."""
    assert not UNSAFE.search(text), repr(text)
    assert not [line for line in text.splitlines() if line.startswith(("headsplat: fine", "v 9"))]
    assert "\\x1b[2J" in text


def hostile_avatar(path: Path) -> Path:
    """The sample with hostile text wherever its header has text."""
    save_avatar(path, load_avatar(SAMPLE))
    header, tensors = read_header(path), load(path.read_bytes())
    header |= {
        "expression_names": ["jawOpen" + EVIL, "mouthSmileLeft"],
        "consent": EVIL + "\udcff",
        "axes": EVIL,
        EVIL: EVIL,
    }
    header["training"] = {EVIL: EVIL, "list": [EVIL, {EVIL: [EVIL]}]}
    header["head"] |= {"name": EVIL, "licence": EVIL, "capabilities": [EVIL]}
    header.pop("tensors_sha256", None)
    path.write_bytes(save(tensors, {"headsplat": json.dumps(header)}))
    return path


def hostile_motion(path: Path) -> Path:
    """A motion of two frames with hostile names, space and notes."""
    zero = torch.zeros(2, 3)
    rows = torch.tensor([[0.0, 0.5], [2.0, -1.0]])
    write_motion(path, Motion(torch.tensor([0.0, 1.0], dtype=torch.float64), (f"jawOpen{EVIL}", EVIL), rows,
                              EVIL, torch.zeros(2, 5, 3), zero, notes=(EVIL,)))  # fmt: skip
    return path


def printed(capsys: pytest.CaptureFixture[str], *arguments: str | Path, code: int = 0) -> str:
    """What a command prints, on both streams."""
    assert cli.main([str(argument) for argument in arguments]) == code
    captured = capsys.readouterr()
    return captured.out + captured.err


def test_every_character_that_a_terminal_executes_is_escaped() -> None:
    text = "".join(map(chr, range(0x3000))) + "\ud800\udfff\U0001f600"
    assert not UNSAFE.search(printable(text)) and printable("ä\n\tb 漢") == "ä\n\tb 漢"
    assert single_line("a\nb\x1b[0m\t") == "a\\nb\\x1b[0m\\t"
    single_line(text).encode()  # nothing that UTF-8 cannot store


def test_messages_and_results_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    say(f"one\n{EVIL}")
    show(f"two\n{EVIL}")
    captured = capsys.readouterr()
    assert captured.err.startswith("one\na\\x1b[2J") and captured.out.startswith("two\na\\x1b[2J")
    assert not UNSAFE.search(captured.err + captured.out)


def test_info_of_an_avatar(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = hostile_avatar(tmp_path / "me.avatar")
    assert_safe(printed(capsys, "info", path))
    assert not UNSAFE.search(printed(capsys, "info", path, "--json"))


def test_info_of_a_capture(tiny: Capture, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "capture"
    shutil.copytree(tiny.root, folder)
    metadata = json.loads((folder / METADATA_FILE).read_text())
    evil = EVIL.replace("\0", "")  # a NUL is refused
    metadata |= {"consent": evil, "warnings": [evil], "more": {EVIL: [EVIL]}}
    metadata["source"] |= {"name": evil}
    (folder / METADATA_FILE).write_text(json.dumps(metadata))
    assert_safe(printed(capsys, "info", folder))


def test_the_summary_of_a_motion(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = hostile_motion(tmp_path / "take.motion.npz")
    assert_safe(printed(capsys, "motion", "info", path))


def test_the_summary_of_a_motion_for_an_avatar(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, person = hostile_motion(tmp_path / "take.motion.npz"), hostile_avatar(tmp_path / "me.avatar")
    text = printed(capsys, "motion", "info", path, "--avatar", person)
    assert_safe(text)
    assert "not expressible here: a\\x1b[2J" in text


def test_an_error_that_quotes_a_name_of_a_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = hostile_avatar(tmp_path / "me.avatar")
    content = json.dumps(read_header(path))
    tensors = load(path.read_bytes())
    tensors["avatar." + EVIL] = tensors["avatar.rig.skin"].clone()
    path.write_bytes(save(tensors, {"headsplat": content}))
    text = printed(capsys, "export", path, "-o", tmp_path / "me.obj", code=1)
    assert len(text.splitlines()) == 1 and "damaged avatar file" in text
    assert_safe(text)


def test_an_error_with_names_of_an_avatar_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = hostile_avatar(tmp_path / "me.avatar")
    text = printed(capsys, "export", path, "-o", tmp_path / "me.obj", "--expression", "jawOpena=1", code=1)
    assert len(text.splitlines()) == 1 and "unknown expression" in text
    assert not UNSAFE.search(text)


@pytest.mark.parametrize("name", ["me.obj", "me.ply", "me.spz", "me.glb", "splats.glb", "rigged.ply"])
def test_exports_contain_no_line_and_no_escape_of_the_avatar(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    path, out = hostile_avatar(tmp_path / "me.avatar"), tmp_path / name
    arguments = {"rigged.ply": ["--rigged"], "splats.glb": ["--splats"]}.get(name, [])
    assert not UNSAFE.search(printed(capsys, "export", path, "-o", out, *arguments))
    content = out.read_bytes()
    if name == "me.obj":
        tags = {line.split(" ", 1)[0] for line in content.decode().split("\n")}
        assert tags == {"#", "o", "v", "vt", "vn", "f", ""}
        assert_safe(content.decode())
        assert len(re.findall(rb"^v ", content, re.MULTILINE)) == 12
    elif name == "me.spz":
        assert_safe(content[40 : int.from_bytes(content[16:20], "little")].decode())
    elif name.endswith(".glb"):
        length = int.from_bytes(content[12:16], "little")
        document = content[20 : 20 + length].decode("ascii")
        assert not UNSAFE.search(document) and json.loads(document)["asset"]["extras"]["consent"] == EVIL + "\udcff"
    else:
        head = content[: content.index(b"end_header")].decode("ascii")
        assert_safe(head)
        assert {line.split(" ", 1)[0] for line in head.splitlines()} == {
            "ply",
            "format",
            "comment",
            "element",
            "property",
        }
