"""What is trained or filmed for tests: made once, kept on disk by the hash of its sources, shared by all processes.

A folder of `build/made` is used as long as no file of the packages, of the tests' helpers or of the native kernels
changes. Delete `build/made` to make everything again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import torch

from avatar.data.capture_folder import Capture
from avatar.head import load_head
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import load_avatar, save_avatar
from avatar.training.config import TrainConfig
from avatar.training.fit import fit
from tests.support.import_graph import ROOT

try:
    import fcntl
except ModuleNotFoundError:  # Windows: each process makes its own, and the last one stays
    fcntl = None  # type: ignore[assignment]

FOLDER = ROOT / "build" / "made"
#: Folders whose files decide what is made; of `capture` only what films.
_SOURCES = ("avatar", "cuda_ext", "capture/synthetic", "tests/support")
#: Suffixes of files there that are compiled from others.
_COMPILED = {".pyc", ".so", ".pyd", ".o", ".a", ".ninja", ".cmake", ".txt"}


def cached_folder(name: str, make: Callable[[Path], object], *details: object) -> Path:
    """The folder that `make` filled, which did not exist when it was called. Read only.

    Args:
        name: of the folder.
        make: is given a path to make a folder at; called only where no process has made it from these sources.
        details: of what is made, beside the sources: their `repr` is a part of the hash.
    """
    key = hashlib.sha256(f"{_sources()}{torch.__version__}{details!r}".encode()).hexdigest()[:16]
    folder = FOLDER / f"{name}-{key}"
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f".{name}.lock").open("w") as lock:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            unfinished = FOLDER / f".{name}.{os.getpid()}"
            shutil.rmtree(unfinished, ignore_errors=True)
            make(unfinished)
            for old in FOLDER.glob(f"{name}-{'[0-9a-f]' * 16}"):
                shutil.rmtree(old, ignore_errors=True)
            unfinished.rename(folder)
    return folder


def cached_avatar(name: str, capture: Capture, config: TrainConfig) -> Avatar:
    """The avatar of a training on `capture`, whose content must follow from the sources. Read only."""

    def make(folder: Path) -> None:
        folder.mkdir()
        save_avatar(folder / "me.avatar", fit(capture, load_head(), config).avatar)

    folder = cached_folder(name, make, config, capture.metadata["source"], len(capture))
    return load_avatar(folder / "me.avatar").requires_grad_(False)


@cache
def _sources() -> str:
    """Hash of all files that decide what is made."""
    digest = hashlib.sha256()
    for path in sorted(_files()):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _files() -> Iterable[Path]:
    for folder in _SOURCES:
        for parent, folders, names in os.walk(ROOT / folder):
            folders[:] = [name for name in folders if name not in ("__pycache__", "CMakeFiles")]
            paths = (Path(parent) / name for name in names if not name.startswith("."))
            yield from (path for path in paths if path.suffix not in _COMPILED)
