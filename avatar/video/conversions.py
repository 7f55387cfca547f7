"""The array format of each pass, and how it is stored in a video, a PNG and an EXR file.

| pass | as rendered | video | PNG | EXR |
|---|---|---|---|---|
| rgb | uint8 [H,W,3] sRGB, or [H,W,4] with straight alpha | the same | the same | linear, alpha premultiplied |
| mesh | as rgb | the same | the same | as rgb |
| alpha | uint8 [H,W] | gray | gray, 8 bits | Y 0..1 |
| depth | float32 [H,W] meters along the camera axis, 0: empty | near is bright | 16 bits, 0.1 mm | Y meters |
| normals | float32 [H,W,3] unit, camera axes, 0: empty | (n+1)/2 | (n+1)/2, 8 bits | x, y, z as R, G, B |
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from avatar.rendering.passes import Pass

#: Steps per meter of depth in 16-bit PNG images: 0.1 mm, up to 6.5535 m, where it is clamped.
PNG_DEPTH_STEPS = 10_000
#: Meters that are white and black in a video of the depth pass.
DEPTH_RANGE = (0.2, 1.2)

Convert = Callable[[np.ndarray], np.ndarray]


def for_video(name: Pass, depth_range: tuple[float, float] = DEPTH_RANGE) -> Convert:
    """The conversion of images of pass `name` to uint8 [H,W], [H,W,3] or [H,W,4] for a video.

    Depth is bright where near: 255 at the first of `depth_range` (meters) and nearer, 1 at the second and beyond, 0
    where alpha is 0. Normals are round(255 (n + 1) / 2), 128 where alpha is 0.
    """
    if name == "normals":
        return _normals_to_bytes
    if name != "depth":
        return np.asarray
    near, far = depth_range

    def to_gray(depth: np.ndarray) -> np.ndarray:
        gray = 255 - np.clip((depth - near) * (254 / (far - near)), 0, 254)
        return np.where(depth > 0, np.rint(gray), 0).astype(np.uint8)

    return to_gray


def for_png(name: Pass) -> Convert:
    """The conversion of images of pass `name` to the values of a PNG file; depth as uint16 in steps of 0.1 mm."""
    if name == "normals":
        return _normals_to_bytes
    if name == "depth":
        return lambda depth: np.rint(np.clip(depth * PNG_DEPTH_STEPS, 0, 65535)).astype(np.uint16)
    return np.asarray


def for_exr(name: Pass) -> Convert:
    """The conversion of images of pass `name` to float32 for an EXR file; colors are linear and premultiplied."""
    if name in ("depth", "normals"):
        return np.asarray
    if name == "alpha":
        return lambda alpha: alpha.astype(np.float32) / 255
    return _linear


def _normals_to_bytes(normals: np.ndarray) -> np.ndarray:
    return np.rint(np.clip((normals + 1) * 127.5, 0, 255)).astype(np.uint8)


_CODES = np.arange(256) / 255
#: Linear values of the 256 codes of sRGB (IEC 61966-2-1).
_LINEAR = np.where(_CODES <= 0.04045, _CODES / 12.92, ((_CODES + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _linear(image: np.ndarray) -> np.ndarray:
    linear = _LINEAR[image[..., :3]]
    if image.shape[2] == 3:
        return linear
    alpha = image[..., 3:].astype(np.float32) / 255
    return np.concatenate((linear * alpha, alpha), axis=2)
