"""Sums of the values of images by their state."""

from __future__ import annotations

import torch
from torch import Tensor


def add_by_row(out: Tensor, rows: Tensor, values: Tensor) -> Tensor:
    """Add `values` [m,...] to the rows `rows` [m] int of `out` [n,...], in place; returns `out`.

    The same bits on every run: `index_add_` on a GPU adds in an order that changes.
    """
    if out.device.type == "cpu":
        return out.index_add_(0, rows, values)
    chosen = (rows == torch.arange(len(out), device=rows.device)[:, None]).to(values.dtype)  # [n,m]
    return out.add_((chosen @ values.reshape(len(values), -1)).view(out.shape))
