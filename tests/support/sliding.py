"""Hands, mugs, microphones, tissues and phones that slide before the mouth or the eyes of a face."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from capture.tracker.indices import EYES, LIPS

_CHEEKS = (50, 280, 205, 425, 101, 330)
_BROW = 10
_CHIN = 152
#: Distances in units of the inter-ocular distance: how far something comes from, and what is drawn around its middle.
_AWAY = 2.4
_REACH = 4.2
_OUTER_LIPS = LIPS[[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 19, 18, 17, 16, 15, 14, 13, 12, 11]]

Field = np.ndarray  # [h,w]
#: Distance of each place u, v from the middle of a thing, 1 at its outline, and its color [h,w,3].
Drawn = tuple[Field, np.ndarray]


@dataclass
class Sliding:
    """One thing, of random size, place, tilt, color and light."""

    kind: str
    region: str  # "mouth" or "eyes"
    seed: int
    _rng: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        rng = self._rng = np.random.default_rng(self.seed)
        self._side = int(rng.choice([-1, 1]))
        self._tilt = rng.uniform(-0.5, 0.5)
        self._size = rng.uniform(0.9, 1.25)
        self._offset = rng.uniform(-0.15, 0.15, 2)
        self._light = rng.uniform(-1, 1, 2)
        self._tone = rng.uniform(0.8, 1.1)
        self._colors = rng.uniform(20, 235, (2, 3))
        self._fingers = int(rng.integers(3, 5))
        direction = np.array([self._side * rng.uniform(0.2, 1), rng.uniform(0.3, 1)])
        self._direction = direction / np.linalg.norm(direction)

    def draw(self, rgb: np.ndarray, points: np.ndarray, away: float) -> tuple[np.ndarray, float]:
        """A frame [H,W,3] with the thing, and the fraction of the region behind it.

        Args:
            rgb: uint8.
            points: landmarks [478,2 or 3] pixels of the frame without it.
            away: 0 in its place, 1 outside of the face.
        """
        points = points[:, :2].astype(np.float64)
        across = points[263] - points[33]
        unit = max(float(np.linalg.norm(across)), 0.4 * float(np.linalg.norm(points[_BROW] - points[_CHIN])))
        across /= np.linalg.norm(across)
        down = np.array([-across[1], across[0]])
        middle = points[[13, 14, 61, 291]].mean(0) if self.region == "mouth" else points[[33, 263]].mean(0)
        place = self._offset + _AWAY * away * self._direction
        middle = middle + unit * (place[0] * across + place[1] * down)
        low = np.maximum(np.floor(middle - _REACH * unit), 0).astype(int)
        high = np.minimum(np.ceil(middle + _REACH * unit), rgb.shape[1::-1]).astype(int)
        cover = np.zeros(rgb.shape[:2], np.float32)
        if (high - low).min() < 4:
            return rgb, 0.0
        window = np.s_[low[1] : high[1], low[0] : high[0]]
        y, x = np.mgrid[window] + 0.5
        turn = np.array([[np.cos(self._tilt), np.sin(self._tilt)], [-np.sin(self._tilt), np.cos(self._tilt)]])
        axes = turn @ np.stack([across, down]) / (unit * self._size)
        u, v = np.einsum("kc,chw->khw", axes, np.stack([x - middle[0], y - middle[1]]))
        distance, color = getattr(self, f"_{self.kind}")(u, v, _skin(rgb, points))
        inside = cv2.GaussianBlur(np.clip((1 - distance) * 0.4 * unit, 0, 1), (0, 0), max(0.6, 0.012 * unit))
        cover[window] = inside
        drawn = rgb.copy()
        noise = self._rng.normal(0, 1.5, color.shape)
        drawn[window] = np.clip(rgb[window] + inside[..., None] * (color + noise - rgb[window]), 0, 255)
        return drawn, self._hidden(cover, points)

    def _hidden(self, cover: np.ndarray, points: np.ndarray) -> float:
        outlines = [_OUTER_LIPS] if self.region == "mouth" else [EYES[:16], EYES[16:]]
        return min(_share(cover, cv2.convexHull(points[each].astype(np.float32))[:, 0]) for each in outlines)

    def _texture(self, u: Field, cells: float) -> Field:
        size = np.maximum(np.array(u.shape[::-1]) // cells, 2).astype(int)
        coarse = np.random.default_rng(self.seed).standard_normal(size[::-1]).astype(np.float32)
        return cv2.resize(coarse, u.shape[::-1], interpolation=cv2.INTER_CUBIC)

    def _lit(self, u: Field, v: Field) -> Field:
        return 1 + 0.12 * (self._light[0] * u + self._light[1] * v)

    def _hand(self, u: Field, v: Field, skin: np.ndarray) -> Drawn:
        """Fingers, palm and wrist of the face's own color."""
        side = self._side
        width = 0.36 if self.region == "mouth" else 0.3
        nearest = np.full(u.shape, 9.0)
        shade = np.ones(u.shape)
        for place in np.linspace(-width, width, self._fingers):
            finger = _capsule(u, v, (-0.75 * side, place), (1.2 * side, 0.8 * place), 0.72 / self._fingers)
            shade = np.where(finger < nearest, 0.5 + 0.55 * np.sqrt(np.clip(1 - 0.8 * finger**2, 0, 1)), shade)
            nearest = np.minimum(nearest, finger)
        palm = np.hypot((u - 1.5 * side) / 0.75, (v - 0.2) / 0.8)
        wrist = _capsule(u, v, (1.6 * side, 0.3), (2.2 * side, 2.8), 0.4)
        shade = np.where(np.minimum(palm, wrist) < nearest, 0.85, shade)
        shade = shade * self._lit(u, v) * (1 + 0.04 * self._texture(u, 8))
        return np.minimum(np.minimum(nearest, palm), wrist), self._tone * skin * shade[..., None]

    def _mug(self, u: Field, v: Field, skin: np.ndarray) -> Drawn:
        """A cylinder with stripes of two colors."""
        color = np.where((np.sin(9 * v + self.seed) > 0.4)[..., None], *self._colors)
        shade = 0.65 + 0.45 * np.sqrt(np.clip(1 - (u / 0.8) ** 2, 0, 1))
        return (abs(u / 0.72) ** 4 + abs((v - 0.15) / 0.75) ** 4) ** 0.25, color * shade[..., None]

    def _microphone(self, u: Field, v: Field, skin: np.ndarray) -> Drawn:
        """A dark ball of wire on a stick."""
        ball = np.hypot(u, v) / 0.5
        stick = _capsule(u, v, (0, 0.3), (0.3 * self._side, 3.0), 0.2)
        shine = np.clip(1 - ball, 0, 1) * np.maximum(2 * self._light[0] * u - v + 0.5, 0)
        shade = 1 + 0.8 * shine + 0.25 * np.sin(60 * u) * np.sin(60 * v)
        return np.minimum(ball, stick), 38.0 * shade[..., None] * np.array([1, 1, 1.1])

    def _tissue(self, u: Field, v: Field, skin: np.ndarray) -> Drawn:
        """White, with an uneven outline and folds."""
        angle = np.arctan2(v, u)
        radius = 0.85 + 0.1 * np.sin(3 * angle + self.seed) + 0.06 * np.sin(7 * angle)
        height = 0.85 if self.region == "mouth" else 0.65
        shade = 0.93 * self._lit(u, v) + 0.07 * self._texture(u, 10) + 0.04 * np.sin(7 * u + 5 * v)
        return np.hypot(u / radius, v / (height * radius)), 232.0 * shade[..., None] * np.ones(3)

    def _phone(self, u: Field, v: Field, skin: np.ndarray) -> Drawn:
        """A black box with a lens."""
        width, height = (0.55, 0.95) if self.region == "mouth" else (1.05, 0.5)
        shade = 24 * (1 + 0.3 * self._lit(u, v))
        shade = np.where(np.hypot(u - 0.3, v + 0.3) < 0.1, 70, shade)
        return np.maximum(abs(u) / width, abs(v - 0.1) / height), shade[..., None] * np.array([1, 1, 1.15])


