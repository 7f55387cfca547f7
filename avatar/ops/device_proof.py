"""Whether a GPU has passed the self-check with this driver, torch and kernels; kept in the user's cache."""

from __future__ import annotations

import torch

from . import proof_cache
from .proof_cache import digest_of, keep_failure, stored_failure
from .self_check import Row, self_check

VERSION = 1  #: of the self-check: change it with the cases, so that every device is checked again
_known: dict[str, str] = {}  # failures of this process by the digest of what was checked; empty: passed


def device_failure(device: torch.device) -> str:
    """What the self-check found wrong with this GPU, in one sentence; empty when it passed.

    Runs it, some seconds, unless its result for this device, driver, torch and kernels is in the cache.
    """
    checked = describe(device)
    digest = digest_of(checked)
    if digest not in _known:
        stored = stored_failure(checked)
        _known[digest] = check_device(device) if stored is None else stored
    return _known[digest]


def check_device(device: torch.device) -> str:
    """Run the self-check and keep its result; the sentence of `device_failure`."""
    return record(device, self_check(device))


def record(device: torch.device, rows: list[Row]) -> str:
    """Keep the result of a self-check in the cache; the sentence of `device_failure`."""
    checked = describe(device)
    failure = sentence(device, checked["name"], rows)
    keep_failure(checked, failure)
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
    return proof_cache.describe(device, VERSION)
