"""Whether a GPU has passed the self-check with this driver, torch and kernels; kept in the user's cache."""

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
from .self_check import Row, self_check

log = logging.getLogger(__name__)

VERSION = 1  #: of the self-check: change it with the cases, so that every device is checked again
_DRIVER = Path("/proc/driver/nvidia/version")
_known: dict[str, str] = {}  # failures of this process by the digest of what was checked; empty: passed


def device_failure(device: torch.device) -> str:
    """What the self-check found wrong with this GPU, in one sentence; empty when it passed.

    Runs it, some seconds, unless its result for this device, driver, torch and kernels is in the cache.
    """
    checked = describe(device)
    digest = _digest(checked)
    if digest not in _known:
        stored = _read(_path(digest), checked)
        _known[digest] = check_device(device) if stored is None else stored
    return _known[digest]


def check_device(device: torch.device) -> str:
    """Run the self-check and keep its result; the sentence of `device_failure`."""
    return record(device, self_check(device))


def record(device: torch.device, rows: list[Row]) -> str:
    """Keep the result of a self-check in the cache; the sentence of `device_failure`."""
    checked = describe(device)
    failure = sentence(device, checked["name"], rows)
    path = _path(_digest(checked))
    try:
        with atomic_path(path) as partial:
            partial.write_text(json.dumps({"checked": checked, "failure": failure}), encoding="utf-8")
    except HeadsplatError as error:
        log.info("the self-check of %s is not kept: %s", device, error)
    return failure


def sentence(device: torch.device, name: str, rows: list[Row]) -> str:
    """Which op fails first, how far it is off, and what to do; empty when all pass."""
    failed = [row for row in rows if row.failure]
    if not failed:
        return ""
    more = f", and {len(failed) - 1} more fail" if len(failed) > 1 else ""
    return (
        f"{device} ({name}) fails the self-check: {failed[0].op} {failed[0].failure}{more}; use the CPU, update the "
        f"driver or reinstall headsplat, and see `headsplat doctor --device {device}`"
    )


def describe(device: torch.device) -> dict[str, str]:
    """What a result is valid for: the GPU, its driver, torch, and the kernels."""
    properties = torch.cuda.get_device_properties(device)
    state = kernels_module().cuda.device_state()
    module = Path(str(kernels_module().__file__))
    return {
        "check": str(VERSION),
        "name": str(properties.name),
        "uuid": str(getattr(properties, "uuid", device.index)),
        "driver": _driver(str(state[1])),
        "runtime": f"{state[0]} {torch.version.cuda}",
        "torch": torch.__version__,
        "kernels": hashlib.sha256(module.read_bytes()).hexdigest(),
    }


def _driver(newest_cuda: str) -> str:
    """The driver's version where the system states it, with the newest CUDA version that it supports."""
    try:
        return f"{newest_cuda} {_DRIVER.read_text(errors='replace').splitlines()[0]}"
    except (OSError, IndexError):
        return newest_cuda


def _digest(checked: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(checked, sort_keys=True).encode()).hexdigest()[:24]


def _path(digest: str) -> Path:
    return user_cache("devices") / f"{digest}.json"


def _read(path: Path, checked: dict[str, str]) -> str | None:
    """The failure in a cache file, or None if there is no valid one."""
    try:
        entry: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(entry, dict) or entry.get("checked") != checked or not isinstance(entry.get("failure"), str):
        return None
    return str(entry["failure"])
