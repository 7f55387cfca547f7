"""The losses of the steps of a training, read from its device a few at a time."""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: Steps on a device between two readings of the loss: each waits until the device has done all its work.
READ_EVERY = 20
#: Weight of a step in the running mean of the squared difference, after the first ones.
_NEWEST_SHARE = 0.02


class Losses:
    """Collects the losses of the steps; the numbers are the same however many are read at once."""

    def __init__(self, device: torch.device) -> None:
        """Args: device of the training. On the CPU each step is read at once, elsewhere every `READ_EVERY`-th waits."""
        self._read_every = 1 if device.type == "cpu" else READ_EVERY
        self._waiting: list[tuple[Tensor, Tensor, int]] = []  # loss and squared difference, steps done
        self._last = 0.0
        self._mean_square = 0.05
        #: steps on a device whose images did not fit into the memory of the rasterizer, so that they changed nothing
        self.skipped = 0

    def add(self, losses: Tensor, squares: Tensor, steps: int) -> float:
        """Take what a step found; returns the loss of the last step that was read.

        Args:
            losses: [B] of the images.
            squares: [B] mean squared differences of the images.
            steps: that are done, with this one.
        """
        self._waiting.append((losses.detach().mean(), squares.mean(), steps))
        if len(self._waiting) >= self._read_every:
            self._read()
        return self._last

    @property
    def mean_square(self) -> float:
        """Running mean of the squared difference; reads the steps that were not read yet."""
        self._read()
        return self._mean_square

    @mean_square.setter
    def mean_square(self, value: float) -> None:
        self._waiting.clear()
        self._mean_square = value

    def _read(self) -> None:
        if not self._waiting:
            return
        if len(self._waiting) == 1:
            values = [value.item() for value in self._waiting[0][:2]]
        else:  # one copy from the device
            values = torch.stack([value for entry in self._waiting for value in entry[:2]]).tolist()
        for loss, square, (*_, steps) in zip(values[::2], values[1::2], self._waiting, strict=True):
            if self._read_every > 1 and not math.isfinite(loss):
                self.skipped += 1
                continue
            self._last = loss
            self._mean_square += (square - self._mean_square) * max(_NEWEST_SHARE, 1 / steps)
        self._waiting.clear()
