"""Texture of skin, lips, eyes and mouth of the procedural person."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avatar.head.hair_regions import BROWS, beard_cover, brow_distance, hair_cover, polyline_distance, smoothstep
from capture.synthetic.appearance import Appearance, Color
from capture.synthetic.noise import NoiseField
from capture.synthetic.person import Person
from capture.synthetic.texels import Samples

Array = NDArray[np.floating]

# Polylines of MediaPipe landmarks, right side then left side.
_OUTER_LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185, 61)
_INNER_LIPS = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95, 78)
UPPER_LIDS = ((33, 246, 161, 160, 159, 158, 157, 173, 133), (263, 466, 388, 387, 386, 385, 384, 398, 362))
LOWER_LIDS = ((33, 7, 163, 144, 145, 153, 154, 155, 133), (263, 249, 390, 373, 374, 380, 381, 382, 362))
_CREASES = ((130, 247, 30, 29, 27, 28, 56, 190), (359, 467, 260, 259, 257, 258, 286, 414))
_SMILE_LINES = ((129, 203, 206, 216, 212), (358, 423, 426, 436, 432))
_NOSTRILS = ((98, 240), (327, 460))


@dataclass(frozen=True)
class Texels:
    """Texture of a surface, one row per sample."""

    albedo: Array  # [N,3] linear light
    gloss: Array  # [N] strength of the broad, skin-like highlight
    wet: Array  # [N] strength of the sharp, wet highlight
    bump: Array  # [N,3] offset of the unit normal, rest pose
    brow_lines: Array  # [N] darkening when the brows are raised
    smile_lines: Array  # [N] darkening when the mouth smiles


@dataclass(frozen=True)
class _Lines:
    """Lines of the skin, centimeters."""

    pitch: float  # from one wrinkle of the forehead to the next; a quarter of it is dark
    fold: float  # half width of the fold of a cheek


_FINE_LINES = _Lines(0.425, 0.13)
#: Those of a person whose lines are as deep as the skin is compressed: a few furrows across the forehead.
_WIDE_LINES = _Lines(0.85, 0.2)


class SkinPainter:
    """Paints the texels of one person; lengths are centimeters in the rest pose."""

    def __init__(
        self, person: Person, appearance: Appearance, grid: Samples, seed: int, wide_lines: bool = False
    ) -> None:
        self._person = person
        self._lines = _WIDE_LINES if wide_lines else _FINE_LINES
        self._appearance = appearance
        self._noise = NoiseField(seed)
        self._points = grid.interpolate(person.rest)
        self._landmarks = person.landmarks
        self._grid = grid
        face = grid.interpolate(person.region("face", "eyelids", "lips").astype(np.float32)[:, None])[:, 0]
        self._front = np.flatnonzero(face > 0.01)
        self._face_points = self._points[self._front]

    def paint(self) -> Texels:
        """Texels of the whole surface."""
        appearance = self._appearance
        points = self._points
        noise = self._noise
        albedo = np.empty_like(points)
        albedo[:] = appearance.skin
        tone = 0.05 * noise.octaves(points, 2.5, 4) + 0.035 * noise(points, 0.12) + 0.03 * noise(points, 0.05)
        albedo *= (1 + tone)[:, None]
        self._mix(albedo, appearance.blush, np.clip(0.10 + 0.09 * noise.octaves(points, 1.1, 3), 0, 0.4))
        gloss = np.full(len(points), 0.55, np.float32) + 0.15 * noise(points, 1.0)
        wet = np.zeros(len(points), np.float32)
        bump = np.stack([noise(points + shift, 0.055) for shift in (0.0, 11.0, 23.0)], 1) * np.float32(0.085)
        self._paint_neck_and_ears(albedo)
        self._paint_face(albedo, gloss, wet)
        self._paint_freckles(albedo)
        self._paint_scalp(albedo, gloss)
        self._paint_inside(albedo, gloss, wet, bump)
        self._paint_eyes(albedo, gloss, wet, bump)
        return Texels(albedo, gloss, wet, bump, *self._expression_lines())

    @staticmethod
    def _mix(albedo: Array, color: Color, weight: Array, rows: NDArray[np.int64] | None = None) -> None:
        """Blend `color` into `albedo` [N,3] at `rows` [n] with `weight` [n], in place; None is all rows."""
        target = np.array(color, np.float32)
        if rows is None:
            albedo += (target - albedo) * weight[:, None]
        else:
            albedo[rows] += (target - albedo[rows]) * weight[:, None]

    def _blob(self, landmark: int, radius: float) -> Array:
        """Gaussian weight [n] around a landmark, on the texels of the face."""
        squared = ((self._face_points - self._landmarks[landmark]) ** 2).sum(1)
        return np.exp(-squared / (2 * radius * radius)).astype(np.float32)

    def _near(self, line: tuple[int, ...], width: float) -> Array:
        """Weight [n]: 1 on a polyline of landmarks, falling to 0 at about 2.5 widths."""
        distance = polyline_distance(self._face_points, self._landmarks[list(line)], 3 * width)
        return np.exp(-((distance / width) ** 2)).astype(np.float32) * (distance < 2.9 * width)

    def _paint_face(self, albedo: Array, gloss: Array, wet: Array) -> None:
        appearance = self._appearance
        rows = self._front
        points = self._face_points
        mottled = 1 + 0.35 * self._noise.octaves(points, 0.7, 3)
        for landmark, radius, weight in ((425, 1.7, 0.42), (205, 1.7, 0.42), (4, 0.9, 0.35), (152, 1.4, 0.18)):
            self._mix(albedo, appearance.blush, np.clip(self._blob(landmark, radius) * weight * mottled, 0, 0.7), rows)
        shadow = _scale(appearance.skin, 0.55)
        violet = (shadow[0] * 0.95, shadow[1] * 0.85, shadow[2] * 0.98)
        for lower, upper, crease in zip(LOWER_LIDS, UPPER_LIDS, _CREASES, strict=True):
            self._mix(albedo, violet, np.clip(0.42 * appearance.circles, 0, 1) * self._near(lower, 0.55), rows)
            if appearance.lid is None:
                self._mix(albedo, shadow, 0.40 * self._near(upper, 0.45), rows)
            else:
                self._mix(albedo, appearance.lid, 0.85 * self._near(upper, 0.60), rows)
            self._mix(albedo, shadow, 0.55 * self._near(crease, 0.07), rows)
            self._mix(albedo, (0.03, 0.015, 0.01), 0.92 * self._near(upper, 0.10), rows)
            self._mix(albedo, (0.20, 0.075, 0.06), 0.6 * self._near(lower, 0.06), rows)
        for pair in _NOSTRILS:
            center = self._landmarks[list(pair)].mean(0) + np.array([0, 0.0, 0.1], np.float32)
            distance = np.linalg.norm((points - center) * np.array([1.0, 1.5, 0.7], np.float32), axis=1)
            self._mix(albedo, (0.035, 0.012, 0.01), 0.95 * smoothstep(0.46, 0.20, distance), rows)
        for brow in BROWS:
            self._mix(albedo, appearance.hair.color, 0.35 * appearance.brow_density * self._brow_mask(brow), rows)
        self._paint_beard(albedo)
        self._paint_lips(albedo, gloss, wet)
        for landmark, radius in ((4, 0.9), (9, 1.6), (151, 2.0), (6, 0.8)):
            gloss[rows] += 0.45 * self._blob(landmark, radius)

    def _brow_mask(self, brow: tuple[int, ...]) -> Array:
        """Weight [n] of a brow on the texels of the face."""
        return smoothstep(0.5, 0.15, brow_distance(self._face_points, self._landmarks, brow))

    def _paint_neck_and_ears(self, albedo: Array) -> None:
        appearance = self._appearance
        if appearance.neck != 1.0:
            neck = self._grid.interpolate(self._person.region("neck", "torso").astype(np.float32)[:, None])[:, 0]
            albedo *= (1 + (np.float32(appearance.neck) - 1) * neck)[:, None]
        if appearance.ear_blush:
            self._mix(albedo, appearance.blush, np.float32(appearance.ear_blush) * self._ears())

    def _ears(self) -> Array:
        """Mask [N] of the ears."""
        return self._grid.interpolate(self._person.region("left_ear", "right_ear").astype(np.float32)[:, None])[:, 0]

    def _paint_beard(self, albedo: Array) -> None:
        """Stubble, or a full beard."""
        appearance = self._appearance
        if not (appearance.stubble or appearance.beard):
            return
        points = self._points
        beard = beard_cover(points, self._landmarks)
        dots = smoothstep(0.2, 1.0, self._noise(points, 0.06))
        if appearance.stubble:
            weight = appearance.stubble * beard * (0.30 + 0.55 * dots)
            self._mix(albedo, (0.075, 0.052, 0.045), weight.astype(np.float32))
        if appearance.beard:
            weight = appearance.beard * beard * (0.80 + 0.20 * dots)
            self._mix(albedo, appearance.hair.color, weight.astype(np.float32))

    def _paint_lips(self, albedo: Array, gloss: Array, wet: Array) -> None:
        mask = self._grid.interpolate(self._person.region("lips").astype(np.float32)[:, None])[:, 0]
        rows = np.flatnonzero(mask > 0.02)
        points = self._points[rows]
        edge = polyline_distance(points, self._landmarks[list(_OUTER_LIPS)], 1.5)
        inside = smoothstep(0.02, 0.22, edge) * smoothstep(0.0, 0.5, mask[rows])
        seam = polyline_distance(points, self._landmarks[list(_INNER_LIPS)], 1.5)
        creases = self._noise(points * np.array([4.0, 0.7, 0.7], np.float32), 0.35)
        color = np.array(self._appearance.lips, np.float32) * (1 + 0.12 * creases)[:, None]
        color *= (0.72 + 0.28 * smoothstep(0.0, 0.25, seam))[:, None]
        albedo[rows] += (color - albedo[rows]) * (0.9 * inside)[:, None]
        gloss[rows] += 0.05 * inside
        wet[rows] += 0.05 * inside * (1 + 0.5 * creases)

    def _paint_freckles(self, albedo: Array) -> None:
        rows = self._front
        points = self._face_points
        spots = smoothstep(1.35, 2.0, self._noise(points, 0.22)) * smoothstep(-0.3, 0.8, self._noise(points, 1.6))
        where = self._blob(205, 2.6) + self._blob(425, 2.6) + self._blob(4, 1.8)
        brown = _scale(self._appearance.skin, 0.55)
        self._mix(albedo, brown, np.clip(0.6 * self._appearance.freckles * spots * where, 0, 1), rows)

    def _paint_scalp(self, albedo: Array, gloss: Array) -> None:
        appearance = self._appearance
        raised = self._points - np.array([0.0, appearance.hairline, 0.0], np.float32)
        cover = hair_cover(raised, self._landmarks) * (1 - self._ears()) * np.float32(1 - appearance.bald)
        self._mix(albedo, appearance.hair.color, 0.9 * cover * cover)
        gloss *= 1 - 0.8 * cover

    def _paint_inside(self, albedo: Array, gloss: Array, wet: Array, bump: Array) -> None:
        """Teeth, tongue and the inside of the mouth, in the colors of the head model."""
        regions = self._grid.interpolate(
            np.stack(
                [
                    self._person.region(*names)
                    for names in (("teeth_upper", "teeth_lower"), ("tongue",), ("mouth_interior",))
                ],
                1,
            ).astype(np.float32)
        )
        colors = self._grid.interpolate(self._person.head.colors.numpy().astype(np.float32) ** np.float32(2.2))
        for column, scale, shine in ((0, 0.9, 0.25), (1, 0.55, 0.15), (2, 0.6, 0.0)):
            rows = np.flatnonzero(regions[:, column] > 0.5)
            grain = 1 + 0.12 * self._noise(self._points[rows], 0.12)
            albedo[rows] = colors[rows] * (scale * grain)[:, None]
            gloss[rows] = 0.1
            wet[rows] = shine
            bump[rows] *= 0.3

    def _paint_eyes(self, albedo: Array, gloss: Array, wet: Array, bump: Array) -> None:
        for name in ("left_eyeball", "right_eyeball"):
            mask = self._person.region(name)
            center = self._person.rest[mask].mean(0)
            rows = np.flatnonzero(self._grid.interpolate(mask.astype(np.float32)[:, None])[:, 0] > 0.5)
            ray = self._points[rows] - center
            ray /= np.linalg.norm(ray, axis=1, keepdims=True)
            angle = np.arccos(np.clip(ray[:, 2], -1, 1))
            albedo[rows] = self._eye_color(ray, angle)
            gloss[rows] = 0.0
            wet[rows] = 1.0
            bump[rows] = 0.0

    def _eye_color(self, ray: Array, angle: Array) -> Array:
        """Color [N,3] of sclera, limbus, iris and pupil for unit rays from the eye's center, `angle` from its axis."""
        around = np.arctan2(ray[:, 1], ray[:, 0])
        spokes = np.stack([3 * np.cos(around), 3 * np.sin(around), 1.2 * angle], 1).astype(np.float32)
        fiber = self._noise(spokes, 0.22) + 0.6 * self._noise(spokes, 0.09)
        color = np.array([0.47, 0.435, 0.415], np.float32) * np.ones((len(ray), 1), np.float32)
        veins = smoothstep(1.2, 2.4, self._noise(ray + 0.25 * ray[:, [1, 2, 0]], 0.06)) * smoothstep(0.55, 1.0, angle)
        self._mix(color, (0.50, 0.18, 0.14), 0.35 * veins + 0.25 * smoothstep(0.65, 1.15, angle))
        # Shadow of the upper lid.
        color *= (1 - 0.55 * smoothstep(0.05, 0.45, ray[:, 1]))[:, None]
        radius = 0.58
        pupil = 0.21
        tone = np.array(self._appearance.iris, np.float32)
        depth = (0.75 + 0.5 * smoothstep(radius, pupil, angle)) * (1 + 0.35 * fiber)
        iris = tone * np.clip(depth, 0.2, 3)[:, None]
        iris *= (1 - 0.9 * smoothstep(radius - 0.14, radius, angle))[:, None]
        inside = smoothstep(radius + 0.03, radius - 0.02, angle)[:, None]
        color += (iris - color) * inside
        color *= (1 - 0.97 * smoothstep(pupil + 0.02, pupil - 0.015, angle))[:, None]
        return color

    def _expression_lines(self) -> tuple[Array, Array]:
        """Weights [N] of forehead wrinkles (raised brows) and of cheek folds (smile)."""
        rows = self._front
        points = self._face_points
        landmarks = self._landmarks
        brow, smile = np.zeros((2, len(self._points)), np.float32)
        height = points[:, 1] + 0.12 * self._noise(points, 1.5)
        above = smoothstep(landmarks[105, 1] + 0.3, landmarks[105, 1] + 1.0, height)
        above *= smoothstep(landmarks[10, 1] + 0.4, landmarks[10, 1] - 0.6, height) * smoothstep(
            4.8, 3.0, np.abs(points[:, 0])
        )
        groove = np.cos(height * (np.pi / self._lines.pitch)) ** 2
        brow[rows] = 0.20 * above * groove**4
        for line in _SMILE_LINES:
            smile[rows] += 0.30 * self._near(line, self._lines.fold)
        for corner, side in ((33, -1.0), (263, 1.0)):
            outward = (points[:, 0] - landmarks[corner, 0]) * side
            fan = smoothstep(0.35, 0.7, outward) * smoothstep(1.7, 1.0, outward)
            slope = (points[:, 1] - landmarks[corner, 1]) / np.clip(outward, 0.2, None)
            smile[rows] += 0.16 * fan * (np.abs(slope) < 0.75) * np.cos(slope * 9) ** 8
        return brow, smile


def _scale(color: Color, factor: float) -> Color:
    red, green, blue = color
    return factor * red, factor * green, factor * blue
