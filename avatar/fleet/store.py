"""The store of a fleet: a folder, or a place of an object store, where the outputs of each job appear as a whole.

`KEY/` has the files that the job wrote, and `KEY/fleet.json`, its record: command line, inputs and outputs with their
checksums. In a folder of the file system the whole `KEY/` appears by one rename. An object store has no rename: the
record is written last, and without it the files count as absent.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from avatar.common.files import atomic_folder, check_replaceable_folder, error_words, path_text
from avatar.errors import HeadsplatError

RECORD = "fleet.json"
_FORMAT = 1


def is_url(text: str) -> bool:
    """Whether `text` is the URL of a file system other than this machine's, such as s3://bucket/key."""
    scheme, separator, _ = text.partition("://")
    return bool(separator) and scheme.replace("+", "").isalnum() and scheme not in ("file", "local")


def local_path(text: str) -> str:
    """A path of this machine without the file:// that it may start with."""
    return text.removeprefix("file://").removeprefix("local://")


def file_system(url: str) -> tuple[Any, str]:
    """The file system (of fsspec) of a URL, and the path in it.

    Raises:
        HeadsplatError: the package for it is missing, or there is none of that name.
    """
    import fsspec

    try:
        fs, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise HeadsplatError(f"{url}: {error_words(error)}") from error
    except ValueError as error:
        raise HeadsplatError(
            f"{url}: {error_words(error)}; give a path, or a URL such as s3://bucket/folder"
        ) from error
    return fs, path


@dataclass(frozen=True)
class Store:
    """The store at a path of this machine, or at a URL."""

    url: str

    @cached_property
    def folder(self) -> Path | None:
        """The folder of the file system; None for an object store."""
        return None if is_url(self.url) else Path(local_path(self.url)).absolute()

    @cached_property
    def _remote(self) -> tuple[Any, str]:
        return file_system(self.url)

    def path(self, name: str) -> str:
        """The path or URL of something in the store, by its relative name."""
        return str(self.folder / name) if self.folder is not None else f"{self.url.rstrip('/')}/{name}"

    def record(self, key: str) -> dict[str, Any] | None:
        """The record of a finished job; None if it has none, or if files of it are missing."""
        try:
            content = json.loads(self._read(f"{key}/{RECORD}"))
        except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError, ValueError, RecursionError):
            return None
        if not _is_record(content):
            return None
        if self.folder is None:
            return content
        folder = self.folder / key
        whole = all(_size(folder / name) == entry["bytes"] for name, entry in content["outputs"].items())
        return content if whole else None

    def check_replaceable(self, key: str) -> None:
        """Raise HeadsplatError if a folder at the place of a job contains anything that no job has written."""
        if self.folder is None or not os.path.lexists(place := self.folder / key):
            return
        if not place.is_dir():
            raise HeadsplatError(
                f"{path_text(place)}: exists already and is not a folder; move it or choose another -o"
            )
        check_replaceable_folder(place)

    def publish(self, key: str, folder: Path, record: Mapping[str, Any]) -> dict[str, Any]:
        """Store the files of `folder` as the outputs of a job; returns its whole record.

        Raises:
            HeadsplatError: the disk is full or refuses the folder, files of somebody else are at its place, or the
                object store stored something else.
            OSError: the object store failed.
        """
        outputs = {name: {"bytes": size, "sha256": checksum} for name, size, checksum in _contents(folder)}
        whole = {"format": _FORMAT, **record, "outputs": outputs}
        text = json.dumps(whole, indent=1, ensure_ascii=False) + "\n"
        if self.folder is None:
            self._upload(key, folder, outputs, text)
            return whole
        self.check_replaceable(key)
        with atomic_folder(self.folder / key) as temporary:
            shutil.copytree(folder, temporary, dirs_exist_ok=True, ignore=_without_locks)
            (temporary / RECORD).write_text(text, encoding="utf-8")
        return whole

    def remove(self, name: str) -> None:
        """Remove a folder of the store, if it is there."""
        if self.folder is not None:
            shutil.rmtree(self.folder / name, ignore_errors=True)
            return
        fs, root = self._remote
        if fs.exists(f"{root}/{name}"):
            fs.rm(f"{root}/{name}", recursive=True)

    def remove_empty(self, name: str) -> None:
        """Remove a folder of the store if nothing is in it; an object store has no empty folders."""
        if self.folder is not None:
            with suppress(OSError):
                (self.folder / name).rmdir()

    def write_text(self, name: str, text: str) -> None:
        """Replace a small text file in the store."""
        if self.folder is not None:
            from avatar.common.files import atomic_path

            with atomic_path(self.folder / name) as temporary:
                temporary.write_text(text, encoding="utf-8")
        else:
            fs, root = self._remote
            fs.pipe_file(f"{root}/{name}", text.encode())

    def read_text(self, name: str) -> str:
        """The content of a small text file in the store; raises OSError if there is none."""
        return self._read(name).decode("utf-8")

    def _read(self, name: str) -> bytes:
        if self.folder is not None:
            return (self.folder / name).read_bytes()
        fs, root = self._remote
        return bytes(fs.cat_file(f"{root}/{name}"))

    def _upload(self, key: str, folder: Path, outputs: Mapping[str, Mapping[str, Any]], record: str) -> None:
        fs, root = self._remote
        place = f"{root}/{key}"
        if fs.exists(place):
            fs.invalidate_cache()
            if fs.exists(f"{place}/{RECORD}"):
                fs.rm_file(f"{place}/{RECORD}")  # first: what is left counts as absent
            fs.rm(place, recursive=True)
        for name, entry in outputs.items():
            fs.makedirs(str(PurePosixPath(f"{place}/{name}").parent), exist_ok=True)
            fs.put_file(str(folder / name), f"{place}/{name}")
            stored = fs.info(f"{place}/{name}")["size"]
            if stored != entry["bytes"]:
                raise HeadsplatError(
                    f"{self.path(key)}/{name}: stored {stored} of {entry['bytes']} bytes; check the object store and "
                    "run the command again"
                )
        fs.pipe_file(f"{place}/{RECORD}", record.encode())


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, or of the names and contents of all files of a folder, in hexadecimal digits."""
    if path.is_dir():
        listing = "".join(f"{checksum}  {name}\n" for name, _, checksum in _contents(path))
        return hashlib.sha256(listing.encode()).hexdigest()
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _contents(folder: Path) -> Iterator[tuple[str, int, str]]:
    """Name, bytes and SHA-256 of every file below `folder`, by name."""
    files = (path for path in folder.rglob("*") if path.is_file() and not _is_lock(path.name))
    for name, path in sorted((path.relative_to(folder).as_posix(), path) for path in files):
        yield path_text(name), path.stat().st_size, sha256_of(path)


def _without_locks(_: str, names: list[str]) -> set[str]:
    """What is not copied: locks, and the sign of the folder itself, which the store writes anew."""
    return {name for name in names if _is_lock(name)}


def _is_lock(name: str) -> bool:
    return name.startswith(".") and name.endswith(".lock")


def _is_record(content: Any) -> bool:
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        return False
    outputs = content.get("outputs")
    return isinstance(outputs, dict) and all(isinstance(each, dict) and "bytes" in each for each in outputs.values())


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
