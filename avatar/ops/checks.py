"""Argument checks shared by the operations."""

from __future__ import annotations

import torch
from torch import Tensor

from avatar.reference import SH_TERMS
from avatar.reference.images import SSIM_WINDOW


def check_floats(like: Tensor, **tensors: Tensor) -> None:
    """Raise ValueError unless all tensors have the float dtype and the device of `like`."""
    if not like.dtype.is_floating_point:
        raise ValueError(f"expected floating-point tensors, got {like.dtype}")
    for name, tensor in tensors.items():
        if tensor.dtype != like.dtype:
            raise ValueError(f"{name}: expected {like.dtype} like the first argument, got {tensor.dtype}")
        if tensor.device != like.device:
            raise ValueError(f"{name}: expected device {like.device} like the first argument, got {tensor.device}")


def check_integers(name: str, tensor: Tensor) -> None:
    """Raise ValueError unless the dtype is int64."""
    if tensor.dtype != torch.int64:
        raise ValueError(f"{name}: expected int64, got {tensor.dtype}")


#: Checked index tensors on a GPU with their version, memory and size: checking one again would synchronize.
_checked = torch.utils.weak.WeakIdKeyDictionary()


def check_indices(name: str, indices: Tensor, size: int) -> None:
    """Raise ValueError unless all are in 0..size-1.

    A tensor on a GPU is checked again only after PyTorch wrote to it. A change that PyTorch does not count is not
    noticed, but not dangerous: the CUDA kernels check each index that they read, and give NaN or nothing for a bad one.
    """
    cached = indices.device.type != "cpu" and not indices.is_inference()
    known = (indices._version, indices.data_ptr(), size) if cached else None
    if known is not None and _checked.get(indices) == known:
        return
    if indices.numel() and (int(indices.min()) < 0 or int(indices.max()) >= size):
        raise ValueError(f"{name}: expected indices in 0..{size - 1}, got {int(indices.min())}..{int(indices.max())}")
    if known is not None:
        _checked[indices] = known


def check_bytes(like: Tensor, **tensors: Tensor) -> None:
    """Raise ValueError unless all are uint8 on the device of `like`."""
    for name, tensor in tensors.items():
        if tensor.dtype != torch.uint8:
            raise ValueError(f"{name}: expected uint8, got {tensor.dtype}")
        if tensor.device != like.device:
            raise ValueError(f"{name}: expected device {like.device} like the first argument, got {tensor.device}")


def check_flags(name: str, flags: Tensor | None, count: int) -> None:
    """Raise ValueError unless `flags` is None or bool [count]."""
    if flags is None:
        return
    if flags.dtype != torch.bool:
        raise ValueError(f"{name}: expected bool, got {flags.dtype}")
    if tuple(flags.shape) != (count,):
        raise ValueError(f"{name}: expected [{count}], got {list(flags.shape)}")


def check_ssim_rows(rows: tuple[int, int]) -> None:
    """Raise ValueError unless these are a stride and the first row."""
    stride, first = rows
    if not 1 <= stride <= SSIM_WINDOW or not 0 <= first < stride:
        raise ValueError(f"ssim_rows: expected a stride of 1..{SSIM_WINDOW} and a first row below it, got {rows}")


def check_sh_terms(name: str, sh: Tensor) -> None:
    """Raise ValueError unless axis 2 has all terms of a degree from 0 to 3."""
    if sh.shape[2] not in SH_TERMS:
        raise ValueError(f"{name}: expected 1, 4, 9 or 16 spherical-harmonic terms (axis 2), got {sh.shape[2]}")
