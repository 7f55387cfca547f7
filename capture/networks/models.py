"""Locations of the face models: the user's files, the package headsplat-models, the cache, or the mediapipe wheel
fetched by pip.

The wheel of mediapipe 0.10.21 carries its Apache-2.0 models; it is treated as a zip and never installed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

from avatar.common.cache import user_cache
from avatar.common.temporaries import replacement, temporary_path
from avatar.errors import HeadsplatError

log = logging.getLogger(__name__)

WHEEL = "mediapipe-0.10.21-cp311-cp311-manylinux_2_28_x86_64.whl"
WHEEL_SHA256 = "05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3"
TASK = "face_landmarker.task"
_MODULES = "mediapipe/modules"
#: Model name -> member of the wheel.
WHEEL_MEMBERS = {
    "face_detection_short_range": f"{_MODULES}/face_detection/face_detection_short_range.tflite",
    "face_detection_full_range": f"{_MODULES}/face_detection/face_detection_full_range_sparse.tflite",
    "face_landmarks_attention": f"{_MODULES}/face_landmark/face_landmark_with_attention.tflite",
    "selfie_segmentation": f"{_MODULES}/selfie_segmentation/selfie_segmentation.tflite",
}
#: The package of the data wheel headsplat-models, which `python -m tools.models_wheel` makes; found, never imported.
PACKAGE = "headsplat_models"
#: Name of the models' license in the cache and in that package.
LICENSE_FILE = "mediapipe-LICENSE.txt"
_LICENSE_MEMBER = "mediapipe-0.10.21.dist-info/LICENSE"
#: Model name -> member of a user's face_landmarker.task.
TASK_MEMBERS = {
    "face_detection_short_range": "face_detector.tflite",
    "face_blendshapes": "face_blendshapes.tflite",
}
#: Model name -> SHA-256 of the model in the wheel: what is in the cache folder is compared with it at every use.
MODEL_SHA256 = {
    "face_detection_short_range": "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
    "face_detection_full_range": "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
    "face_landmarks_attention": "e06a804e0144f9929eda782122916b35d60c697c3c9344013ca2bbe76a6ce2b4",
    "selfie_segmentation": "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
}
NAMES = (*WHEEL_MEMBERS, "face_blendshapes")

#: Threads that start together must not fetch or unpack the same files.
_ONE_AT_A_TIME = threading.Lock()

#: Downloads WHEEL into the folder it is given; raises OSError when it cannot.
Downloader = Callable[[Path], None]


def cache_dir() -> Path:
    """Folder for downloaded models: HEADSPLAT_CACHE, else headsplat/ in the platform's cache folder, + models."""
    return user_cache("models")


def model_folders() -> list[Path]:
    """Folders in which models are looked for, in this order: HEADSPLAT_MODELS, where it is set, and the cache.

    Raises:
        HeadsplatError: HEADSPLAT_MODELS is no folder.
    """
    chosen = os.environ.get("HEADSPLAT_MODELS")
    if chosen and not Path(chosen).is_dir():
        raise HeadsplatError(f"HEADSPLAT_MODELS={chosen}: no such folder; create it or unset the variable")
    return [*([Path(chosen)] if chosen else []), cache_dir()]


def installed_folder() -> Path | None:
    """Folder of the installed package headsplat-models; None where it is not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    return Path(spec.origin).parent if spec is not None and spec.origin is not None else None


def license_text() -> str:
    """The license of the models, from either wheel; empty where only the user's own copies are used."""
    paths = (folder / LICENSE_FILE for folder in (installed_folder(), cache_dir()) if folder is not None)
    return next((path.read_text(encoding="utf-8") for path in paths if path.is_file()), "")


def model_path(name: str, download: Downloader | None = None) -> Path:
    """Path of a LiteRT model, fetched on first use.

    Looked for in this order: the folder HEADSPLAT_MODELS (`<name>.tflite`, face_landmarker.task or the wheel itself),
    the installed package headsplat-models, the cache folder (as HEADSPLAT_MODELS), the wheel from the package index.
    Models of the package or the cache folder are compared with their SHA-256 at every call. Where one differs, that of
    the package is an error, that of the cache is fetched again. The user's own files are not compared.

    Args:
        name: one of NAMES; "face_blendshapes" only ever comes from a user's face_landmarker.task.
        download: replaces the download by pip.

    Returns:
        An existing .tflite file.

    Raises:
        HeadsplatError: the file is nowhere and cannot be fetched, or is not the expected one.
    """
    if name not in NAMES:
        raise ValueError(f"name: expected one of {', '.join(NAMES)}, got {name!r}")
    cache = cache_dir()
    folders = model_folders()
    with _ONE_AT_A_TIME:
        for folder in folders:
            if folder == cache and (path := _installed(name)) is not None:
                return path
            if (path := _find(folder, name, cache)) is not None:
                return path
        if name not in WHEEL_MEMBERS:
            raise HeadsplatError(f"{name}: not found; put MediaPipe's {TASK} into {cache}")
        _fetch_wheel(cache, download or _pip_download)
    return cache / f"{name}.tflite"


