"""Light, background and grain of a film's frame, for what is composited into it."""

from __future__ import annotations

import math

import cv2
import numpy as np

#: Bounds of the factor by which the light of a render is corrected.
_GAIN = 0.4, 2.5
#: Levels that are counted at a factor of 1, and those from which on a pixel hardly counts.
_PRIOR = 2.5
_OUTLIER = 15
_SEED = 47
#: Taps of cv2's bicubic interpolation (a = -0.75).
_CUBIC = -0.75


def light_gain(film: np.ndarray, render: np.ndarray, weight: np.ndarray, sigma: float) -> np.ndarray:
    """Factor [H,W,3] by which the low frequencies of a render of the film's own pose have the colors of the film.

    Args:
        film: [H,W,3] float32 0..255.
        render: [H,W,3] float32 0..255.
        weight: [H,W] 0..1, pixels that both show alike; where there are none nearby the factor tends to 1.
        sigma: pixels of the Gaussian window.
    """
    step = max(1, int(sigma / 4))
    size = max(1, film.shape[1] // step), max(1, film.shape[0] // step)

    def smooth(image: np.ndarray) -> np.ndarray:
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        return cv2.GaussianBlur(small, (0, 0), sigma / step, borderType=cv2.BORDER_REFLECT_101)

    def gain(weight: np.ndarray) -> np.ndarray:
        above = smooth((film + 2) * weight[..., None]) + _PRIOR
        below = smooth((render + 2) * weight[..., None]) + _PRIOR
        return cv2.resize(np.clip(above / below, *_GAIN), film.shape[1::-1], interpolation=cv2.INTER_LINEAR)

    # Again without what differs otherwise than by light: a hand, a beard that the avatar has elsewhere.
    rest = np.abs(film - gain(weight) * render).max(2)
    return np.asarray(gain(weight / (1 + np.square(rest / _OUTLIER))))


def filled_background(film: np.ndarray, person: np.ndarray) -> np.ndarray:
    """The film without the person: [H,W,3], smooth where `person` [H,W] 0..1 is not 0 (a pull-push pyramid)."""
    known = (cv2.dilate(person, np.ones((5, 5))) < 0.02).astype(np.float32)
    return _filled(film * known[..., None], known)


def _filled(color: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Colors [h,w,3], premultiplied with a weight [h,w], with the gaps filled from coarser levels."""
    if min(weight.shape) <= 2 or weight.min() > 0.999:
        total = max(float(weight.sum()), 1e-6)
        mean = color.sum((0, 1)) / total
        return np.where(weight[..., None] > 1e-3, color / np.maximum(weight, 1e-3)[..., None], mean).astype(np.float32)
    size = (weight.shape[1] + 1) // 2, (weight.shape[0] + 1) // 2
    small = cv2.resize(weight, size, interpolation=cv2.INTER_AREA)
    coarse_color = cv2.resize(color, size, interpolation=cv2.INTER_AREA)
    grown = np.minimum(1, small * 2) / np.maximum(small, 1e-6)
    coarse = _filled(coarse_color * grown[..., None], np.minimum(1, small * 2))
    up = cv2.resize(coarse, weight.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(color + (1 - np.minimum(weight, 1))[..., None] * up)


def noise_level(image: np.ndarray, weight: np.ndarray) -> float:
    """Standard deviation of the noise of an image, levels of 255, in its smoothest parts.

    J. Immerkaer, "Fast noise variance estimation" (1996), by the median over pixels.

    Args:
        image: [H,W,3] float32 0..255; its green channel is measured.
        weight: [H,W], pixels above 0.5 are looked at.
    """
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    found = np.abs(cv2.filter2D(image[..., 1], cv2.CV_32F, kernel))[weight > 0.5]
    if found.size < 64:
        return 0.0
    low = np.percentile(found, 50)  # half of the pixels: edges and texture are in the other half
    return float(low / 0.6745 / 6)


def kept_noise(source: np.ndarray) -> np.ndarray:
    """The part [H,W] of the variance of white noise that bicubic interpolation at pixel indices [H,W,2] keeps."""
    sums = [np.square(_cubic_taps(source[..., axis] - np.floor(source[..., axis]))).sum(0) for axis in (0, 1)]
    return np.asarray(np.minimum(sums[0] * sums[1], 1.0), np.float32)


def _cubic_taps(t: np.ndarray) -> np.ndarray:
    t = np.round(t * 32) / 32
    a = _CUBIC
    first = ((a * (t + 1) - 5 * a) * (t + 1) + 8 * a) * (t + 1) - 4 * a
    second = ((a + 2) * t - (a + 3)) * t * t + 1
    third = ((a + 2) * (1 - t) - (a + 3)) * (1 - t) * (1 - t) + 1
    return np.stack([first, second, third, 1 - first - second - third])


def grain(shape: tuple[int, int], frame: int) -> np.ndarray:
    """White noise [H,W] of variance 1, the same at every run; each frame has its own."""
    made = np.random.Generator(np.random.Philox(key=_SEED, counter=frame << 64))
    return made.standard_normal(shape, np.float32)


def added_noise(level: float, kept: np.ndarray) -> np.ndarray:
    """Standard deviation [H,W] of the noise to add to an image that has the part `kept` [H,W] of a variance level^2."""
    return np.asarray(level * np.sqrt(np.clip(1 - kept, 0, 1)), np.float32)


def face_size(mask: np.ndarray) -> float:
    """Side of a square with the area of a mask [H,W] 0..1, pixels."""
    return math.sqrt(float(mask.sum()))
