"""An image of any size in a frame of fixed size, with black bars."""

from __future__ import annotations

import cv2
import numpy as np


def letterbox(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """`image` uint8 [H,W,3] scaled to fit into `width` x `height` pixels, centered, with black bars.

    Returns:
        [height,width,3]; `image` itself where it has that size.
    """
    tall, wide = image.shape[:2]
    if (tall, wide) == (height, width):
        return image
    scale = min(width / wide, height / tall)
    # A size that was halved and rounded is a pixel short when scaled back: no bar for that.
    inner_wide, inner_tall = (
        whole if whole - side * scale < 2 else max(1, round(side * scale))
        for whole, side in ((width, wide), (height, tall))
    )
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    resized = cv2.resize(np.ascontiguousarray(image), (inner_wide, inner_tall), interpolation=interpolation)
    if (inner_wide, inner_tall) == (width, height):
        return resized
    frame = np.zeros((height, width, 3), np.uint8)
    left = (width - inner_wide) // 2
    top = (height - inner_tall) // 2
    frame[top : top + inner_tall, left : left + inner_wide] = resized
    return frame
