"""Data-parallel training: several processes, started by `torchrun`, render a share of each batch.

All processes hold the same avatar, draw the same random numbers and take the same steps on the sum of all gradients, so
that nothing but gradients has to be sent. What depends on the clock or on a signal is decided by the first process.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from avatar.common.processes import started_processes
from avatar.errors import HeadsplatError

#: A process that says nothing for so long is lost: the others end.
TIMEOUT = timedelta(minutes=10)


@dataclass(frozen=True)
class Processes:
    """The processes of a training; one by default, for which every method returns what it is given."""

    rank: int = 0
    count: int = 1
    control: Any = None  # the group in which plain values are sent, on the CPU

    def check_batch(self, batch: int) -> None:
        """Raise HeadsplatError if a batch cannot be divided evenly."""
        if batch % self.count:
            raise HeadsplatError(
                f"batch: {batch} images a step cannot be divided among {self.count} processes; give a multiple of "
                f"{self.count} as `batch` in --config"
            )

    def share(self, batch: Tensor) -> Tensor:
        """The part of this process of what belongs to the images of a batch: [B,...] to [B / count,...]."""
        return batch if self.count == 1 else batch.chunk(self.count)[self.rank]

    def gather(self, share: Tensor) -> Tensor:
        """The parts of all processes in order: [B / count,...] to [B,...]."""
        if self.count == 1:
            return share
        parts = [torch.empty_like(share) for _ in range(self.count)]
        with _all_there():
            dist.all_gather(parts, share.contiguous())
        return torch.cat(parts)

    def sum_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Replace the gradient of each parameter by the sum over the processes; None where no process has one."""
        if self.count == 1:
            return
        given = torch.tensor([parameter.grad is not None for parameter in parameters], dtype=torch.int32)
        with _all_there():
            dist.all_reduce(given, group=self.control)
        chosen = [parameter for parameter, number in zip(parameters, given.tolist(), strict=True) if number]
        if not chosen:
            return
        flat = torch.cat([_gradient(parameter).flatten() for parameter in chosen])
        with _all_there():
            dist.all_reduce(flat)
        for parameter, gradient in zip(chosen, flat.split([parameter.numel() for parameter in chosen]), strict=True):
            parameter.grad = gradient.view_as(parameter)

    def agree(self, value: float) -> float:
        """The value of the first process."""
        if self.count == 1:
            return value
        sent = torch.tensor([value], dtype=torch.float64)
        with _all_there():
            dist.broadcast(sent, 0, group=self.control)
        return sent.item()


@contextmanager
def _all_there() -> Iterator[None]:
    """Raise HeadsplatError where an exchange fails, because another process has ended or hangs."""
    try:
        yield
    except RuntimeError as error:  # Gloo's; those of NCCL are subclasses
        raise HeadsplatError(
            f"torchrun: another process was lost; continue with --resume if you can ({_first_line(error)})"
        ) from error


def _gradient(parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


@contextmanager
def joined_processes(device: torch.device) -> Iterator[Processes]:
    """The processes that `torchrun` has started, joined until the block ends; one without it.

    Args:
        device: of this process: GPUs exchange gradients by NCCL, CPUs by Gloo.

    Raises:
        HeadsplatError: they cannot be joined.
    """
    if started_processes() == 1:
        yield Processes()
        return
    gpu = device.type == "cuda" and dist.is_nccl_available()
    try:
        dist.init_process_group("nccl" if gpu else "gloo", timeout=TIMEOUT)
    except (ValueError, RuntimeError) as error:
        raise HeadsplatError(f"torchrun: the processes cannot be joined ({_first_line(error)})") from error
    try:
        control = dist.new_group(backend="gloo", timeout=TIMEOUT)
        yield Processes(dist.get_rank(), dist.get_world_size(), control)
    finally:
        dist.destroy_process_group()


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