def _find(folder: Path, name: str, cache: Path) -> Path | None:
    """The model in `folder`: as a .tflite file, in a .task or in the wheel (unpacked into the cache)."""
    model = folder / f"{name}.tflite"
    if model.is_file() and (folder != cache or _is_whole(model, name)):
        return model
    task = folder / TASK
    wheel = folder / WHEEL
    if name in TASK_MEMBERS and task.is_file():
        # Unpacked beside its stamp, so that another .task of the user's is not shadowed by an older one.
        stamp = f"{task.stat().st_size}-{task.stat().st_mtime_ns}"
        unpacked = cache / "task" / hashlib.sha256(os.fsencode(f"{task.resolve()}{stamp}")).hexdigest()[:16]
        target = unpacked / f"{name}.tflite"
        if not (target.is_file() and _is_member(target, task, TASK_MEMBERS[name])):
            _extract(task, {TASK_MEMBERS[name]: target})
        return target
    if name in WHEEL_MEMBERS and wheel.is_file():
        unpacked = cache / f"{name}.tflite"
        if not (unpacked.is_file() and _is_whole(unpacked, name)):
            _unpack_wheel(wheel, cache)
        return unpacked
    return None


def _installed(name: str) -> Path | None:
    """The model in the installed package headsplat-models, where that is installed and has it."""
    folder = installed_folder()
    if folder is None or name not in MODEL_SHA256:
        return None
    model = folder / f"{name}.tflite"
    if not (model.is_file() and is_expected(model.read_bytes(), name)):
        raise HeadsplatError(f"{model}: missing or damaged; install the package headsplat-models again")
    return model


def is_expected(content: bytes, name: str) -> bool:
    """Whether these are the bytes of a model of the wheel."""
    return hashlib.sha256(content).hexdigest() == MODEL_SHA256[name]


def _is_whole(model: Path, name: str) -> bool:
    """Whether a file of the cache is the model of the wheel, for those that come from it; logs a warning if not."""
    if name not in MODEL_SHA256 or is_expected(model.read_bytes(), name):
        return True
    log.warning("%s: damaged (its SHA-256 is not that of MediaPipe's model); it is fetched again", model)
    return False


def _is_member(file: Path, archive: Path, member: str) -> bool:
    """Whether `file` has the content of a member of a zip."""
    try:
        with zipfile.ZipFile(archive) as opened:
            return opened.read(member) == file.read_bytes()
    except (zipfile.BadZipFile, KeyError, OSError):
        return False


def _fetch_wheel(cache: Path, download: Downloader) -> None:
    source = f"download {WHEEL} from https://pypi.org/project/mediapipe/0.10.21/#files and put it into {cache}"
    advice = f"install the package headsplat-models, or {source}"
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HeadsplatError(f"{cache}: cannot be made ({error}); set HEADSPLAT_CACHE to a writable folder") from error
    log.info("fetching the face models (35 MB, once) into %s", cache)
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=cache) as scratch:
        try:
            download(Path(scratch))
        except OSError as error:
            raise HeadsplatError(f"the face models could not be downloaded ({error}); {advice}") from error
        wheel = Path(scratch) / WHEEL
        if not wheel.is_file():
            raise HeadsplatError(f"the face models could not be downloaded (pip left no {WHEEL}); {advice}")
        _unpack_wheel(wheel, cache)


def _pip_download(folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", "3.11", "--platform", "manylinux_2_28_x86_64", "--disable-pip-version-check"]
    command += ["mediapipe==0.10.21", "-d", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    except subprocess.TimeoutExpired as error:
        raise OSError("pip took more than 15 minutes") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise OSError(f"pip failed: {lines[-1].strip() if lines else f'exit code {done.returncode}'}")


def _unpack_wheel(wheel: Path, cache: Path) -> None:
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if digest != WHEEL_SHA256:
        raise HeadsplatError(
            f"{wheel.name}: its SHA-256 is {digest[:16]}..., expected {WHEEL_SHA256[:16]}...; "
            f"delete it and download it again from https://pypi.org/project/mediapipe/0.10.21/#files"
        )
    wanted = {member: cache / f"{name}.tflite" for name, member in WHEEL_MEMBERS.items()}
    wanted[_LICENSE_MEMBER] = cache / LICENSE_FILE
    _extract(wheel, wanted)


def _extract(archive: Path, targets: dict[str, Path]) -> None:
    """Write members of a zip to files, each whole or not at all."""
    try:
        with zipfile.ZipFile(archive) as opened:
            for member, target in targets.items():
                target.parent.mkdir(parents=True, exist_ok=True)
                with replacement(target, temporary_path(target)) as temporary:
                    temporary.write_bytes(opened.read(member))
    except (zipfile.BadZipFile, KeyError) as error:
        raise HeadsplatError(f"{archive}: damaged or not the expected file ({error}); download it again") from error
    except OSError as error:
        raise HeadsplatError(
            f"{archive}: cannot be unpacked ({error}); set HEADSPLAT_CACHE to a writable folder"
        ) from error
