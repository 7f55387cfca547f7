"""A picture of any size in a frame of a fixed one."""

from __future__ import annotations

import cv2
import numpy as np


def fitted(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """`picture` uint8 [H,W,3] as large as fits into `width` x `height` pixels, in the middle, black beside it.

    Returns:
        [height,width,3]; the picture itself where it has that size already.
    """
    tall, wide = picture.shape[:2]
    if (tall, wide) == (height, width):
        return picture
    scale = min(width / wide, height / tall)
    # A size halved and rounded comes back a pixel short: no bar for that.
    inner_wide, inner_tall = (
        whole if whole - side * scale < 2 else max(1, round(side * scale))
        for whole, side in ((width, wide), (height, tall))
    )
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    resized = cv2.resize(np.ascontiguousarray(picture), (inner_wide, inner_tall), interpolation=way)
    if (inner_wide, inner_tall) == (width, height):
        return resized
    frame = np.zeros((height, width, 3), np.uint8)
    left, top = (width - inner_wide) // 2, (height - inner_tall) // 2
    frame[top : top + inner_tall, left : left + inner_wide] = resized
    return frame
