"""Identity basis: semantic controls and smooth random modes of the cage (stage S11)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse.linalg import eigsh

from avatar.head.anatomy.indices import FACE_POINTS, UPPER_LIP_MIDDLE
from avatar.head.anatomy.mesh import MIRROR, Floats, Ints, smoothstep

from .cage import Cage
from .mesh import symmetrize

#: Gaussian-process kernel: length and amplitude in cm, whole head or face only
_KERNEL = ((9.0, 0.25, False), (6.0, 0.22, False), (3.0, 0.16, True), (1.6, 0.09, True), (0.9, 0.05, True))
SYMMETRIC_MODES = 56
ANTISYMMETRIC_MODES = 12
_ANTISYMMETRIC_SCALE = 0.5
_MODES_PER_AXIS = 24


class _Coordinates:
    """Coordinates of the cage's vertices and falloff functions for the definition of controls."""

    def __init__(self, vertices: Floats) -> None:
        self.vertices = vertices
        self.x, self.y, self.z = vertices.T
        self.head = smoothstep(-17, -12, self.y)
        self.face = smoothstep(-9.5, -5.5, self.z) * smoothstep(-14.5, -11, self.y)
        self.side = np.tanh(self.x)

    def bump(self, center: Sequence[float], width: Sequence[float]) -> Floats:
        """A Gaussian bump [V] with half-widths `width` along the axes."""
        return np.exp(-(((self.vertices - np.array(center)) / np.array(width)) ** 2).sum(1))

    def pair(self, center: Sequence[float], width: Sequence[float]) -> Floats:
        """The same bump on both sides."""
        return self.bump(center, width) + self.bump(np.array(center) * MIRROR, width)

    def sided(self, center: Sequence[float], width: Sequence[float]) -> Floats:
        """A bump on each side, negative on the right: moves sides apart when used along x."""
        return self.bump(center, width) - self.bump(np.array(center) * MIRROR, width)

    def along(self, x: Floats | float = 0.0, y: Floats | float = 0.0, z: Floats | float = 0.0) -> Floats:
        """A displacement field [V,3] from its components."""
        return np.stack([np.broadcast_to(component, self.x.shape) for component in (x, y, z)], 1).astype(float)


def _skull_controls(p: _Coordinates) -> dict[str, Floats]:
    return {
        "headWidth": p.along(x=0.045 * p.x * p.head),
        "headHeight": p.along(y=0.045 * p.y * p.head),
        "headDepth": p.along(z=0.045 * (p.z + 5) * p.head),
        "skullTop": p.along(y=0.6 * smoothstep(4, 11, p.y)),
        "skullBack": p.along(z=-0.6 * smoothstep(-9, -16, p.z) * p.head),
        "foreheadWidth": p.along(x=0.45 * p.side * p.bump((0, 6.5, -1), (20, 3.5, 6))),
        "foreheadSlope": p.along(z=-0.5 * p.bump((0, 8, 1), (7, 3.5, 6))),
        "lowerFaceLength": p.along(y=-0.45 * smoothstep(-4, -7.5, p.y) * p.face),
        "midFaceLength": p.along(y=-0.4 * smoothstep(-1, -5.5, p.y) * p.face),
        "upperFaceLength": p.along(y=0.4 * smoothstep(0.5, 3.5, p.y)),
    }


def _jaw_and_cheek_controls(p: _Coordinates) -> dict[str, Floats]:
    full = (4.5, -6, -1), (2, 2.2, 3)
    return {
        "jawWidth": p.along(x=0.5 * p.side * p.bump((0, -8, -4), (20, 3.5, 5))),
        "jawHeight": p.along(y=-0.5 * p.bump((0, -10, -4), (20, 3.5, 6))),
        "chinLength": p.along(y=-0.45 * p.bump((0, -11, 0), (3, 2.2, 4))),
        "chinForward": p.along(z=0.45 * p.bump((0, -10.4, 0), (3, 2, 4))),
        "chinWidth": p.along(x=0.3 * p.side * p.bump((0, -10.5, 0), (4, 1.8, 4))),
        "cheekboneWidth": p.along(x=0.4 * p.side * p.bump((0, -2.5, -3), (20, 2.2, 4))),
        "cheekboneOut": p.along(z=0.3 * p.pair((4.5, -3, 0), (2, 1.8, 3))),
        "cheekFull": p.along(x=0.35 * p.sided(*full), z=0.25 * p.pair(*full)),
    }


