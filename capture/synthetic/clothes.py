"""A knitted crew-neck sweater: a lofted surface over the shoulders with folds and rib pattern."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from avatar.head.hair_regions import smoothstep
from capture.synthetic.appearance import Appearance
from capture.synthetic.noise import NoiseField
from capture.synthetic.person import Person
from capture.synthetic.skin import Texels
from capture.synthetic.texels import TexelGrid

Array = NDArray[np.floating]

_AROUND = 124

# Rings from inside the collar down to the chest, cm in the rest pose:
# position along the loft, half width, y at the side, z and y in front, z and y behind.
_RINGS = np.array(
    [
        (0.0, 5.6, -15.8, -4.3, -20.0, -15.8, -15.8),
        (0.5, 6.1, -14.7, -3.8, -18.9, -16.4, -14.4),
        (0.8, 6.6, -14.3, -3.4, -18.6, -16.9, -14.0),
        (1.1, 7.2, -14.4, -3.0, -18.8, -17.3, -14.1),
        (1.6, 8.0, -15.1, -2.5, -20.1, -17.9, -15.3),
        (2.0, 8.9, -15.6, -2.1, -21.2, -18.5, -16.4),
        (3.0, 13.5, -17.0, -0.8, -25.0, -20.2, -19.0),
        (4.0, 18.4, -19.6, 0.6, -29.5, -21.6, -23.5),
        (5.0, 21.6, -25.5, 1.6, -35.0, -22.4, -30.5),
        (6.0, 23.0, -35.0, 2.0, -42.0, -22.6, -40.0),
        (7.0, 23.6, -58.0, 2.0, -60.0, -22.4, -58.0),
    ]
)
_ROWS = np.concatenate([np.linspace(0, 2, 16, endpoint=False), np.linspace(2, 7, 36)])
_COLLAR_END = 1.75  # loft position of the seam under the collar


class Garment:
    """Geometry [V,3] and texels of the sweater; it moves rigidly with the torso."""

    def __init__(self, appearance: Appearance, person: Person, seed: int) -> None:
        self._noise = NoiseField(seed)
        self._color = np.array(appearance.cloth, np.float32)
        self._collar_height = appearance.collar
        loft, angle = np.meshgrid(_ROWS, np.arange(_AROUND) * (2 * np.pi / _AROUND), indexing="ij")
        self._loft = loft.ravel().astype(np.float32)
        self._angle = angle.ravel().astype(np.float32)
        smooth = self._surface()
        self.faces = _grid_faces(len(_ROWS), _AROUND)
        self.rest = self._fold(smooth)  # [V,3] cm

    def pose(self, rotation: Array, offset: Array) -> Array:
        """Vertices [V,3] meters, world, for the torso transform `x -> rotation x + offset` (meters)."""
        return (self.rest * np.float32(0.01)) @ rotation.T + offset

    def covers(self, points: Array) -> NDArray[np.bool_]:
        """Mask [N] of `points` [N,3] cm of the body that are well under the cloth and need no rendering."""
        front = np.clip((points[:, 2] + 10) / 7, -1, 1)
        collar = np.where(front > 0, -14.6 - 4.4 * front**2, -14.6 + 0.4 * front**2)
        # Not in the opening of the collar; beside and behind the neck the shoulders would intersect its inside.
        depth = np.where(points[:, 2] > -10.2, 7.1, 6.0)
        under_cloth = np.hypot(points[:, 0] / 6.2, (points[:, 2] + 10.2) / depth) > 1
        return points[:, 1] < collar - np.where(under_cloth, 0.2, 4.0)

    def paint(self, grid: TexelGrid) -> Texels:
        """Texels of the knit: rows of stitches on the body, ribs on the collar, noise."""
        points = grid.interpolate(self.rest)
        loft, cosine, sine = grid.interpolate(np.stack([self._loft, np.cos(self._angle), np.sin(self._angle)], 1)).T
        angle = np.arctan2(sine, cosine)
        collar = smoothstep(_COLLAR_END + 0.03, _COLLAR_END - 0.03, loft)
        ribs = np.sin(angle * 62) * collar
        around = np.hypot(points[:, 0], points[:, 2] + 10) * angle
        knit = np.sin(around * (2 * np.pi / 0.42)) * np.sin(
            points[:, 1] * (2 * np.pi / 0.36) + np.abs(np.sin(around * 7.5))
        )
        knit *= 1 - collar
        tone = 1 + 0.16 * ribs + 0.10 * knit + 0.06 * self._noise(points, 0.1) + 0.10 * self._noise.octaves(points, 3.0)
        seam = np.exp(-(((loft - _COLLAR_END) / 0.035) ** 2))
        tone *= 1 - 0.45 * seam
        albedo = self._color * np.clip(tone, 0.2, 2)[:, None]
        bump = np.stack([self._noise(points + shift, 0.16) for shift in (0.0, 9.0, 17.0)], 1) * np.float32(0.16)
        zero = np.zeros(len(points), np.float32)
        return Texels(albedo.astype(np.float32), zero, zero, bump, zero, zero)

    def _surface(self) -> Array:
        """The surface [V,3] cm without folds."""
        width, side_y, front_z, front_y, back_z, back_y = CubicSpline(_RINGS[:, 0], _RINGS[:, 1:])(self._loft).T
        sine = np.sin(self._angle)
        cosine = np.cos(self._angle)
        center_z = (front_z + back_z) / 2
        depth = np.where(sine > 0, front_z - center_z, center_z - back_z)
        squared = sine * sine
        height = side_y + np.where(sine > 0, front_y - side_y, back_y - side_y) * squared
        height += self._collar_height * smoothstep(_COLLAR_END, 0.8, self._loft)
        # Far from the neck the outline is a rounded box rather than an ellipse.
        box = 1 - 0.28 * np.clip((self._loft - 2) / 2, 0, 1)
        x = width * np.sign(cosine) * np.abs(cosine) ** box
        z = center_z + depth * np.sign(sine) * np.abs(sine) ** box
        return np.stack([x, height, z], 1).astype(np.float32)

    def _fold(self, smooth: Array) -> Array:
        """The surface [V,3] cm with wide folds over the chest and small ones under the collar."""
        body = smoothstep(_COLLAR_END, 3.2, self._loft)
        drape = self._noise.octaves(smooth * np.array([1.0, 0.45, 1.0], np.float32), 4.5, 2)
        outward = smooth - np.array([0.0, -30.0, -10.0], np.float32)
        outward /= np.linalg.norm(outward, axis=1, keepdims=True)
        fold = np.abs(self._noise(smooth * np.array([0.8, 0.35, 0.8], np.float32) + 40, 3.2))
        collar = smoothstep(_COLLAR_END, 1.2, self._loft) * 0.10 * np.sin(self._angle * 62)
        puff = 0.35 * np.exp(-(((self._loft - 1.1) / 0.45) ** 2))
        height = 0.55 * body * drape - 0.75 * body * np.exp(-((fold / 0.22) ** 2)) + 0.25 * collar + puff
        return (smooth + outward * height[:, None]).astype(np.float32)


def _grid_faces(rows: int, columns: int) -> NDArray[np.int64]:
    """Triangles [F,3] of a tube of `rows` rings with `columns` vertices each, outside counter-clockwise."""
    row, column = np.meshgrid(np.arange(rows - 1), np.arange(columns), indexing="ij")
    right = (column + 1) % columns
    corner = [row * columns + column, row * columns + right, (row + 1) * columns + right, (row + 1) * columns + column]
    first = np.stack([corner[0], corner[1], corner[2]], -1)
    second = np.stack([corner[0], corner[2], corner[3]], -1)
    return np.concatenate([first.reshape(-1, 3), second.reshape(-1, 3)]).astype(np.int64)
