"""The device for a name: `auto`, `cpu`, `cuda` or `cuda:N`."""

from __future__ import annotations

import logging
import re

import torch

from avatar.errors import HeadsplatError

from .backend import cuda_problem

log = logging.getLogger(__name__)
_NAME = re.compile(r"auto|cpu|cuda(:(0|[1-9][0-9]{0,3}))?", re.ASCII)
_reported: set[str] = set()  # failures that were logged, each once


def chosen_device(name: str | torch.device) -> torch.device:
    """The device that `name` selects on this machine.

    Args:
        name: `cpu`; `cuda`, the first GPU, or `cuda:N`; `auto`, the first GPU if there is one that native kernels can
            use and that passes the self-check, else the CPU; a failed check is logged. A
            torch.device of another kind is returned as it is: it has no native kernels.

    Raises:
        HeadsplatError: another name, or a GPU that is not there, that no native kernels can use, or that fails the
            self-check.
    """
    if isinstance(name, torch.device) and name.type not in ("cpu", "cuda"):
        return name
    text = str(name)
    if _NAME.fullmatch(text) is None:
        raise HeadsplatError(f"device {text}: not known; give auto, cpu, cuda or cuda:N")
    if text == "cpu":
        return torch.device("cpu")
    if text != "auto":
        return _prove(gpu(text), fall_back=False)
    return torch.device("cpu") if _problem(0) else _prove(torch.device("cuda", 0), fall_back=True)


def gpu(name: str) -> torch.device:
    """The GPU `cuda` or `cuda:N` without a self-check, to run one by hand.

    Raises:
        HeadsplatError: another name, or a GPU that is not there or that no native kernels can use.
    """
    match = _NAME.fullmatch(name)
    if match is None or not name.startswith("cuda"):
        raise HeadsplatError(f"device {name}: not a GPU; give cuda or cuda:N")
    index = int(name.partition(":")[2] or 0)
    if problem := _problem(index):
        raise HeadsplatError(f"device {name}: no CUDA GPU: {problem}")
    return torch.device("cuda", index)


def _prove(device: torch.device, fall_back: bool) -> torch.device:
    """The GPU if it passes its self-check, else the CPU.

    Raises:
        HeadsplatError: it fails, and `fall_back` is off.
    """
    from .device_proof import device_failure  # only where there is a GPU

    failure = device_failure(device)
    if failure and not fall_back:
        raise HeadsplatError(f"device {failure}")
    if failure and failure not in _reported:
        _reported.add(failure)
        log.warning("%s; continuing on the CPU", failure)
    return torch.device("cpu") if failure else device


def _problem(index: int) -> str:
    """Why native kernels cannot run on this GPU, in one sentence; empty when they can."""
    if not torch.cuda.is_available():
        return "torch finds no CUDA device."
    count = torch.cuda.device_count()
    return cuda_problem() or ("" if index < count else f"torch finds {count}, counted from cuda:0.")
