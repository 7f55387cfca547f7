"""The device for a name: `auto`, `cpu`, `cuda` or `cuda:N`."""

from __future__ import annotations

import re

import torch

from avatar.errors import HeadsplatError

from .backend import cuda_problem

_NAME = re.compile(r"auto|cpu|cuda(:(0|[1-9][0-9]{0,3}))?", re.ASCII)


def chosen_device(name: str | torch.device) -> torch.device:
    """The device that `name` selects on this machine.

    Args:
        name: `cpu`; `cuda`, the first GPU, or `cuda:N`; `auto`, the first GPU if there is one that native kernels can
            use, else the CPU. A torch.device of another kind is returned as it is: it has no native kernels.

    Raises:
        HeadsplatError: another name, or a GPU that is not there or that no native kernels can use.
    """
    if isinstance(name, torch.device) and name.type not in ("cpu", "cuda"):
        return name
    text = str(name)
    if _NAME.fullmatch(text) is None:
        raise HeadsplatError(f"device {text}: not known; give auto, cpu, cuda or cuda:N")
    if text == "cpu":
        return torch.device("cpu")
    index = int(text.partition(":")[2] or 0)
    problem = _problem(index)
    if problem and text != "auto":
        raise HeadsplatError(f"device {text}: no CUDA GPU: {problem}")
    return torch.device("cpu") if problem else torch.device("cuda", index)


def _problem(index: int) -> str:
    """Why native kernels cannot run on this GPU, in one sentence; empty when they can."""
    if not torch.cuda.is_available():
        return "torch finds no CUDA device."
    count = torch.cuda.device_count()
    return cuda_problem() or ("" if index < count else f"torch finds {count}, counted from cuda:0.")
