"""MediaPipe's library for browsers: the user's file, the cache, or the archive fetched from the npm registry.

It runs the networks of `face_task` in a page. Version 0.10.21 is that of the wheel with the models; from 1.0 on the
library sends usage statistics to its maker.
"""

from __future__ import annotations

import hashlib
import http.client
import logging
import tarfile
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from avatar.common.temporaries import replacement, temporary_path
from avatar.errors import HeadsplatError
from capture.networks.models import cache_dir, model_folders

log = logging.getLogger(__name__)

VERSION = "0.10.21"
ARCHIVE = f"tasks-vision-{VERSION}.tgz"
ARCHIVE_SHA256 = "343736570f433c0100ffc360dbe70f09cc502a5fc573f5cd95954692edc9cfde"
ADDRESS = f"https://registry.npmjs.org/@mediapipe/tasks-vision/-/{ARCHIVE}"
NOTICE = (
    f"The camera of this page uses MediaPipe Tasks Vision {VERSION} and MediaPipe's networks for faces, Copyright The "
    "MediaPipe Authors, Apache License 2.0 (https://www.apache.org/licenses/LICENSE-2.0)."
)
_MOST_BYTES = 1 << 26  # of the archive
_TIMEOUT = 60.0  # seconds without an answer

#: Returns the content of an address; raises OSError when it cannot.
Downloader = Callable[[str], bytes]


@dataclass(frozen=True)
class VisionLibrary:
    """The files of the library that a page needs."""

    library: bytes  # JavaScript, a CommonJS module
    loader: bytes  # JavaScript that starts the WebAssembly module
    wasm: bytes


_MEMBERS = {
    "library": "package/vision_bundle.cjs",
    "loader": "package/wasm/vision_wasm_internal.js",
    "wasm": "package/wasm/vision_wasm_internal.wasm",
}


def vision_library(download: Downloader | None = None) -> VisionLibrary:
    """The library, fetched on first use.

    Looked for in the folder HEADSPLAT_MODELS, then in the cache folder (ARCHIVE in both), then in the npm registry.

    Args:
        download: replaces the download.

    Raises:
        HeadsplatError: the archive is nowhere and cannot be fetched, or is not the expected one.
    """
    cached = cache_dir() / ARCHIVE
    archive = next((folder / ARCHIVE for folder in model_folders() if (folder / ARCHIVE).is_file()), None)
    if archive is None or (archive == cached and _digest(archive.read_bytes()) != ARCHIVE_SHA256):
        _fetch(cached, download or _download)
        archive = cached
    content = archive.read_bytes()
    if _digest(content) != ARCHIVE_SHA256:
        raise HeadsplatError(
            f"{archive}: not {ARCHIVE} (its SHA-256 differs); delete it and download it from {ADDRESS}"
        )
    return _unpack(archive)


def _fetch(target: Path, download: Downloader) -> None:
    advice = f"download {ADDRESS} and put it into {target.parent}"
    log.info("fetching MediaPipe's library for browsers (6 MB, once) into %s", target.parent)
    try:
        content = download(ADDRESS)
    except (OSError, http.client.HTTPException) as error:
        raise HeadsplatError(f"MediaPipe's library could not be downloaded ({error}); {advice}") from error
    if _digest(content) != ARCHIVE_SHA256:
        raise HeadsplatError(f"{ADDRESS}: not the expected file (its SHA-256 differs); try again, or {advice}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacement(target, temporary_path(target)) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise HeadsplatError(
            f"{target.parent}: cannot be written ({error}); set HEADSPLAT_CACHE to a writable folder"
        ) from error


def _download(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=_TIMEOUT) as answer:
        return bytes(answer.read(_MOST_BYTES))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _unpack(archive: Path) -> VisionLibrary:
    parts = {}
    with tarfile.open(archive) as opened:
        for name, member in _MEMBERS.items():
            file = opened.extractfile(member)
            assert file is not None, member  # the checksum is that of an archive which has it
            parts[name] = file.read()
    return VisionLibrary(**parts)
