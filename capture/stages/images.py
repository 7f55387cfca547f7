"""Small images of the stored frames, for the stages after the one that stores them."""

from __future__ import annotations

import threading
import zlib
from pathlib import Path

import cv2
import numpy as np

from avatar.common.image_io import read_image
from avatar.data.capture_folder import FRAMES_DIR, MATTES_DIR, frame_name
from avatar.errors import HeadsplatError

#: Longer side, pixels.
SMALL = 256
#: Bytes that may be kept; of further frames the stored images are read.
_MOST_BYTES = 40_000_000


class SmallImages:
    """Luma and matte of stored frames with a longer side of at most SMALL pixels.

    They are kept in memory while frames are stored. Those of frames that an earlier run stored, or that are too many,
    are read and shrunk again, to the same values.
    """

    def __init__(self, root: Path, stored: tuple[int, int]) -> None:
        """
        Args:
            root: folder with the stored frames and mattes.
            stored: their width and height, pixels.
        """
        #: pixels of a small image per pixel of a stored one
        self.scale = min(1.0, SMALL / max(stored))
        self._root = root
        self._size = round(stored[0] * self.scale), round(stored[1] * self.scale)
        self._kept: dict[int, tuple[np.ndarray, bytes]] = {}  # luma, and the matte compressed
        self._bytes = 0
        self._lock = threading.Lock()

    def add(self, number: int, rgb: np.ndarray, matte: np.ndarray) -> None:
        """Keep frame `number`, stored as `rgb` [H,W,3] and `matte` [H,W] uint8, if there is room; thread-safe."""
        if self._bytes > _MOST_BYTES:
            return
        luma = self._shrunk(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))
        packed = zlib.compress(self._shrunk(matte).tobytes(), 1)
        with self._lock:
            self._kept[number] = luma, packed
            self._bytes += luma.nbytes + len(packed)

    def luma(self, number: int) -> np.ndarray:
        """Luma [h,w] uint8 of frame `number`; raises HeadsplatError where it is not stored."""
        if number in self._kept:
            return self._kept[number][0]
        return self._shrunk(self.stored_luma(number))

    def stored_luma(self, number: int) -> np.ndarray:
        """Luma [H,W] uint8 of frame `number` as it is stored; raises HeadsplatError where it is not."""
        # Not IMREAD_GRAYSCALE: libpng rounds otherwise than cvtColor.
        return cv2.cvtColor(self._read(FRAMES_DIR, number, cv2.IMREAD_COLOR), cv2.COLOR_BGR2GRAY)

    def matte(self, number: int) -> np.ndarray:
        """Matte [h,w] uint8 of frame `number`; raises HeadsplatError where it is not stored."""
        if number in self._kept:
            return np.frombuffer(zlib.decompress(self._kept[number][1]), np.uint8).reshape(self._size[::-1])
        return self._shrunk(self._read(MATTES_DIR, number, cv2.IMREAD_GRAYSCALE))

    def _read(self, folder: str, number: int, mode: int) -> np.ndarray:
        path = self._root / folder / frame_name(number)
        image = read_image(path, mode)
        if image is None:
            raise HeadsplatError(f"{path}: missing or damaged image; capture the video again")
        return image

    def _shrunk(self, image: np.ndarray) -> np.ndarray:
        if self.scale == 1.0:
            return image
        return cv2.resize(image, self._size, interpolation=cv2.INTER_AREA)
