"""Eyeballs, teeth and tongue: separate meshes inside the skin, at final resolution (stage S7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from .cage import Cage
from .indices import LOWER_LIP_MIDDLE, UPPER_LIP_MIDDLE
from .lids import EYE_RADIUS
from .mesh import MIRROR, Floats, Ints, grid_faces, outward, smoothstep

IRIS_RADIUS = 0.59  # cm, adults' mean (Rufer et al. 2005)
IRIS_ANGLE = float(np.arcsin(IRIS_RADIUS / EYE_RADIUS))
EYE_COLUMNS = 24
#: rings from the cornea's apex to the back: radians; pupil, iris, its dark rim, then white
_EYE_RINGS = (0.09, 0.18, 0.21, 0.32, 0.42, 0.48, IRIS_ANGLE, 0.55, 0.66, 0.85, 1.1, 1.4, 1.75, 2.15, 2.6)
_PUPIL, _IRIS, _RIM, _SCLERA = (0.03, 0.03, 0.03), (0.33, 0.42, 0.46), (0.20, 0.26, 0.29), (0.90, 0.88, 0.86)
_ENAMEL, _GUM, _TONGUE = (0.9, 0.87, 0.8), (0.72, 0.38, 0.38), (0.78, 0.40, 0.42)
#: how far a weight of 1 turns an eye: name, degrees down, degrees outwards
LOOKS = (("Up", -22.0, 0.0), ("Down", 26.0, 0.0), ("Out", 0.0, 28.0), ("In", 0.0, -28.0))

_TEETH = 14
_TOOTH_COLUMNS = 6
_ARCH_ANGLE, _ARCH_DEPTH = 1.35, 3.9
#: rows of the ribbon from the outer gum over the edge to the inner gum: height, bulge, is it tooth
_TOOTH_ROWS = (
    (1.75, -0.15, 0), (1.05, 0.02, 0), (0.95, 0.05, 1), (0.45, 0.09, 1), (0.06, 0.03, 1), (0, -0.08, 1),
    (0.1, -0.25, 1), (0.95, -0.55, 1), (1.7, -0.6, 0),
)  # fmt: skip
_TONGUE_RINGS, _TONGUE_COLUMNS, _TONGUE_LENGTH = 14, 20, 4.2


@dataclass(frozen=True)
class Part:
    """One separate mesh of the head, laid out as a grid so that its texture island is a disc or a rectangle."""

    name: str  # of its region
    vertices: Floats  # [P,3] cm
    faces: Ints  # [Q,3]
    colors: Floats  # [P,3] sRGB 0..1
    flat: Floats  # [P,2] its texture island, any units
    follows: tuple[tuple[int, float], ...]  # landmarks whose mean identity motion it takes, with weights
    jaw_shares: Floats  # [P]
    joint: int | None = None  # index of the joint it is rigidly bound to
    shapes: dict[str, Floats] = field(default_factory=dict)  # expression -> displacements [P,3], gains not applied

    def mirrored(self, name: str, follows: tuple[tuple[int, float], ...], joint: int | None = None) -> Part:
        """The same part on the other, the left side."""
        return replace(
            self,
            name=name,
            vertices=self.vertices * MIRROR,
            faces=self.faces[:, ::-1].copy(),
            flat=self.flat * [-1, 1],
            follows=follows,
            joint=joint,
            shapes={shape.replace("Right", "Left"): move * MIRROR for shape, move in self.shapes.items()},
        )


def mean_of(landmarks: Sequence[int]) -> tuple[tuple[int, float], ...]:
    """Equal weights over landmarks."""
    return tuple((int(index), 1 / len(landmarks)) for index in landmarks)


def polar(radii: Sequence[float], angles: Floats) -> Floats:
    """Flat disc coordinates [R*A,2] of a polar grid, ring by ring."""
    circle = np.stack([np.cos(angles), np.sin(angles)], -1)
    return (np.array(radii)[:, None, None] * circle).reshape(-1, 2)


def fan(ring: Sequence[int], centre: int) -> Ints:
    """Triangles [N,3] around a pole."""
    return np.array([(ring[k], ring[(k + 1) % len(ring)], centre) for k in range(len(ring))])


def _eye_color(angle: float) -> tuple[float, float, float]:
    if angle < 0.2:
        return _PUPIL
    if angle < 0.45:
        return _IRIS
    return _RIM if angle < 0.53 else _SCLERA


def right_eye(cage: Cage, lids: Sequence[int], joint: int) -> Part:
    """The right eyeball with its corneal bulge, open at the back; vertex 0 is the apex."""
    around = 2 * np.pi * np.arange(EYE_COLUMNS) / EYE_COLUMNS
    angles = np.array(_EYE_RINGS)
    radius = EYE_RADIUS * (1 + 0.045 * np.exp(-((np.r_[0, angles] / 0.42) ** 4)))
    sine, cosine = np.sin(angles)[:, None], np.cos(angles)[:, None] + 0 * around
    sphere = np.stack([sine * np.cos(around), sine * np.sin(around), cosine], -1)
    rings = (radius[1:, None, None] * sphere).reshape(-1, 3)
    vertices = np.vstack([[[0, 0, radius[0]]], rings]) + cage.eye_centre
    faces = np.vstack([fan(range(1, 1 + EYE_COLUMNS), 0), grid_faces(len(angles), EYE_COLUMNS, closed=True) + 1])
    colors = np.array([_PUPIL, *np.repeat([_eye_color(angle) for angle in angles], EYE_COLUMNS, 0)])
    flat = np.vstack([[[0, 0]], polar(angles, around)])
    still = np.zeros(len(vertices))
    return Part("right_eyeball", vertices, faces, colors, flat, mean_of(lids), still, joint)


def iris_vertices(left: bool) -> list[int]:
    """Vertices of an eye under its five iris landmarks: the apex, then +x, +y, -x, -y on the iris's edge."""
    ring = 1 + _EYE_RINGS.index(IRIS_ANGLE) * EYE_COLUMNS
    quarters = (2, 1, 0, 3) if left else (0, 1, 2, 3)  # the left eye is the right one mirrored
    return [0, *(ring + EYE_COLUMNS // 4 * quarter for quarter in quarters)]


def _tooth_row(row: tuple[float, float, int], upper: bool, cage: Cage) -> tuple[Floats, Floats]:
    """Vertices and colours [N,3] of one row of the ribbon of teeth."""
    height, bulge, is_tooth = row
    u = np.linspace(-1, 1, _TEETH * _TOOTH_COLUMNS + 1)
    within = (u + 1) / 2 * _TEETH
    crown = np.abs(np.sin(np.pi * (within - np.floor(within)))) ** 0.35
    wide = 2.65 if upper else 2.45
    lip = cage.vertices[UPPER_LIP_MIDDLE]
    x = wide * np.sin(u * _ARCH_ANGLE) / np.sin(_ARCH_ANGLE)
    back = _ARCH_DEPTH * (1 - np.cos(u * _ARCH_ANGLE)) / (1 - np.cos(_ARCH_ANGLE))
    z = lip[2] - 0.92 - (0 if upper else 0.22) - back
    outward_xz = np.stack([-np.gradient(z), np.gradient(x)], 1)
    outward_xz /= np.linalg.norm(outward_xz, axis=1, keepdims=True)
    offset = bulge - 0.04 * (1 - crown) * is_tooth
    rise = height * (0.95 - 0.2 * np.abs(u)) if height < 1.2 else np.full_like(u, height)
    rise = rise + 0.05 * (1 - crown) * (height < 0.2)
    y = lip[1] - 0.20 + rise if upper else lip[1] - 0.42 - rise
    shade = (0.75 + 0.25 * crown)[:, None]
    color = np.array(_ENAMEL) * shade if is_tooth else np.tile(_GUM, (len(u), 1))
    return np.stack([x + outward_xz[:, 0] * offset, y, z + outward_xz[:, 1] * offset], -1), color


def teeth(cage: Cage, upper: bool, follows: tuple[tuple[int, float], ...]) -> Part:
    """A ribbon of 14 teeth with its gum, outside over the edges to the inside."""
    rows = [_tooth_row(row, upper, cage) for row in _TOOTH_ROWS]
    vertices, colors = np.vstack([points for points, _ in rows]), np.vstack([color for _, color in rows])
    columns = _TEETH * _TOOTH_COLUMNS + 1
    faces = grid_faces(len(rows), columns, closed=False)
    across, along = np.meshgrid(np.linspace(0, 4, columns), np.linspace(0, 1, len(rows)))
    flat = np.stack([across.ravel(), along.ravel()], -1)
    shares = np.full(len(vertices), 0.0 if upper else 1.0)
    name = "teeth_upper" if upper else "teeth_lower"
    return Part(name, vertices, faces if upper else faces[:, ::-1].copy(), colors, flat, follows, shares)


def _tongue_vertices(lip: Floats) -> Floats:
    """Rings from the tip back and a vertex at the tip, [281,3]."""
    around = 2 * np.pi * np.arange(_TONGUE_COLUMNS) / _TONGUE_COLUMNS
    rings = []
    for part in np.linspace(0, 1, _TONGUE_RINGS):
        wide = 1.85 * np.sqrt(np.clip(1 - (1 - min(part / 0.45, 1)) ** 2, 0.01, 1))
        high = 0.42 * np.sqrt(np.clip(1 - (1 - min(part / 0.35, 1)) ** 2, 0.02, 1)) + 0.15 * part
        middle = lip[1] - 0.75 - 0.175 * (1 - part) - 0.9 * max(part - 0.6, 0)
        x, y = wide * np.cos(around), high * np.sin(around)
        groove = 0.10 * min(part / 0.3, 1)
        y = y - groove * np.exp(-((x / 0.35) ** 2)) * (np.sin(around) > 1e-9)
        depth = np.full_like(x, lip[2] - 1.25 - _TONGUE_LENGTH * part)
        rings.append(np.stack([x, middle + y, depth], -1))
    tip = rings[0].mean(0) + np.array([0, 0, 0.08])
    return np.vstack([*rings, tip[None]])


def tongue(cage: Cage, follows: tuple[tuple[int, float], ...]) -> Part:
    """The tongue behind the lower teeth; tongueOut slides its front over the lip."""
    lip = cage.vertices[LOWER_LIP_MIDDLE]
    vertices = _tongue_vertices(lip)
    around = 2 * np.pi * np.arange(_TONGUE_COLUMNS) / _TONGUE_COLUMNS
    faces = grid_faces(_TONGUE_RINGS, _TONGUE_COLUMNS, closed=True)
    faces = np.vstack([faces, fan(range(_TONGUE_COLUMNS), len(vertices) - 1)])
    flat = np.vstack([polar(np.arange(1, _TONGUE_RINGS + 1), around), [[0, 0]]])
    shares = np.clip((vertices[:, 2] - (lip[2] - 6)) / 2.5, 0.35, 1)
    out = smoothstep(0, 1, (vertices[:, 2] - (lip[2] - _TONGUE_LENGTH)) / 2.9)
    rise = 0.53 * out - 0.5 * np.clip((out - 0.6) / 0.4, 0, 1)
    shapes = {"tongueOut": np.stack([-0.25 * vertices[:, 0] * out, rise, 2.9 * out], -1)}
    colors = np.tile(_TONGUE, (len(vertices), 1))
    return Part("tongue", vertices, outward(vertices, faces), colors, flat, follows, shares, None, shapes)