def _nose_controls(p: _Coordinates) -> dict[str, Floats]:
    return {
        "noseLength": p.along(y=-0.3 * p.bump((0, -4.5, 2), (1.6, 1.2, 2.5))),
        "noseWidth": p.along(x=0.25 * np.clip(p.x / 1.5, -1, 1) * p.bump((0, -4.6, 1.5), (2.2, 1.1, 2.5))),
        "noseOut": p.along(z=0.35 * p.bump((0, -4.2, 2.5), (1.3, 1.5, 2.5))),
        "noseBridge": p.along(z=0.25 * p.bump((0, -0.5, 1.5), (0.9, 2, 2))),
        "noseTipUp": p.along(y=0.2 * p.bump((0, -4.5, 3), (1.2, 0.8, 1.2))),
    }


def _eye_controls(p: _Coordinates) -> dict[str, Floats]:
    across = np.tanh((np.abs(p.x) - 3.15) / 1.2)
    return {
        "eyeSpacing": p.along(x=0.2 * p.side * p.bump((0, 0, 0), (20, 1.8, 3))),
        "eyeUp": p.along(y=0.2 * p.bump((0, 0, 0), (20, 1.6, 4))),
        "eyeDeep": p.along(z=-0.2 * p.pair((3.2, 0, 0), (1.9, 1.2, 2))),
        "eyeTilt": p.along(y=0.12 * across * p.pair((3.2, 0, 0), (2.2, 1, 2))),
        "eyeWidth": p.along(x=0.12 * across * p.sided((3.2, 0, 0), (2.2, 1, 2))),
        "eyeOpen": p.along(y=0.20 * np.tanh(p.y / 0.5) * p.pair((3.2, 0, 0), (1.6, 0.9, 2))),
        "browUp": p.along(y=0.3 * p.bump((0, 2.4, 1), (6, 1, 3))),
        "browOut": p.along(z=0.25 * p.bump((0, 2.2, 1), (5, 1.1, 3))),
    }


def _mouth_controls(p: _Coordinates, lips: float) -> dict[str, Floats]:
    """Controls of the mouth; `lips` is the height of the contact line."""
    mouth = p.bump((0, -7.4, 0), (4.5, 1.4, 3))
    upper = (0, lips + 0.55, 1)
    lower = (0, lips - 0.75, 1)
    return {
        "mouthWidth": p.along(x=0.3 * np.clip(p.x / 2.6, -1, 1) * mouth),
        "mouthUp": p.along(y=0.25 * mouth),
        "mouthOut": p.along(z=0.25 * p.bump((0, -7.4, 1), (3, 1.5, 3))),
        "upperLipThick": p.along(
            y=0.15 * p.bump(upper, (2.4, 0.35, 2)), z=0.05 * p.bump((0, lips + 0.4, 1), (2.4, 0.4, 2))
        ),
        "lowerLipThick": p.along(
            y=-0.15 * p.bump(lower, (2.4, 0.4, 2)), z=0.05 * p.bump((0, lips - 0.5, 1), (2.4, 0.5, 2))
        ),
        "philtrum": p.along(y=0.15 * p.bump((0, -5.9, 1.5), (2, 0.7, 2))),
    }


def _asymmetric_controls(p: _Coordinates) -> dict[str, Floats]:
    return {
        "asymmetryMouth": p.along(x=0.2 * p.bump((0, -7.4, 0), (4, 1.6, 3))),
        "asymmetryNose": p.along(x=0.2 * p.bump((0, -4, 2), (2, 1.8, 3))),
        "asymmetryJaw": p.along(x=0.3 * p.bump((0, -9.5, -1), (8, 2.8, 5))),
        "asymmetryEyes": p.along(y=0.1 * np.sign(p.x) * p.bump((0, 0.8, 0), (20, 2, 4))),
    }


def _parity_basis(mirror: Ints, parity: int) -> Floats:
    """Orthonormal scalar fields [V,K] that are even (1) or odd (-1) under the mirror."""
    index = np.arange(len(mirror))
    right = index[index < mirror]
    basis = np.zeros((len(mirror), len(right)))
    basis[right, np.arange(len(right))] = np.sqrt(0.5)
    basis[mirror[right], np.arange(len(right))] = parity * np.sqrt(0.5)
    middle = np.eye(len(mirror))[:, index == mirror] if parity > 0 else np.zeros((len(mirror), 0))
    return np.hstack([basis, middle])


