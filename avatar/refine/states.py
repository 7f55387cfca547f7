"""The states of a clip: refinements that do not depend on each other, on all cores, and sums of images by state."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from avatar import ops
from avatar.ops.ordered_map import ordered_map

Result = TypeVar("Result")

#: Chunks that are in memory at once, at most.
_MOST_THREADS = 8


def solve_chunks(
    solve: Callable[[Tensor], Result],
    states: int,
    size: int,
    device: torch.device,
    progress: Callable[[int, int], None] | None = None,
) -> list[Result]:
    """Results of all chunks, in order; the same bits whatever the number of cores.

    Args:
        solve: called with the rows [s] int of a chunk's states, on `device`; in several threads where that is the CPU.
        states: number S of states; without any, `solve` is called once with no rows.
        size: states of a chunk.
        device: where the states are.
        progress: called in this thread with (states done, S); what it raises ends the work.
    """
    threads = min(ops.kernel_threads(), _MOST_THREADS) if device.type == "cpu" else 1
    ends = [min(start + size, states) for start in range(0, max(1, states), size)]
    chunks = [torch.arange(start, end, device=device) for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    results = []
    with contextlib.closing(ordered_map(lambda: solve, chunks, threads)) as solved:
        for end, result in zip(ends, solved, strict=True):
            results.append(result)
            if progress:
                progress(end, states)
    return results


def add_by_row(out: Tensor, rows: Tensor, values: Tensor) -> Tensor:
    """Add `values` [m,...] to the rows `rows` [m] int of `out` [n,...], in place; returns `out`.

    The same bits on every run: `index_add_` on a GPU adds in an order that changes.
    """
    if out.device.type == "cpu":
        return out.index_add_(0, rows, values)
    chosen = (rows == torch.arange(len(out), device=rows.device)[:, None]).to(values.dtype)  # [n,m]
    return out.add_((chosen @ values.reshape(len(values), -1)).view(out.shape))
