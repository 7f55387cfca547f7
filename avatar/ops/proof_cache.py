"""Results of self-checks in the user's cache, each valid for one GPU, driver, torch and build of the kernels."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import torch

from avatar.common.cache import user_cache
from avatar.common.files import atomic_path
from avatar.errors import HeadsplatError

from .backend import kernels_module

log = logging.getLogger(__name__)

_DRIVER = Path("/proc/driver/nvidia/version")


def stored_failure(checked: dict[str, str]) -> str | None:
    """The sentence that a check of `checked` ended with, empty where it passed; None: it is not in the cache."""
    entry = _read(_path(checked))
    return None if entry is None or entry["checked"] != checked else str(entry["failure"])


def stored_failures(part: dict[str, str]) -> list[tuple[dict[str, str], str]]:
    """All results in the cache for what has `part` in common: what was checked, and the sentence it ended with."""
    entries = [_read(path) for path in sorted(user_cache("devices").glob("*.json"))]
    return [
        (entry["checked"], entry["failure"])
        for entry in entries
        if entry is not None and part.items() <= entry["checked"].items()
    ]


def _read(path: Path) -> dict[str, Any] | None:
    """What a file of the cache holds; None where that is no result."""
    try:
        entry: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(entry, dict) or not isinstance(entry.get("failure"), str):
        return None
    checked = entry.get("checked")
    if not isinstance(checked, dict) or not all(isinstance(value, str) for value in checked.values()):
        return None
    return entry


def keep_failure(checked: dict[str, str], failure: str) -> None:
    """Keep the sentence that a check of `checked` ended with; where that cannot be, it runs again another time."""
    try:
        with atomic_path(_path(checked)) as partial:
            partial.write_text(json.dumps({"checked": checked, "failure": failure}), encoding="utf-8")
    except HeadsplatError as error:
        log.info("the self-check of %s is not kept: %s", checked.get("name"), error)


def describe(device: torch.device, version: int) -> dict[str, str]:
    """What a result is valid for: the version of the check, the GPU, its driver, torch, and the kernels."""
    properties = torch.cuda.get_device_properties(device)
    state = kernels_module().cuda.device_state()
    module = Path(str(kernels_module().__file__))
    return {
        "check": str(version),
        "name": str(properties.name),
        "uuid": str(getattr(properties, "uuid", device.index)),
        "driver": _driver(str(state[1])),
        "runtime": f"{state[0]} {torch.version.cuda}",
        "torch": torch.__version__,
        "kernels": hashlib.sha256(module.read_bytes()).hexdigest(),
    }


def digest_of(checked: dict[str, str]) -> str:
    """A short name of what was checked."""
    return hashlib.sha256(json.dumps(checked, sort_keys=True).encode()).hexdigest()[:24]


def _driver(newest_cuda: str) -> str:
    """The driver's version where the system states it, with the newest CUDA version that it supports."""
    try:
        return f"{newest_cuda} {_DRIVER.read_text(errors='replace').splitlines()[0]}"
    except (OSError, IndexError):
        return newest_cuda


def _path(checked: dict[str, str]) -> Path:
    return user_cache("devices") / f"{digest_of(checked)}.json"
