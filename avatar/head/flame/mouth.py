"""The inside of the mouth for a head without: a mouth sock attached behind the lips, teeth, gums and a tongue."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from avatar.errors import HeadsplatError
from avatar.head.anatomy import parts, teeth, tongue
from avatar.head.anatomy.mesh import Floats, Ints

from .anatomy import Anatomy
from .surface import border_loops

#: rings of the sock behind the border: depth (cm), half height (cm), width factor, weight of the border's motion
_RINGS = ((-0.6, 0.5, 1.08, 0.8), (-1.8, 0.8, 1.12, 0.4), (-3.2, 0.7, 1.0, 0.1), (-4.8, 0.2, 0.6, 0.0))
_CAP_DEPTH = -5.2
_SOCK = ((0.50, 0.22, 0.22), (0.34, 0.15, 0.15), (0.25, 0.11, 0.11), (0.19, 0.08, 0.08), (0.15, 0.06, 0.06))
_UPPER_DROP = 0.12  # cm: FLAME's upper lip covers more of the teeth than the embedded head's
_TEETH_BACK = 0.25  # cm behind the position in the embedded head: FLAME's lips are thicker


@dataclass(frozen=True)
class Sock:
    """Rings of new vertices attached to the mouth's border."""

    vertices: Floats  # [P,3] meters, ring by ring, the cap last
    faces: Ints  # [Q,3]: indices below V are the head's vertices, from V on these
    colors: Floats  # [P,3]
    source: Ints  # [P] the border vertex whose motion each vertex follows (arbitrary for the cap)
    follow: Floats  # [P] weight of that motion, 0..1
    flat: Floats  # [N + P,2] texture island of the border's N vertices and these
    flat_faces: Ints  # [Q,3] into `flat`


def mouth_border(body: Anatomy) -> Ints:
    """The boundary loop of the skin inside the mouth, as vertices.

    Raises:
        HeadsplatError: the skin has no hole where the mouth should be.
    """
    best: Ints | None = None
    for loop in border_loops(body.faces[body.skin_faces]):
        middle = body.vertices[loop].mean(0)
        if len(loop) >= 8 and middle[2] > -0.02 and -0.12 < middle[1] < -0.03 and abs(middle[0]) < 0.02:
            best = loop if best is None or len(loop) > len(best) else best
    if best is None:
        raise HeadsplatError("the head's skin has no opening at the mouth; give a FLAME head with its own faces")
    return best


def make_sock(body: Anatomy, border: Ints) -> Sock:
    """A closed bag that extends backward from the mouth's border [N]."""
    rim = body.vertices[border] * 100
    middle = rim.mean(0)
    size = len(border)
    first = len(body.vertices)
    vertical = np.sign(rim[:, 1] - middle[1])
    rings = []
    faces = []
    previous = border
    for number, (back, opening, width, _) in enumerate(_RINGS):
        ring = (rim - middle) * [width, 1, 0.6**number] + middle + np.array([0, 0, back])
        across = (rim[:, 0] - middle[0]) / np.abs(rim[:, 0] - middle[0]).max()
        ring[:, 1] += vertical * opening * (1 - across**6)
        ids = first + number * size + np.arange(size)
        faces.append(_band(previous, ids))
        rings.append(ring)
        previous = ids
    cap = first + len(_RINGS) * size
    faces.append(np.stack([previous, np.full(size, cap), np.roll(previous, -1)], -1))
    points = np.vstack([*rings, middle + np.array([0, 0, _CAP_DEPTH])])
    follow = np.append(np.repeat([weight for *_, weight in _RINGS], size), 0.0)
    radii = np.linspace(1, 0.2, len(_RINGS) + 1)
    flat = np.vstack([parts.polar(radii.tolist(), -2 * np.pi * np.arange(size) / size), [[0, 0]]])
    whole = np.vstack(faces)
    local = np.where(whole >= first, whole - first + size, 0)
    index_in_border = {int(vertex): index for index, vertex in enumerate(border)}
    at_border = whole < first
    local[at_border] = [index_in_border[int(vertex)] for vertex in whole[at_border]]
    colors = np.vstack([np.repeat(_SOCK[:-1], size, 0), _SOCK[-1:]])
    source = np.append(np.tile(border, len(_RINGS)), border[0])
    return Sock(points / 100, whole, colors, source, follow, flat, local)


def _band(outer: Ints, inner: Ints) -> Ints:
    """Triangles between two loops, oriented consistently with the skin at the border."""
    next_outer = np.roll(outer, -1)
    next_inner = np.roll(inner, -1)
    return np.vstack([np.stack([outer, inner, next_outer], -1), np.stack([next_outer, inner, next_inner], -1)])


def make_parts(lips: Floats) -> list[parts.Part]:
    """Upper teeth, lower teeth and tongue (vertices in cm) behind the middle of the lips, `lips` [3] meters."""
    behind = lips * 100 - [0, 0, _TEETH_BACK]
    generated = [teeth.teeth(behind, True, ()), teeth.teeth(behind, False, ()), tongue.tongue(behind, ())]
    drops = (_UPPER_DROP, 0.0, 0.0)
    return [
        replace(part, vertices=part.vertices + np.array([behind[0], -drop, 0]))
        for part, drop in zip(generated, drops, strict=True)
    ]
