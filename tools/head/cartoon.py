"""A cartoon face as input of the landmark network: the source of the embedded head's proportions."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]  # [192,192,3] RGB 0..1
Color = tuple[float, float, float]

SIZE = 192
_OVERSAMPLE = 4
SKINS: tuple[Color, ...] = ((0.86, 0.68, 0.57), (0.75, 0.56, 0.45), (0.6, 0.43, 0.33), (0.93, 0.77, 0.68))
_LIPS = (
    (78, 132), (86, 129.5), (92.5, 127.8), (96, 128.8), (99.5, 127.8), (106, 129.5),
    (114, 132), (106, 137), (96, 139.2), (86, 137),
)  # fmt: skip
_LIP_LINE = ((78, 132), (88, 132.4), (96, 132.8), (104, 132.4), (114, 132))
#: light and dark blobs over the sphere's shading: x, y, half-widths, gain (nose, sockets, cheeks, chin)
_RELIEF = (
    (94, 100, 4, 16, 0.10), (103, 104, 4, 12, -0.10), (76, 84, 11, 6, -0.12), (116, 84, 11, 6, -0.12),
    (96, 119, 9, 3, -0.15), (96, 112, 6, 4, 0.08), (96, 146, 10, 3, -0.10), (73, 105, 10, 8, 0.05),
    (119, 105, 10, 8, 0.05), (96, 124, 3, 4, -0.05),
)  # fmt: skip


def _scale(*values: float) -> tuple[int, ...]:
    return tuple(round(_OVERSAMPLE * value) for value in values)


def _ellipse(image: Image, center: tuple[float, float], axes: tuple[float, float], color: Color | float) -> None:
    cv2.ellipse(image, _scale(*center), _scale(*axes), 0, 0, 360, color, -1, cv2.LINE_AA)


def _shading() -> Image:
    """Brightness [N,N] of a shaded egg with the relief of a face."""
    y, x = np.mgrid[: SIZE * _OVERSAMPLE, : SIZE * _OVERSAMPLE] / _OVERSAMPLE
    across = (x - 96) / 52
    down = (y - 96) / 70
    facing = np.sqrt(np.clip(1 - across * across - down * down, 0.02, 1))
    shade = np.clip(0.45 + 0.6 * (facing * 0.85 - across * 0.15 - down * 0.3), 0, 1.1)
    for left, top, wide, high, gain in _RELIEF:
        shade += gain * np.exp(-(((x - left) / wide) ** 2) - ((y - top) / high) ** 2)
    return shade.astype(np.float32)


def _draw_eye(image: Image, side: int) -> None:
    """One eye with its lids, its brow and the nostril below it; side -1 is the image's left."""
    x = 96 + side * 20
    _ellipse(image, (x, 86), (9, 4.2), (0.95, 0.94, 0.93))
    _ellipse(image, (x, 86), (4.2, 4.2), (0.35, 0.22, 0.12))
    _ellipse(image, (x, 86), (1.9, 1.9), (0.02, 0.02, 0.02))
    _ellipse(image, (x + 1.3, 84.6), (0.8, 0.8), (1, 1, 1))
    strokes = (
        ((x, 86.3), (9.4, 5.2), 0, 185, 355, (0.15, 0.09, 0.07), 6),
        ((x, 85.5), (9, 4.7), 0, 10, 170, (0.5, 0.33, 0.27), 2),
        ((x + side, 80), (13, 6), side * 4, 205, 335, (0.2, 0.13, 0.09), 14),
    )
    for center, axes, turn, start, end, color, width in strokes:
        cv2.ellipse(image, _scale(*center), _scale(*axes), turn, start, end, color, width, cv2.LINE_AA)
    _ellipse(image, (96 + side * 4.6, 117.5), (2.2, 1.3), (0.3, 0.15, 0.12))


def _draw_mouth(image: Image) -> None:
    cv2.fillPoly(image, [np.array([_scale(*p) for p in _LIPS], np.int32)], (0.72, 0.38, 0.36), cv2.LINE_AA)
    line = np.array([_scale(*p) for p in _LIP_LINE], np.int32)
    cv2.polylines(image, [line], False, (0.35, 0.13, 0.13), 4, cv2.LINE_AA)


def draw(skin: Color) -> Image:
    """The cartoon [192,192,3], RGB 0..1, with the skin color `skin`."""
    image = np.full((SIZE * _OVERSAMPLE, SIZE * _OVERSAMPLE, 3), 0.35, np.float32)
    _ellipse(image, (96, 80), (56, 62), (0.22, 0.15, 0.1))
    neck = tuple(0.8 * channel for channel in skin)
    cv2.rectangle(image, _scale(76, 140), _scale(116, 192), neck, -1)
    mask = np.zeros(image.shape[:2], np.float32)
    _ellipse(mask, (96, 96), (46, 62), 1.0)
    mask = cv2.GaussianBlur(mask, (0, 0), 3)[..., None]
    image = image * (1 - mask) + mask * np.array(skin, np.float32) * _shading()[..., None]
    for side in (-1, 1):
        _draw_eye(image, side)
    _draw_mouth(image)
    soft = cv2.GaussianBlur(image, (0, 0), 2.5)
    return np.clip(cv2.resize(soft, (SIZE, SIZE), interpolation=cv2.INTER_AREA), 0, 1).astype(np.float32)


def variants(count: int = 48, seed: int = 0) -> Iterator[Image]:
    """Cartoons in all skin colors with random rotation (4 degrees), scale (6 %), shift (5 px), gain and noise."""
    random = np.random.default_rng(seed)
    drawn = [draw(skin) for skin in SKINS]
    for index in range(count):
        warp = cv2.getRotationMatrix2D((SIZE / 2, SIZE / 2), random.normal(0, 4), 1 + random.normal(0, 0.06))
        warp[:, 2] = warp[:, 2] + random.normal(0, 5, 2)
        image = cv2.warpAffine(drawn[index % len(drawn)], warp, (SIZE, SIZE), borderMode=cv2.BORDER_REPLICATE)
        noisy = image * random.uniform(0.8, 1.15) + random.normal(0, 0.02, image.shape)
        yield np.clip(noisy, 0, 1).astype(np.float32)
