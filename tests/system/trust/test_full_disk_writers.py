"""A disk that takes no more data ends every writing command with one sentence; what was there before stays whole."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from safetensors import SafetensorError

from avatar.common.files import atomic_path, write_error
from avatar.common.image_io import encode_jpeg, encode_png, write_image
from avatar.errors import HeadsplatError
from avatar.model.avatar_file import load_avatar, save_avatar

resource = pytest.importorskip("resource", reason="limits the size of files the POSIX way")
Refused = Callable[..., str]
#: Commands that write more than the limit to `out`, and what they write.
COMMANDS = {
    "render me.avatar --motion c -o out.mp4 --size 256": "out.mp4",
    "render me.avatar --motion c --frames :2 -o out --codec exr --size 128": "out",
    "eval me.avatar c --no-refine --save-images out": "out",
    "export me.avatar -o out.ply": "out.ply",
    "export me.avatar -o out.spz": "out.spz",
    "export me.avatar --splats -o out.glb": "out.glb",
    "export me.avatar --motion c --frames :2 -o out": "out",
    "motion convert c -o out.csv": "out.csv",
    "motion convert c -o out.json": "out.json",
    "motion convert c -o out.motion.npz": "out.motion.npz",
    "convert c -o out": "out",
    "head sheets -o out": "out",
}


@contextlib.contextmanager
def full(size: int) -> Iterator[None]:
    """No file may become larger than `size` bytes: the system refuses as it does on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))  # Python ignores SIGXFSZ
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.fixture
def quick_sheets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Contact sheets of noise in place of rendered ones, which take seconds."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for name in ("neutral", "expression", "pose", "identity"):
        monkeypatch.setattr(f"avatar.head.sheets.{name}_sheet", lambda head: noise)


@pytest.mark.usefixtures("quick_sheets")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_says_so_and_leaves_nothing(own: Path, refused: Refused, command: str) -> None:
    before = sorted(os.listdir())
    limit = 200 if command.startswith("convert") else 2_000
    with full(limit):
        sentence = refused(*command.split())
    assert sentence.startswith(f"{COMMANDS[command]}: cannot be written (File too large"), sentence
    assert "choose another place with -o" in sentence
    assert sorted(os.listdir()) == before


def test_an_old_output_stays_whole(own: Path, refused: Refused) -> None:
    (own / "out.ply").write_text("old")
    with full(2_000):
        refused("export", "me.avatar", "-o", "out.ply", "--overwrite")
    assert (own / "out.ply").read_text() == "old"


def test_the_library_that_writes_avatars_fails_with_the_same_sentence(me: Path, tmp_path: Path) -> None:
    avatar = load_avatar(me)
    with full(2_000), pytest.raises(HeadsplatError, match=r"a\.avatar: cannot be written \(.*File too large"):
        save_avatar(tmp_path / "a.avatar", avatar)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
        RuntimeError("unable to write: No space left on device"),
    ],
)
def test_errors_of_libraries_mean_what_the_system_means(tmp_path: Path, error: Exception) -> None:
    sentence = f"{tmp_path / 'a'}: the disk is full; free some space or write somewhere else with -o"
    assert str(write_error(tmp_path / "a", error)) == sentence
    with pytest.raises(HeadsplatError) as caught, atomic_path(tmp_path / "a", SafetensorError, RuntimeError):
        raise error
    assert str(caught.value) == sentence


def test_a_mistake_in_the_program_is_no_full_disk(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="a mistake"), atomic_path(tmp_path / "a"):
        raise RuntimeError("a mistake")


def test_an_image_that_cannot_be_encoded_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    monkeypatch.setattr(cv2, "imencode", lambda *_: (False, None))
    for encode in (encode_png, lambda image: encode_jpeg(image, 95)):
        with pytest.raises(HeadsplatError, match="cannot be encoded"):
            encode(image)
    with pytest.raises(HeadsplatError, match=r"a\.png: the image"):
        write_image(tmp_path / "a.png", image)


def test_no_module_ignores_whether_opencv_wrote_an_image() -> None:
    """`cv2.imwrite` and `imencode` report failures by their result only: one module calls them and checks it."""
    root = Path(__file__).parents[3]
    files = [path for part in ("avatar", "capture", "viewer", "examples") for path in (root / part).rglob("*.py")]
    users = [path.name for path in files if {"cv2.imwrite(", "cv2.imencode("} & calls_in(path)]
    assert users == ["image_io.py"]


def calls_in(path: Path) -> set[str]:
    text = path.read_text(encoding="utf-8")
    return {call for call in ("cv2.imwrite(", "cv2.imencode(") if call in text}
