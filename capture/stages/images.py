"""Reading the images that an earlier stage stored."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from avatar.common.image_io import read_image
from avatar.errors import HeadsplatError


def read_stored(path: Path) -> np.ndarray:
    """Luma or matte [H,W] uint8 of a stored image; raises HeadsplatError."""
    image = read_image(path, cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise HeadsplatError(f"{path}: missing or damaged image; capture the video again")
    return image
