"""Things before a face, painted by its landmarks: sunglasses, headsets, hats, masks, hands; clear glasses, beards."""

from __future__ import annotations

import cv2
import numpy as np

from capture.tracker.indices import LIPS

_EYE_CORNERS = ((33, 133), (263, 362))  # outer, inner
#: From ear to ear along the jaw, and back below the eyes or below the nose.
_JAW = (93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323)
_BELOW_EYES = (352, 280, 330, 277, 419, 197, 196, 47, 101, 50, 123)
_BELOW_NOSE = (401, 435, 410, 391, 2, 165, 186, 215, 177)
_CHEEKS = (50, 280, 101, 330, 151)
_OUTER_LIPS = LIPS[[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 19, 18, 17, 16, 15, 14, 13, 12, 11]]


def sunglasses(rgb: np.ndarray, points: np.ndarray, pass_through: float = 0.02) -> np.ndarray:
    """Two dark lenses with a reflection and a rim.

    Args:
        rgb: [H,W,3] uint8.
        points: landmarks [478,2] pixels.
        pass_through: light of the skin that is left, top of the lens; three times as much at its bottom.
    """
    across, down, unit = _axes(points)
    light = _linear(rgb)
    y, x = np.mgrid[: rgb.shape[0], : rgb.shape[1]] + 0.5
    skin = _skin(light, points)
    for corners in _EYE_CORNERS:
        center = points[list(corners)].mean(0) + 0.04 * unit * down
        u = ((x - center[0]) * across[0] + (y - center[1]) * across[1]) / (0.3 * unit)
        v = ((x - center[0]) * down[0] + (y - center[1]) * down[1]) / (0.22 * unit)
        radius = (u**4 + v**4) ** 0.25
        lens = _edge(radius, 1.0, 0.22 * unit)
        left = pass_through * (2 + np.clip(v, -1, 1))
        streak = np.exp(-np.square((u - 0.3 - 0.4 * v) / 0.2))
        seen = light * left[..., None] + skin.mean() * (0.02 + 0.04 * streak)[..., None]
        light += lens[..., None] * (seen - light)
        light *= 1 - 0.9 * (_edge(radius, 1.1, 0.22 * unit) - lens)[..., None]
    return _bytes(light)