def slide(time: float, come: float = 0.25, stay: float = 1.0) -> float:
    """How far away, 0..1, a thing is that comes from 0 s on within `come` seconds, stays and leaves."""
    part = np.clip(1 - time / come, 0, 1) + np.clip((time - come - stay) / come, 0, 1)
    return float(part * part * (3 - 2 * part))


def _share(cover: np.ndarray, outline: np.ndarray) -> float:
    mask = cv2.fillPoly(np.zeros(cover.shape, np.uint8), [np.rint(outline).astype(np.int32)], 1)
    return float((cover * mask).sum() / max(int(mask.sum()), 1))


def _skin(rgb: np.ndarray, points: np.ndarray) -> np.ndarray:
    x, y = np.clip(points[list(_CHEEKS)].round().astype(int), 1, np.array(rgb.shape[1::-1]) - 2).T
    return np.asarray(np.median(cv2.blur(rgb, (3, 3))[y, x], axis=0))


def _capsule(u: Field, v: Field, start: tuple[float, float], end: tuple[float, float], radius: float) -> Field:
    along = np.subtract(end, start)
    part = np.clip(((u - start[0]) * along[0] + (v - start[1]) * along[1]) / (along @ along), 0, 1)
    return np.asarray(np.hypot(u - start[0] - part * along[0], v - start[1] - part * along[1]) / radius)
