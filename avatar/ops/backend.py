"""Which native kernels, if any, take a tensor."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import cuda_ext

from .cuda import CudaKernels


def native_for(tensor: Tensor) -> Any:
    """The native functions for tensors like this one, or None where only `avatar.reference` fits.

    They have the same names and arguments for every device; those of a CUDA tensor run on its current stream.
    """
    if tensor.dtype != torch.float32:
        return None
    if tensor.device.type == "cpu" and cuda_ext.available("cpu"):
        return cuda_ext.native()
    if tensor.device.type == "cuda" and cuda_ext.available("cuda"):
        stream = torch.cuda.current_stream(tensor.device).cuda_stream
        return CudaKernels(cuda_ext.native().cuda, stream, tensor.device)
    return None
