"""The folder a capture grows in: partial results, atomic files, and failures of the disk put into words."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from avatar.captured import FACTS_FILE, FRAMES_DIR, MATTES_DIR, TRACK_FILE
from avatar.errors import HeadsplatError
from avatar.pictures import encode_png

_PARTIAL_DIR, _KEY_FILE = "partial", "key.json"
#: PNG effort: level 1 is four times as fast as the default and 5 % larger; see `encode_png` for the rest.
_PNG_LEVEL = 1


class Workspace:
    """A capture folder that is not finished yet."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._partial = root / _PARTIAL_DIR

    def open(self, key: dict[str, Any], overwrite: bool) -> None:
        """Create the folder, or continue in it; refuses a finished capture or one begun from something else.

        Args:
            key: what decides the result: the source and the options.
            overwrite: start afresh whatever capture is there, but continue an unfinished one of the same key.
        """
        key = json.loads(json.dumps(key))
        with explained(self.root):
            if self.root.exists() and not self.root.is_dir():
                raise HeadsplatError(f"{self.root}: a file is in the way; give -o a folder")
            finished = (self.root / FACTS_FILE).exists()
            if overwrite and self._is_capture() and (finished or self._read_key() != key):
                self._clear()
            elif finished:
                raise HeadsplatError(f"{self.root}: a finished capture is there; add --overwrite to make it again")
            begun = self._read_key()
            if begun is None and self.root.is_dir() and any(self.root.iterdir()):
                raise HeadsplatError(f"{self.root}: the folder holds other files; give -o a new or empty folder")
            if begun is not None and begun != key:
                changed = ", ".join(sorted(name for name in key if begun.get(name) != key[name]))
                raise HeadsplatError(
                    f"{self.root}: an unfinished capture with another {changed or 'version'} is there; "
                    "repeat its command to finish it, or add --overwrite to start again"
                )
            for folder in (self._partial, self.root / FRAMES_DIR, self.root / MATTES_DIR):
                folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self._partial / _KEY_FILE, json.dumps(key, indent=1).encode())

    def _is_capture(self) -> bool:
        return (self.root / FACTS_FILE).is_file() or (self._partial / _KEY_FILE).is_file()

    def _clear(self) -> None:
        for folder in (_PARTIAL_DIR, FRAMES_DIR, MATTES_DIR):
            shutil.rmtree(self.root / folder, ignore_errors=True)
        for name in (FACTS_FILE, TRACK_FILE):
            (self.root / name).unlink(missing_ok=True)

    def _read_key(self) -> dict[str, Any] | None:
        try:
            stored = json.loads((self._partial / _KEY_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return stored if isinstance(stored, dict) else None

    def load_partial(self, name: str) -> dict[str, np.ndarray] | None:
        """Arrays an earlier run left under `name`, or None."""
        try:
            with np.load(self._partial / name, allow_pickle=False) as stored:
                return {key: stored[key] for key in stored.files}
        except (OSError, ValueError, EOFError, KeyError, BadZipFile):
            return None

    def save_partial(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        """Keep arrays for a later run."""
        with explained(self.root):
            save_arrays(self._partial / name, arrays)

    def write_picture(self, folder: str, name: str, picture: np.ndarray) -> None:
        """Store RGB [H,W,3] or grey [H,W] uint8 as PNG in frames/ or mattes/."""
        encoded = encode_png(picture[..., ::-1] if picture.ndim == 3 else picture, _PNG_LEVEL)
        with explained(self.root):
            (self.root / folder / name).write_bytes(encoded)

    def finish(self, track: dict[str, np.ndarray], facts: dict[str, Any]) -> None:
        """Write the track, then the facts, then drop partial results and pictures of frames that are not in it."""
        with explained(self.root):
            save_arrays(self.root / TRACK_FILE, track)
            known = {f"{number:05d}.png" for number in track["frame_number"]}
            for folder in (FRAMES_DIR, MATTES_DIR):
                for path in (self.root / folder).glob("*.png"):
                    if path.name not in known:
                        path.unlink()
            write_atomically(self.root / FACTS_FILE, json.dumps(facts, indent=1).encode())
            shutil.rmtree(self._partial, ignore_errors=True)


def save_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write an .npz whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as stream:
        np.savez(stream, **arrays)
    os.replace(temporary, path)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(content)
    os.replace(temporary, path)


@contextlib.contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turn failures of the file system under `folder` into HeadsplatError."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            reason = "the disk is full; free some space and run the same command again, it continues where it stopped"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            reason = "no permission to write there; give -o a folder you can write to"
        else:
            reason = f"cannot be written ({error.strerror or error}); check the disk or give -o another folder"
        raise HeadsplatError(f"{folder}: {reason}") from error
