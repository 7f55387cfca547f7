"""Other packages in place of our own ops on a GPU: which one is used, whether it has proven itself, and why not.

nvdiffrast finds the depths of meshes, tiny-cuda-nn computes the networks of a training. Each has one adapter behind the
contract of our op. It is taken only within `other_packages()`, where its package is installed, for float32 tensors on a
GPU, after a self-check that compares it with our op. The check runs in a process of its own, because a kernel that
fails spoils the whole process, and its result is kept in the user's cache with all versions. Whatever fails is one
sentence in the log, and our op is used.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeVar

import torch
from torch import Tensor

from .graphs import is_capturing
from .proof_cache import describe, keep_failure, stored_failure

log = logging.getLogger(__name__)
Result = TypeVar("Result")

VERSION = 1  #: of the check of the packages: change it with its cases or with an adapter
_PATIENCE = 900  # seconds for a check: older versions of nvdiffrast compile themselves when they are first used
#: import name -> what it computes, for people
PACKAGES = {
    "nvdiffrast": "depths of the mesh layer and of the passes of the mesh",
    "tinycudann": "hash grid and small networks of a training",
}


@dataclass(frozen=True)
class Proof:
    """What is known of a package on a GPU."""

    adapter: ModuleType | None  # to be called; None: our op
    why: str  # not, in one sentence; empty where it is used


_lock = threading.RLock()
_proofs: dict[tuple[str, str], Proof] = {}
_blocks = 0  # of `other_packages`, in all threads
_forced = threading.local()  # name and adapter, within `forced`


@contextmanager
def other_packages(wanted: bool = True) -> Iterator[None]:
    """Within the block, also in other threads, ops may use packages that have proven themselves."""
    global _blocks
    with _lock:
        _blocks += wanted
    try:
        yield
    finally:
        with _lock:
            _blocks -= wanted


@contextmanager
def forced(name: str, adapter: ModuleType | None) -> Iterator[None]:
    """Within the block this thread uses `adapter` unproven, and no other; its errors are raised."""
    before = getattr(_forced, "value", None)
    _forced.value = name, adapter
    try:
        yield
    finally:
        _forced.value = before


def own_ops() -> Any:
    """A block in which this thread uses our own ops."""
    return forced("", None)


def attempted(name: str, like: Tensor, call: Callable[[Any], Result]) -> Result | None:
    """`call(adapter)` where the package is to be used for tensors like `like`; None: use our op.

    Args:
        name: of the package.
        like: with the dtype and device of the inputs.
        call: what to do with the adapter. If it raises, that is reported, and the package is not used again.
    """
    chosen = getattr(_forced, "value", None)
    if chosen is not None:
        return call(chosen[1]) if chosen[0] == name and like.dtype == torch.float32 else None
    if not _blocks or like.device.type != "cuda" or like.dtype != torch.float32:
        return None
    if is_capturing(like):  # both wait for the host, which a graph cannot hold
        return None
    proof = proof_of(name, like.device)
    if proof.adapter is None:
        return None
    try:
        return call(proof.adapter)
    except Exception as error:  # whatever the package raises
        _give_up(name, like.device, f"{_titled(name)} fails on {like.device}: {first_line(error)}")
        return None


def proof_of(name: str, device: torch.device) -> Proof:
    """Whether the package is used on a GPU; checks it, in another process, where no result is in the cache."""
    key = name, str(device)
    with _lock:
        if key not in _proofs:
            if importlib.util.find_spec(name) is None:
                _proofs[key] = Proof(None, not_installed(name))
            elif failure := _failure(name, device):
                _give_up(name, device, failure)
            else:
                log.info("%s on %s: %s", PACKAGES[name], device, _titled(name))
                _proofs[key] = Proof(load_adapter(name), "")
        return _proofs[key]


def not_installed(name: str) -> str:
    """Why a package that is not there is not used."""
    return f"{name} is not installed"


def _failure(name: str, device: torch.device) -> str:
    checked = what_is_checked(name, device)
    stored = stored_failure(checked)
    if stored is not None:
        return stored
    failure = run_check(name, device)
    keep_failure(checked, failure)
    return failure


def _give_up(name: str, device: torch.device, why: str) -> None:
    with _lock:
        _proofs[name, str(device)] = Proof(None, why)
    log.warning("%s; headsplat's own kernels are used", why)


def load_adapter(name: str) -> ModuleType:
    """The adapter of a package; the package is imported when it is first called."""
    return importlib.import_module(f"avatar.ops.{name}_adapter")


def run_check(name: str, device: torch.device) -> str:
    """Check a package in a process of its own; what is wrong with it, in one sentence, empty when it passes."""
    return run_check_of(_titled(name), device, "avatar.ops.package_check", name, str(device))


def run_check_of(what: str, device: torch.device, module: str, *arguments: str) -> str:
    """Run a module that checks `what` in a process of its own; the last line that it prints, or why there is none."""
    import subprocess

    command = [sys.executable, "-m", module, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return f"{what}: its self-check on {device} cannot run: {first_line(error)}"
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        return f"{what}: its self-check on {device} ended with exit code {done.returncode}"
    return lines[-1].strip()


def what_is_checked(name: str, device: torch.device) -> dict[str, str]:
    """What a result of the check of a package is valid for."""
    return {**describe(device, VERSION), "package": name, "version": version_of(name)}


def version_of(name: str) -> str:
    """The installed version of a package; empty where it does not say."""
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _titled(name: str) -> str:
    return f"{name} {version_of(name)}".strip()


def failure_of(name: str, device: torch.device, failures: list[str]) -> str:
    """The sentence for a check in which ops failed, each "mesh differs ..."; empty for none."""
    more = f", and {len(failures) - 1} more fail" if len(failures) > 1 else ""
    return f"{_titled(name)} fails its self-check on {device}: {failures[0]}{more}" if failures else ""


def state_of(name: str, device: torch.device | None) -> str:
    """Whether a package is used on a GPU, for people; does not check it.

    Args:
        name: of the package.
        device: the GPU; None: there is none that our kernels can use.
    """
    if importlib.util.find_spec(name) is None:
        return f"headsplat's own: {not_installed(name)}"
    if device is None:
        return f"headsplat's own: {name} is for CUDA, and no GPU can be used"
    stored = stored_failure(what_is_checked(name, device))
    if stored is None:
        return f"headsplat's own until {_titled(name)} is checked, on first use or by `headsplat doctor --device cuda`"
    return f"headsplat's own: {stored}" if stored else f"{_titled(name)}, unless --rasterizer own"


def check_again(device: torch.device) -> dict[str, str]:
    """Check each installed package on a GPU, whatever the cache holds, and keep the result.

    Returns:
        `state_of` by the name of the package.
    """
    for name in PACKAGES:
        if importlib.util.find_spec(name) is not None:
            keep_failure(what_is_checked(name, device), run_check(name, device))
    return {name: state_of(name, device) for name in PACKAGES}


def first_line(error: Exception) -> str:
    """What an exception says, on one line."""
    words = str(error).strip().splitlines()
    return words[0] if words else type(error).__name__
