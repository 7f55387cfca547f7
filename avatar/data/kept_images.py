"""Images of a capture that is made and trained on in one process: they need not be read from its files again."""

from __future__ import annotations

import numpy as np

from avatar.data.foreground import take_foreground_colors
from avatar.data.stored_images import fitted_size, normalize_exposure, shrunk


class KeptImages:
    """Frames and mattes of the training images of a capture, prepared for the training while it is made."""

    def __init__(self, size: int) -> None:
        """
        Args:
            size: longer side of the training images, pixels.
        """
        self._size = size
        self._images: tuple[np.ndarray, np.ndarray] | None = None
        self._rows: dict[int, int] = {}  # by frame number
        self._missing: set[int] = set()
        self._prepared = False

    def expect(self, numbers: list[int], stored: tuple[int, int]) -> None:
        """Make room for the frames `numbers`, which are stored with this width and height, pixels."""
        width, height = fitted_size(*stored, self._size)
        count = len(numbers)
        self._images = np.empty((count, height, width, 3), np.uint8), np.empty((count, height, width), np.uint8)
        self._rows = {number: row for row, number in enumerate(numbers)}
        self._missing = set(numbers)

    def add(self, number: int, rgb: np.ndarray, matte: np.ndarray) -> None:
        """Keep frame `number`, stored as `rgb` [H,W,3] and `matte` [H,W] uint8, if it is expected; thread-safe."""
        row = self._rows.get(number)
        if row is None or self._images is None:
            return
        for images, image in zip(self._images, (rgb, matte), strict=True):
            images[row] = shrunk(image, (images.shape[2], images.shape[1]))
        self._missing.discard(number)

    def prepare(self, numbers: list[int], exposure: np.ndarray) -> None:
        """Normalize the exposure [n,3] of the frames `numbers` and take their foreground colors, on this thread.

        Nothing is kept where these frames are not those expected, or where an earlier run has stored some of them.
        """
        if self._images is None or self._missing or numbers != list(self._rows):
            self._images = None
            return
        rgb, alpha = self._images
        normalize_exposure(rgb, exposure)
        take_foreground_colors(rgb, alpha, threads=1)
        self._prepared = True

    def take(self, numbers: list[int], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray] | None:
        """Hand over frames [n,H,W,3] and mattes [n,H,W]; None where they are not those of `numbers` at `size`.

        Either way nothing is kept afterwards: images fill much of the memory.
        """
        images = self._images
        self._images = None
        if images is None or not self._prepared or numbers != list(self._rows) or size != images[1].shape[:0:-1]:
            return None
        return images
