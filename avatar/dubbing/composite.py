"""One frame of a film with a part of the face replaced.

Two renders of the avatar, in the film's own pose and in the new one, and the film itself: what the film shows beside
the first render (pores, beard, light, grain) is moved with the surface and added to the second. Where the face does not
change, that is the film; only what the film does not show (teeth, tongue, skin that the jaw uncovers) is the avatar's
alone, in the light and with the grain of the frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from avatar.dubbing.matching import (
    added_noise,
    face_size,
    filled_background,
    grain,
    kept_noise,
    light_gain,
    noise_level,
)
from avatar.dubbing.motion_field import MotionField, moved

#: Width of the feathers in sides of the mask: of the light, of the mask, and of what the film does not show.
_LIGHT = 0.12
_FEATHER = 0.03
_UNSEEN = 0.012
#: Pixels around the mask that are looked at, in sides of it.
_MARGIN = 0.25
#: Below this weight of the mask a pixel stays that of the film.
_LEAST = 1 / 256
#: Differences of the two renders (levels) from and up to which a pixel becomes the avatar's: in the mouth, and on
#: the skin, where folds come and go.
_CHANGED = 3.0, 14.0
_FOLDED = 10.0, 30.0
#: Pixels of the median filter.
_SPECKS = 5


@dataclass(frozen=True)
class Composite:
    """A composited frame."""

    image: np.ndarray  # [H,W,3] uint8
    mask: np.ndarray  # [H,W] 0..1; the film's pixels stay where it is 0
    kept: np.ndarray  # [H,W] 0..1, how much of a pixel is moved from the film


def composite(
    film: np.ndarray, before: np.ndarray, after: np.ndarray, field: MotionField, number: int, strength: float = 1.0
) -> Composite:
    """A frame of the film with the part of the field replaced.

    Args:
        film: [H,W,3] uint8, the film's frame.
        before: [H,W,4] uint8 straight alpha, the avatar as the film shows it.
        after: [H,W,4] uint8 straight alpha, the avatar with the replaced part.
        field: from the pose of `before` to that of `after`.
        number: of the frame, for its grain.
        strength: 0..1, how much of the part is replaced.
    """
    mask, size = _feathered(field.mask, strength)
    box = _box(mask, math.ceil(_MARGIN * size))
    if box is None:
        return Composite(film, mask, np.ones_like(mask))
    part = field.within(*box)
    image, kept = film.copy(), np.ones_like(mask)
    image[box], kept[box] = _replaced(film[box], before[box], after[box], part, mask[box], size, number)
    return Composite(image, mask, kept)


def _replaced(
    film: np.ndarray,
    before: np.ndarray,
    after: np.ndarray,
    field: MotionField,
    mask: np.ndarray,
    size: float,
    number: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The image [h,w,3] uint8 and how much of it is kept [h,w], of the pixels around the mask."""
    shown = film.astype(np.float32)
    gain = light_gain(shown, before[..., :3].astype(np.float32), _alike(before, field), max(2.0, _LIGHT * size))
    background = filled_background(shown, before[..., 3].astype(np.float32) / 255)
    second = _over(after, gain, background)
    calm_first, calm_second = (_over(_without_specks(render), gain, background) for render in (before, after))
    difference = calm_second - moved(calm_first, field.source)
    width = max(1.0, _UNSEEN * size)
    kept = _kept(field, cv2.GaussianBlur(np.abs(difference).max(2), (0, 0), width), width)
    change = _smooth(difference, kept, width)
    new = second + kept[..., None] * (moved(shown, field.source) + change - second)
    level = noise_level(shown, mask * field.seen)
    add = added_noise(level, kept**2 * kept_noise(field.source))
    new = new + (add * grain(add.shape, number))[..., None]
    image = shown + mask[..., None] * (new - shown)
    return np.where(mask[..., None] > 0, np.clip(np.rint(image), 0, 255).astype(np.uint8), film), kept


def _box(mask: np.ndarray, margin: int) -> tuple[slice, slice] | None:
    """Rows and columns of the pixels above 0 and of a margin around them; None without any."""
    spans = []
    for axis in (1, 0):
        found = np.flatnonzero(mask.any(axis))
        if not len(found):
            return None
        spans.append(slice(max(int(found[0]) - margin, 0), int(found[-1]) + 1 + margin))
    return spans[0], spans[1]


def _feathered(mask: np.ndarray, strength: float) -> tuple[np.ndarray, float]:
    """The mask with soft borders, exactly 0 outside, and the side of a square of its size, pixels."""
    size = max(face_size(mask), 8.0)
    soft = cv2.GaussianBlur(mask, (0, 0), max(0.8, _FEATHER * size)) * np.float32(strength)
    return np.where(soft < _LEAST, np.float32(0), soft), size


def _without_specks(render: np.ndarray) -> np.ndarray:
    """A render [H,W,4] without what is smaller than three pixels: it is no change of the skin."""
    return np.asarray(cv2.medianBlur(render, _SPECKS))


def _smooth(values: np.ndarray, weight: np.ndarray, sigma: float) -> np.ndarray:
    """Low frequencies of values [H,W,3] with weights [H,W]."""
    below = cv2.GaussianBlur(weight, (0, 0), sigma)
    above = cv2.GaussianBlur(values * weight[..., None], (0, 0), sigma)
    return np.asarray(above / np.maximum(below, 1e-3)[..., None])


def _alike(before: np.ndarray, field: MotionField) -> np.ndarray:
    """Pixels [H,W] 0..1 by which the light is measured: the avatar, without its mouth."""
    return np.asarray((before[..., 3] > 250) * (1 - field.inside), np.float32)


def _over(render: np.ndarray, gain: np.ndarray, background: np.ndarray) -> np.ndarray:
    """A render [H,W,4] in the light of the film, over its background."""
    alpha = render[..., 3:].astype(np.float32) / 255
    return np.asarray(alpha * gain * render[..., :3] + (1 - alpha) * background)


def _kept(field: MotionField, changed: np.ndarray, sigma: float) -> np.ndarray:
    """How much of a pixel [H,W] is moved from the film: what the film shows, but for a mouth that has changed."""
    inside = cv2.dilate(field.inside, np.ones((3, 3))) * _between(changed, *_CHANGED)
    unseen = np.maximum(np.maximum(1 - field.seen, inside), _between(changed, *_FOLDED))
    soft = cv2.GaussianBlur(unseen, (0, 0), sigma)
    # Full where nothing of the film fits, and falling beside it, not across it.
    return np.asarray(1 - np.clip(np.maximum(1.6 * soft, unseen), 0, 1), np.float32)


def _between(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 up to `low`, 1 from `high` on."""
    return np.asarray(np.clip((values - low) / (high - low), 0, 1))
