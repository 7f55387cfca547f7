"""Size and exposure of the stored images of a capture; OpenCV is imported where images are changed."""

from __future__ import annotations

import numpy as np


def fitted_size(width: int, height: int, size: int) -> tuple[int, int]:
    """(width, height) of images of `width` x `height` when the longer side is `size` pixels; never enlarged."""
    scale = min(1.0, size / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def shrunk(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The image area-averaged to (width, height) `size`."""
    if (image.shape[1], image.shape[0]) == size:
        return image
    import cv2

    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def normalize_exposure(rgb: np.ndarray, exposure: np.ndarray) -> None:
    """Divide each channel of images by its gain, in place: frames fill much of the memory.

    Args:
        rgb: [n,H,W,3] uint8, changed.
        exposure: [n,3].
    """
    if (exposure == 1).all():
        return
    import cv2

    values = np.arange(256)
    tables = np.clip(values / exposure[..., None] + 0.5, 0, 255).astype(np.uint8)  # [n,3,256]
    for image, table in zip(rgb, tables, strict=True):
        image[:] = cv2.LUT(image, np.ascontiguousarray(table.T[None]))
