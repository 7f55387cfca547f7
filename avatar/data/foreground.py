"""Colors of the person in pixels that the matte covers in part, without the background that shines through.

Such a pixel of the frame mixes two colors; trained on as it is, it leaves a rim of background color round the avatar.
The estimate is the blur fusion of Forte, "Approximate fast foreground colour estimation" (2021): colors of both sides
are spread by a blur weighted with the matte, then corrected so that they mix to the pixel; twice, wide and narrow.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

#: Radii of the wide and the narrow blur, as fractions of the longer side.
_WIDE = 0.06
_NARROW = 0.01
#: The wide blur works on images this many times smaller.
_SHRINK = 4
#: Rows that are mended together at full size: their planes stay in the processor's cache.
_STRIP = 64
#: Keeps the blur's weight from vanishing far away from a side.
_LEAST = 1e-4


def take_foreground_colors(rgb: np.ndarray, alpha: np.ndarray, threads: int = 2) -> None:
    """Change pixels at the edge of the mattes to the color of the person, in place: frames fill much of the memory.

    Pixels that the matte covers fully or not at all keep their color.

    Args:
        rgb: [n,H,W,3] uint8, changed.
        alpha: [n,H,W] uint8.
        threads: on which frames are changed.
    """
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(_take_foreground, rgb, alpha))


def _take_foreground(rgb: np.ndarray, alpha: np.ndarray) -> None:
    """The same for one frame [H,W,3] and its matte [H,W]."""
    rows, columns = np.nonzero((alpha > 0) & (alpha < 255))
    if not len(rows):
        return
    height, width = alpha.shape
    small = (max(1, width // _SHRINK), max(1, height // _SHRINK))
    image = cv2.resize(rgb, small, interpolation=cv2.INTER_AREA).astype(np.float32)
    matte = cv2.resize(alpha, small, interpolation=cv2.INTER_AREA)
    radius = _radius(matte, _WIDE)
    sides = [_spread(image, matte, radius), _spread(image, 255 - matte, radius)]
    wide = [cv2.resize(side, (width, height), interpolation=cv2.INTER_LINEAR) for side in sides]
    # The same once more at full size round the edge, with what the wide blur left unexplained put on the person's side
    # first.
    radius = _radius(alpha, _NARROW)
    mended = np.empty((len(rows), 3), np.float32)
    for top in range(rows[0], rows[-1] + 1, _STRIP):
        here = slice(*np.searchsorted(rows, [top, top + _STRIP]))
        if here.start == here.stop:
            continue
        y = max(top - radius, 0)
        x = max(columns[here].min() - radius, 0)
        part = np.s_[y : top + _STRIP + radius, x : columns[here].max() + radius + 1]
        frame, share, person, background = (plane[part] for plane in (rgb, alpha, *wide))
        person = _spread(_mend(frame, share, person, background), share, radius)
        background = _spread(background, 255 - share, radius)
        edge = (rows[here] - y, columns[here] - x)
        mended[here] = _mend(*(plane[edge][:, None] for plane in (frame, share, person, background)))[:, 0]
    rgb[rows, columns] = np.rint(mended).astype(np.uint8)


def _radius(matte: np.ndarray, fraction: float) -> int:
    """Of a blur, pixels; as a fraction of the longer side of the matte."""
    return max(1, round(fraction * max(matte.shape)))


def _mend(rgb: np.ndarray, alpha: np.ndarray, person: np.ndarray, background: np.ndarray) -> np.ndarray:
    """The person's colors [H,W,3] float32, changed so that the two sides mix to the image; eq. 7 of the paper."""
    matte = cv2.merge([np.multiply(alpha, np.float32(1 / 255), dtype=np.float32)] * 3)
    mixed = background + matte * (person - background)
    return np.clip(person + matte * (rgb - mixed), 0, 255, dtype=np.float32)


def _spread(colors: np.ndarray, share: np.ndarray, radius: int) -> np.ndarray:
    """Mean of `colors` [H,W,3] in a box round each pixel, weighted by the fourth power of `share` [H,W] uint8.

    A pixel that shows both sides says little of either.
    """
    size = (2 * radius + 1,) * 2
    weight = cv2.LUT(share, ((np.arange(256) / 255) ** 4 + _LEAST).astype(np.float32))
    sums = cv2.blur(cv2.multiply(colors, cv2.merge([weight] * 3)), size)
    return cv2.divide(sums, cv2.merge([cv2.blur(weight, size)] * 3))
