"""The folder a capture grows in: partial results, atomic files, and failures of the disk put into words."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from avatar.common.files import path_text
from avatar.common.temporaries import replacement
from avatar.data.capture_folder import FRAMES_DIR, MAGIC, MATTES_DIR, METADATA_FILE, TRACK_FILE
from avatar.data.capture_metadata import PARTIAL_DIR
from avatar.errors import HeadsplatError

_KEY_FILE = "key.json"
#: Among the partial results: the frames of a film (capture/film/folder.py).
FILM_DIR = "film"
FILM_FILE = "film.json"
_TORN = ".tmp"  # what a file that is being written ends in
_IMAGE = re.compile(rf"\d{{5,}}\.png({re.escape(_TORN)})?")  # in frames/ and mattes/
#: PNG effort: level 1 is four times as fast as the default and 5 % larger; see `encode_png` for the rest.
_PNG_LEVEL = 1
#: What `capture.report` writes into a finished folder, the last one last.
COVERAGE_FILE, OVERLAY_FILE, REPORT_FILE = REPORT_FILES = ("coverage.png", "overlay.mp4", "report.json")
#: What is ours in a finished folder and goes with it when it is made again; anything else there stays.
CAPTURE_ENTRIES = {PARTIAL_DIR, FRAMES_DIR, MATTES_DIR, METADATA_FILE, TRACK_FILE, "refined.npz", *REPORT_FILES}


class Workspace:
    """A capture folder that is not finished yet.

    A finished capture is made again in a folder beside it, which takes its place when it is complete.
    """

    def __init__(self, root: Path) -> None:
        self.final = self.root = root
        self._partial = root / PARTIAL_DIR

    def open(self, key: dict[str, Any], overwrite: bool) -> None:
        """Create the folder, or continue in it; refuses a finished capture or one started from another input.

        Args:
            key: what decides the result: the source and the options.
            overwrite: start afresh whatever capture is there, but continue an unfinished one of the same key.
        """
        key = json.loads(json.dumps(key))
        with explain_errors(self.final):
            if self.final.exists() and not self.final.is_dir():
                raise HeadsplatError(f"{self.final}: a file is in the way; give -o a folder")
            settle(self.final)
            beside = _beside(self.final)
            if _is_finished(self.final):
                self._check_replaceable(overwrite)
                self.root = beside
                self._partial = beside / PARTIAL_DIR
            else:
                shutil.rmtree(beside, ignore_errors=True)
            self._check_started(key, overwrite)
            for folder in (self._partial, self.root / FRAMES_DIR, self.root / MATTES_DIR):
                folder.mkdir(parents=True, exist_ok=True)
                for torn in folder.glob(f"*{_TORN}"):
                    torn.unlink()
            write_atomically(self._partial / _KEY_FILE, json.dumps(key, indent=1).encode())

    def _check_replaceable(self, overwrite: bool) -> None:
        if not overwrite:
            raise HeadsplatError(f"{self.final}: a finished capture is there; add --overwrite to make it again")
        if os.path.ismount(self.final):
            raise HeadsplatError(
                f"{self.final}: a mounted disk cannot be replaced by another folder; give -o a folder inside it"
            )
        if MAGIC.encode() not in (self.final / METADATA_FILE).read_bytes():
            raise HeadsplatError(
                f"{self.final}: its {METADATA_FILE} is not headsplat's, so the folder is not replaced; delete it "
                "yourself or give -o another folder"
            )
        _check_images(self.final)

    def _check_started(self, key: dict[str, Any], overwrite: bool) -> None:
        """Raise HeadsplatError unless the folder is empty, was started with `key`, or may be cleared (then it is)."""
        started = self._read_key()
        if overwrite and started is not None and started != key:
            self._check_ours()
            self._clear()
            started = self._read_key()
        if started is None and self._has_other_files():
            raise HeadsplatError(f"{self.root}: the folder holds other files; give -o a new or empty folder")
        if started is not None and started != key:
            changed = ", ".join(sorted(name for name in key if started.get(name) != key[name]))
            raise HeadsplatError(
                f"{self.root}: an unfinished capture with another {changed or 'version'} is there; "
                "repeat its command to finish it, or add --overwrite to start again"
            )

    def _has_other_files(self) -> bool:
        """Whether anything but what `open` itself makes before the key is in the folder."""
        made = {self.root / PARTIAL_DIR, self.root / FRAMES_DIR, self.root / MATTES_DIR}
        made.add(_temporary(self._partial / _KEY_FILE))
        return self.root.is_dir() and any(path not in made for path in self.root.rglob("*"))

    def _check_ours(self) -> None:
        """Raise HeadsplatError if the unfinished folder contains a file that no capture wrote."""
        foreign = [path for path in self.root.iterdir() if path.name.removesuffix(_TORN) not in CAPTURE_ENTRIES]
        partial = (self.root / PARTIAL_DIR).glob("*")
        known = (".npz", _KEY_FILE, FILM_DIR)
        foreign += [path for path in partial if not path.name.removesuffix(_TORN).endswith(known)]
        if foreign:
            raise HeadsplatError(
                f"{self.root}: the unfinished capture contains other files too ({min(foreign).name}), so it is not "
                "cleared; give -o a new or empty folder"
            )
        _check_images(self.root)

    def _clear(self) -> None:
        for folder in (FRAMES_DIR, MATTES_DIR):
            shutil.rmtree(self.root / folder, ignore_errors=True)
        for name in CAPTURE_ENTRIES - {FRAMES_DIR, MATTES_DIR, PARTIAL_DIR}:
            (self.root / name).unlink(missing_ok=True)
            _temporary(self.root / name).unlink(missing_ok=True)
        shutil.rmtree(self._partial / FILM_DIR, ignore_errors=True)
        for path in self._partial.iterdir():
            if path.name != _KEY_FILE:
                path.unlink()
        (self._partial / _KEY_FILE).unlink()  # last: it identifies the folder

    def _read_key(self) -> dict[str, Any] | None:
        try:
            stored = json.loads((self._partial / _KEY_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return None
        return stored if isinstance(stored, dict) else None

    @property
    def partial(self) -> Path:
        """The folder of partial results; it is deleted once the capture is finished."""
        return self._partial

    def load_partial(self, name: str) -> dict[str, np.ndarray] | None:
        """Arrays an earlier run left under `name`, or None."""
        try:
            with np.load(self._partial / name, allow_pickle=False) as stored:
                return {key: stored[key] for key in stored.files}
        except (OSError, ValueError, EOFError, KeyError, BadZipFile):
            return None

    def save_partial(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        """Keep arrays for a later run."""
        with explain_errors(self.root):
            save_arrays(self._partial / name, arrays)

    def write_image(self, folder: str, name: str, image: np.ndarray) -> None:
        """Store RGB [H,W,3] or gray [H,W] uint8 as PNG in frames/ or mattes/."""
        from avatar.common.image_io import encode_png

        encoded = encode_png(image[..., ::-1] if image.ndim == 3 else image, _PNG_LEVEL)
        with explain_errors(self.root):
            write_atomically(self.root / folder / name, encoded)

    def finish(self, track: dict[str, np.ndarray], metadata: dict[str, Any]) -> None:
        """Write the track, delete images of frames outside it, then write the metadata and move all into place."""
        with explain_errors(self.final):
            save_arrays(self.root / TRACK_FILE, track)
            known = {f"{number:05d}.png" for number in track["frame_number"]}
            for folder in (FRAMES_DIR, MATTES_DIR):
                for path in (self.root / folder).glob("*.png"):
                    if path.name not in known and _IMAGE.fullmatch(path.name):
                        path.unlink()
            write_atomically(self.root / METADATA_FILE, json.dumps(metadata, indent=1).encode())
            settle(self.final)


def _check_images(root: Path) -> None:
    """Raise HeadsplatError for files in the image folders of a capture that no capture wrote."""
    for folder in (FRAMES_DIR, MATTES_DIR):
        foreign = [path.name for path in (root / folder).glob("*") if not _IMAGE.fullmatch(path.name)]
        if foreign:
            raise HeadsplatError(
                f"{root / folder}: contains other files too ({path_text(min(foreign))}), so it is not replaced; move "
                "them or give -o another folder"
            )


def settle(root: Path) -> None:
    """Take the last steps of a capture into `root`, from wherever a run that was killed left them.

    A complete one beside it takes the place of the one before; what is not ours in that moves along.
    """
    root = root.resolve()
    beside = _beside(root)
    old = _beside(root, "old")
    if old.is_dir() and not root.exists() and not _is_finished(beside):
        os.replace(old, root)
    _retire(old, root)
    if _is_finished(beside):
        if root.exists():
            os.replace(root, old)
        os.replace(beside, root)
        _retire(old, root)
    if _is_finished(root):
        shutil.rmtree(root / PARTIAL_DIR, ignore_errors=True)


def growing_folder(root: Path) -> Path:
    """Where the unfinished capture `root` grows: there, or beside the finished one that it is to replace."""
    return _beside(root) if _is_finished(root) else root


def growing_film(root: Path) -> Path | None:
    """The folder of the frames of the unfinished film `root`; None where there is none."""
    folder = growing_folder(root) / PARTIAL_DIR / FILM_DIR
    return folder if (folder / FILM_FILE).is_file() else None


def discard(root: Path) -> None:
    """Delete the unfinished capture `root`, and nothing else that is in its folder."""
    folder = growing_folder(root)
    with explain_errors(root):
        for name in (PARTIAL_DIR, FRAMES_DIR, MATTES_DIR):
            shutil.rmtree(folder / name, ignore_errors=True)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _retire(old: Path, root: Path) -> None:
    """Delete the capture `old` that `root` has taken the place of, after what is not ours in it has moved there."""
    if not (old.is_dir() and root.is_dir()):
        return
    for entry in old.iterdir():
        if entry.name not in CAPTURE_ENTRIES and not (root / entry.name).exists():
            os.replace(entry, root / entry.name)
    shutil.rmtree(old)


def _beside(root: Path, kind: str = "new") -> Path:
    """The hidden folder next to `root` with the unfinished capture, or (`old`) with the one being replaced."""
    root = root.resolve()
    return root.parent / f".{root.name}.{kind}.partial"


def _is_finished(folder: Path) -> bool:
    return (folder / METADATA_FILE).is_file()


def save_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write the arrays to an .npz file, completely or not at all."""
    with replacement(path, _temporary(path)) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **arrays)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    with replacement(path, _temporary(path)) as temporary:
        temporary.write_bytes(content)


def _temporary(path: Path) -> Path:
    """Where `path` is written first; what a killed run leaves there is removed by the next."""
    return path.with_name(path.name + _TORN)


@contextlib.contextmanager
def explain_errors(folder: Path) -> Iterator[None]:
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
