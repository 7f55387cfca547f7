"""The order in which a training takes its images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


class ImageQueue:
    """Random permutations of some images, one after another."""

    def __init__(self, images: Sequence[int]) -> None:
        """Args: their indices."""
        self._images = images
        self.waiting: list[int] = []  # of the present permutation, the next one last

    def take(self, count: int, rng: np.random.Generator) -> Tensor:
        """The next `count` images, or as many as there are, int [B].

        They are on the host: one image is then a view, and nothing waits for the device.
        """
        chosen = []
        for _ in range(min(count, len(self._images))):
            if not self.waiting:
                self.waiting = [self._images[place] for place in rng.permutation(len(self._images)).tolist()]
            chosen.append(self.waiting.pop())
        return torch.tensor(chosen)
