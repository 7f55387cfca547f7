"""Inputs of jobs: found, fetched from object stores, and compared with what a finished job has read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avatar.errors import HeadsplatError
from avatar.fleet.jobs import Input, Job
from avatar.fleet.store import file_system, is_url, sha256_of


def is_current(job: Job, record: Mapping[str, Any]) -> str | None:
    """Why the finished job of `record` is not this one, in a few words; None if it is."""
    if record.get("arguments") != job.command_line:
        return "with other options"
    known = record.get("inputs", {})
    for each in job.inputs:
        entry = known.get(each.label, {})
        if each.sha256 is not None and entry.get("sha256") != each.sha256:
            return f"from another {each.label}"
        if not _is_same(each, entry):
            return f"from another content of {each.label}"
    return None


def _is_same(argument: Input, entry: Mapping[str, Any]) -> bool:
    """Whether an input is as it was read; one that is gone since is not compared, the outputs are still there."""
    state = state_of(argument.url)
    if state is None or state == entry.get("state"):
        return True
    try:
        return not is_url(argument.url) and sha256_of(Path(argument.url)) == entry.get("sha256")
    except OSError:  # the job that reads it will say why
        return False


def state_of(url: str) -> str | None:
    """A text that changes with a file or folder: its size and its time, or its entity tag; None if there is none."""
    if is_url(url):
        fs, place = file_system(url)
        try:
            info = fs.info(place)
        except FileNotFoundError:
            return None
        if info["type"] == "directory":
            return "folder"
        found = {key.lower().replace("_", ""): value for key, value in info.items()}  # as each file system calls them
        tags = (found[key] for key in ("etag", "lastmodified", "updated", "mtime", "created") if found.get(key))
        return f"{info.get('size')} {next(tags, '')}".strip()
    path = Path(url)
    try:
        status = path.stat()
        if not path.is_dir():
            return f"{status.st_size} {status.st_mtime_ns}"
        files = sorted(entry for entry in path.rglob("*") if entry.is_file())
        sizes = sum(entry.stat().st_size for entry in files)
        return f"folder {len(files)} {sizes} {max((entry.stat().st_mtime_ns for entry in files), default=0)}"
    except OSError:
        return None


def fetch(argument: Input, folder: Path, number: int) -> Path:
    """The file or folder of an input on this machine: itself, or a copy in `folder` if it is elsewhere or `copied`.

    Args:
        argument: the input.
        folder: a folder for copies.
        number: of the input in its job: two inputs may have the same name.

    Raises:
        HeadsplatError: there is none, or it does not have its checksum.
        OSError: it cannot be read.
    """
    name = argument.url.rstrip("/").rsplit("/", 1)[-1]
    if is_url(argument.url):
        place = folder / str(number) / name
        _download(argument, place)
    else:
        source = Path(argument.url)
        if not os.path.lexists(source):
            raise HeadsplatError(f"{argument.label}: no such file or folder; check its path in the manifest")
        place = folder / str(number) / name if argument.copied else source
        if argument.copied:
            shutil.copytree(source, place, ignore=shutil.ignore_patterns(".*.lock"))
    if argument.sha256 is not None and sha256_of(place) != argument.sha256:
        raise HeadsplatError(
            f"{argument.label}: its content is not what the fleet has stored (the checksum differs); delete the folder "
            "that contains it, and run the command that makes it again"
        )
    return place


def _download(argument: Input, place: Path) -> None:
    fs, path = file_system(argument.url)
    place.parent.mkdir(parents=True, exist_ok=True)
    if not fs.exists(path):
        raise HeadsplatError(f"{argument.label}: no such file or folder; check its URL in the manifest")
    if fs.isdir(path):
        fs.get(path.rstrip("/") + "/", str(place) + "/", recursive=True)
    else:
        fs.get_file(path, str(place))