def clear_glasses(rgb: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The same rims, with lenses that dim by a tenth."""
    return sunglasses(rgb, points, 0.45)


def headset(rgb: np.ndarray, points: np.ndarray, albedo: float) -> np.ndarray:
    """A box of one gray before both eyes, from temple to temple."""
    u, v, unit = _from_bridge(rgb, points)
    inside = np.clip((0.78 - abs(u)) * unit, 0, 1) * np.clip((0.42 - abs(v)) * unit, 0, 1)
    light = _linear(rgb)
    front = albedo * _skin(light, points).mean() / 0.35 * (1 - 0.5 * u**2 - 0.3 * v)
    return _bytes(light + inside[..., None] * (front[..., None] - light))


def hat(rgb: np.ndarray, points: np.ndarray) -> np.ndarray:
    """A dark woolen hat pulled down to the lower lids."""
    u, v, unit = _from_bridge(rgb, points)
    inside = np.clip((0.15 - v) * unit, 0, 1) * np.clip((1.1 - abs(u)) * unit, 0, 1)
    light = _linear(rgb)
    noise = cv2.GaussianBlur(np.random.default_rng(0).normal(size=u.shape), (0, 0), 1.5)
    shade = _skin(light, points).mean() / 0.3 * (1 + 0.25 * noise / noise.std())
    wool = np.array([0.05, 0.06, 0.12]) * shade[..., None]
    return _bytes(light + inside[..., None] * (wool - light))


def face_mask(rgb: np.ndarray, points: np.ndarray, color: tuple[float, float, float] | None) -> np.ndarray:
    """A pleated mask of one color (albedo; None: that of the skin), shaded as the face is."""
    light = _linear(rgb)
    skin = _skin(light, points)
    albedo = skin if color is None else np.array(color) * skin.mean() / 0.35
    _, down, unit = _axes(points)
    y, x = np.mgrid[: rgb.shape[0], : rgb.shape[1]] + 0.5
    v = ((x - points[13, 0]) * down[0] + (y - points[13, 1]) * down[1]) / unit
    pleats = sum(np.exp(-np.square((v - place) / 0.015)) for place in (-0.13, 0.02, 0.17))
    return _bytes(_over(light, points[[*_JAW, *_BELOW_EYES]], albedo * _shade(light, skin, 1 - 0.2 * pleats, unit)))


def hand(rgb: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Four fingers of the face's own color before the mouth."""
    light = _linear(rgb)
    across, down, unit = _axes(points)
    skin = _skin(light, points)
    y, x = np.mgrid[: rgb.shape[0], : rgb.shape[1]] + 0.5
    middle = points[[13, 14]].mean(0)
    u = ((x - middle[0]) * across[0] + (y - middle[1]) * across[1]) / unit
    v = ((x - middle[0]) * down[0] + (y - middle[1]) * down[1]) / unit
    shade = _shade(light, skin, np.ones_like(u), unit)
    for finger, tip in enumerate((0.33, 0.42, 0.40, 0.28)):
        distance = np.hypot(np.maximum(u - tip, 0), v - 0.175 * (finger - 1.5)) / 0.1
        round_ = 0.55 + 0.45 * np.sqrt(np.clip(1 - distance**2, 0, 1))
        inside = _edge(distance, 1.0, 0.1 * unit) * (u > -0.9)
        light += inside[..., None] * (skin * shade * round_[..., None] - light)
    return _bytes(light)


def beard(rgb: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Dark hair around the lips, from ear to ear."""
    light = _linear(rgb)
    rng = np.random.default_rng(0)
    hair = _skin(light, points).mean() * 0.12 * rng.uniform(0.5, 1.5, (*rgb.shape[:2], 1)) * np.ones(3)
    bearded = _over(light, points[[*_JAW, *_BELOW_NOSE]], cv2.GaussianBlur(hair, (0, 0), 0.8))
    return _bytes(_over(bearded, points[_OUTER_LIPS], light))


def _axes(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Directions to the image's right and down along the face, and the inter-ocular distance."""
    across = points[263] - points[33]
    unit = float(np.linalg.norm(across))
    across = across / unit
    return across, np.array([-across[1], across[0]]), unit


def _from_bridge(rgb: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Inter-ocular distances [H,W] across and down the face from the bridge of the nose, and that distance, pixels."""
    across, down, unit = _axes(points)
    y, x = np.mgrid[: rgb.shape[0], : rgb.shape[1]] + 0.5 - points[168, 1::-1, None, None]
    return (x * across[0] + y * across[1]) / unit, (x * down[0] + y * down[1]) / unit, unit


def _linear(rgb: np.ndarray) -> np.ndarray:
    return (rgb / 255.0) ** 2.2


def _bytes(light: np.ndarray) -> np.ndarray:
    return np.rint(255 * np.clip(light, 0, 1) ** (1 / 2.2)).astype(np.uint8)


def _skin(light: np.ndarray, points: np.ndarray) -> np.ndarray:
    x, y = points[list(_CHEEKS)].astype(int).T
    return np.asarray(np.median(light[y, x], axis=0))


def _shade(light: np.ndarray, skin: np.ndarray, relief: np.ndarray, unit: float) -> np.ndarray:
    """What the face's light makes of a surface before it, [H,W,1]."""
    smooth = cv2.GaussianBlur(light.mean(-1), (0, 0), 0.35 * unit) / skin.mean()
    return (np.clip(smooth, 0.4, 1.6) * relief)[..., None]


def _edge(distance: np.ndarray, radius: float, unit: float) -> np.ndarray:
    """Coverage 0..1 of what is nearer than `radius`, with an edge of one pixel; `unit` pixels are 1."""
    return np.clip(0.5 + (radius - distance) * unit, 0, 1)


def _over(light: np.ndarray, outline: np.ndarray, other: np.ndarray) -> np.ndarray:
    """`other` inside of an outline [n,2], `light` elsewhere."""
    inside = cv2.fillPoly(np.zeros(light.shape[:2], np.uint8), [np.rint(16 * outline).astype(np.int32)], 255, 16, 4)
    cover = cv2.GaussianBlur(inside, (0, 0), 0.7)[..., None] / 255.0
    return light + cover * (other - light)
