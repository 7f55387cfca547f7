"""Which native kernels, if any, take a tensor."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import cuda_ext


def native_for(tensor: Tensor) -> Any:
    """The native functions for tensors like this one, or None where only `avatar.reference` fits."""
    if tensor.dtype == torch.float32 and tensor.device.type == "cpu" and cuda_ext.available("cpu"):
        return cuda_ext.native()
    return None


def keep_memory() -> None:
    """Keep freed CPU memory in this process: a loop over frames otherwise spends more time on fresh pages than on work.

    Changes the C library's settings for the whole process and does nothing where they do not exist.
    """
    if cuda_ext.available("cpu"):
        cuda_ext.native().keep_freed_memory()