def _scalar_modes(p: _Coordinates, mirror: Ints, parity: int) -> tuple[Floats, Floats]:
    """Leading modes [V,24] of the kernel with one parity, scaled to one standard deviation, and their variances."""
    squared = ((p.vertices[:, None] - p.vertices[None]) ** 2).sum(-1)
    local = np.clip(p.face + 0.15 * p.head, 0, 1)
    kernel = np.zeros_like(squared)
    for length, amplitude, face_only in _KERNEL:
        window = local if face_only else p.head
        kernel += amplitude**2 * np.exp(-squared / (2 * length**2)) * window[:, None] * window
    basis = _parity_basis(mirror, parity)
    reduced = basis.T @ kernel @ basis
    start = np.linspace(1, 2, len(reduced))  # fixed start vector of Lanczos: deterministic modes
    variance, vectors = eigsh(reduced, _MODES_PER_AXIS, which="LA", v0=start)
    order = np.argsort(-variance)
    modes = basis @ vectors[:, order]
    variance = np.maximum(variance[order], 0)
    one_side = np.flatnonzero(mirror >= np.arange(len(mirror)))
    peak = one_side[np.abs(modes[one_side]).argmax(0)]
    modes = modes * np.sign(modes[peak, np.arange(_MODES_PER_AXIS)])
    return modes * np.sqrt(variance), variance


def _gaussian_process_modes(p: _Coordinates, mirror: Ints) -> Floats:
    """The strongest symmetric, then antisymmetric vector modes [68,V,3]."""
    scalar = {parity: _scalar_modes(p, mirror, parity) for parity in (1, -1)}
    chosen = []
    for parity, count, scale in ((1, SYMMETRIC_MODES, 1.0), (-1, ANTISYMMETRIC_MODES, _ANTISYMMETRIC_SCALE)):
        ranked = []
        for axis in range(3):
            modes, variance = scalar[-parity if axis == 0 else parity]
            ranked += [(-value, axis, rank, modes[:, rank]) for rank, value in enumerate(variance)]
        ranked.sort(key=lambda entry: entry[:3])
        for _, axis, _, mode in ranked[:count]:
            field = np.zeros_like(p.vertices)
            field[:, axis] = mode * scale
            chosen.append(field)
    return np.stack(chosen)


def _without_similarity(fields: Floats, p: _Coordinates) -> Floats:
    """Fields [S,V,3] minus the least-squares similarity motion on the face, which is faded out at the collar."""
    offset = p.vertices - p.vertices[:FACE_POINTS].mean(0)
    motions = [np.tile(axis, (len(offset), 1)) for axis in np.eye(3)]
    motions += [np.cross(axis, offset) for axis in np.eye(3)]
    basis = np.stack([*motions, offset])
    on_face = basis[:, :FACE_POINTS].reshape(len(basis), -1)
    targets = fields[:, :FACE_POINTS].reshape(len(fields), -1)
    amounts = np.linalg.lstsq(on_face.T, targets.T, rcond=None)[0]
    return fields - np.einsum("bs,bvc->svc", amounts, basis) * smoothstep(-20, -13, p.y)[None, :, None]


def identity_modes(cage: Cage) -> tuple[list[str], Floats]:
    """Names and displacements [S,C,3] cm of the cage for one standard deviation of each identity coefficient."""
    coordinates = _Coordinates(cage.vertices)
    even: dict[str, Floats] = {}
    for controls in (_skull_controls, _jaw_and_cheek_controls, _nose_controls, _eye_controls):
        even.update(controls(coordinates))
    even.update(_mouth_controls(coordinates, float(cage.vertices[UPPER_LIP_MIDDLE, 1])))
    odd = _asymmetric_controls(coordinates)
    fields = [symmetrize(field, cage.mirror) for field in even.values()]
    fields += [symmetrize(field, cage.mirror, -1.0) for field in odd.values()]
    modes = _gaussian_process_modes(coordinates, cage.mirror)
    names = [*even, *odd, *(f"mode{index:02d}" for index in range(len(modes)))]
    return names, _without_similarity(np.concatenate([np.stack(fields), modes]), coordinates)
