"""Which vertices of a FLAME head belong to what, told by its landmarks and pieces, and plausible colors for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from scipy.spatial import cKDTree

from avatar.head.generate import base
from avatar.head.generate.indices import BROW_LOWER, BROW_UPPER, LIP_LOWER, LIP_UPPER, OVAL, TRAGI
from avatar.head.generate.mesh import smoothstep

from .bare import Anatomy, eye_colors
from .embedding import IRIS_RADIUS
from .openings import Opening, to_angles
from .surface import Floats, Mask, border_loops, distance_from, edge_graph

_SKIN, _LIP, _BROW, _DARK = (0.82, 0.66, 0.57), (0.70, 0.36, 0.34), (0.34, 0.24, 0.19), (0.62, 0.28, 0.28)
_NECK = 0.07  # meters from the chin down to where the torso begins
_EAR, _EAR_ROOT = 0.055, 0.78  # meters along the skin from an ear's tip; how far out its root is
_LIPS_INSIDE = 0.004  # meters from where the lips meet
_LID_BAND = 0.009  # meters of skin around a lid's edge that count as eyelid
_OUTER_LIPS = (*LIP_UPPER[0], *LIP_LOWER[0])


def _right_then_left(rows: Sequence[Sequence[int]]) -> list[int]:
    """A closed outline from a row over the top and one along the bottom, both from the right corner to the middle."""
    mirror = base.load().mirror
    upper, lower = list(rows[0]), list(rows[1])
    top = upper + [int(mirror[index]) for index in upper[-2::-1]]
    return top + [int(mirror[index]) for index in lower[1:]] + lower[-2:0:-1]


def _inside(points: Floats, outline: Floats) -> Floats:
    """How far [N] points are inside an outline seen from the front, meters; negative outside."""
    shape = (outline[:, :2] * 1000).astype(np.float32)
    return np.array([cv2.pointPolygonTest(shape, (float(x), float(y)), True) for x, y in points[:, :2] * 1000]) / 1000


def skin_masks(
    body: Anatomy, marks: Floats, hidden: Mask, lids: Sequence[Opening], lip_line: Floats
) -> dict[str, Mask]:
    """Bool masks [V] of the head's own vertices by region name.

    Args:
        body: the mesh.
        marks: [478,3] landmarks, meters.
        hidden: [V] skin that cannot be seen from outside: sockets and the inner sides of the lips.
        lids: the openings of the left and the right eye.
        lip_line: [N,3] where the lips meet, meters.
    """
    points, skin = body.vertices, body.skin
    x, y, z = points.T
    front = z > np.interp(y, *_depth_of_oval(marks)) - 0.006
    outer = skin & ~hidden
    face = outer & front & (_inside(points, marks[list(OVAL)]) > 0)
    brow, nose = marks[list(BROW_UPPER), 1].mean(), marks[[129, 358]]
    lips = outer & front & (_inside(points, marks[_right_then_left((LIP_UPPER[0], LIP_LOWER[0]))]) > -0.001)
    eyelids = _eyelids(body, lids) & skin
    mouth = hidden & (np.linalg.norm(points - marks[list(_OUTER_LIPS)].mean(0), axis=1) < 0.045)
    nose_box = (
        (np.abs(x - marks[1, 0]) < np.ptp(nose[:, 0]) / 2 + 0.002) & (y < marks[6, 1]) & (y > marks[2, 1] - 0.002)
    )
    torso = outer & (y < max(marks[152, 1] - _NECK, y[skin].min() + 0.015))
    ears = _ears(body, outer, marks)
    rest = outer & ~face & ~torso & ~ears["left_ear"] & ~ears["right_ear"]
    low = y < np.interp(z, [marks[list(TRAGI), 2].mean() - 0.09, marks[152, 2] - 0.03], [marks[2, 1], marks[152, 1]])
    masks = {
        "face": face,
        "forehead": face & (y > brow + 0.004),
        "nose": face & nose_box & (z > nose[:, 2].mean() - 0.012),
        "lips": lips,
        "eyelids": eyelids,
        "scalp": rest & ~low & ((y > marks[list(BROW_UPPER), 1].mean()) | (z < marks[list(TRAGI), 2].mean())),
        "neck": rest & low,
        "torso": torso,
        "mouth_interior": mouth,
        "lid_interior": hidden & _near_eyes(body),
        "skin": skin & ~mouth,
        "boundary": _collar(body),
        **ears,
    }
    masks |= _eyes(body, face)
    masks["lips_inner"] = _nearest_to(points, mouth | lips, lip_line, _LIPS_INSIDE)
    masks["hair_cap"] = masks["scalp"].copy()
    return masks


def _eyes(body: Anatomy, face: Mask) -> dict[str, Mask]:
    """Eyeballs, what of them is iris, and the skin around each."""
    points = body.vertices
    masks = {name: np.zeros(len(points), bool) for name in ("iris", "sclera")}
    for side, ball in (("left", body.left), ("right", body.right)):
        around = ((((points - ball.center)[:, :2] / [0.026, 0.019]) ** 2).sum(1) < 1) & face
        masks[f"{side}_eye_region"] = around
        own = np.zeros(len(points), bool)
        own[ball.vertices] = True
        masks[f"{side}_eyeball"] = own
        ahead = (points - ball.center)[:, 2] > np.sqrt(ball.radius**2 - IRIS_RADIUS**2)
        masks["iris"] |= own & ahead
        masks["sclera"] |= own & ~ahead
    masks["eye_region"] = masks["left_eye_region"] | masks["right_eye_region"]
    return masks


def _collar(body: Anatomy) -> Mask:
    """The skin's lowest border."""
    loops = border_loops(body.faces[body.skin_faces])
    mask = np.zeros(len(body.vertices), bool)
    mask[min(loops, key=lambda loop: body.vertices[loop, 1].mean())] = True
    return mask


def _nearest_to(points: Floats, among: Mask, line: Floats, reach: float) -> Mask:
    """Vertices of a mask within `reach` meters of a line's points [N,3], at least the nearest one."""
    distance = cKDTree(line).query(points)[0]
    mask = among & (distance < reach)
    ids = np.flatnonzero(among)
    mask[ids[distance[ids].argmin()]] = True
    return mask


def _depth_of_oval(marks: Floats) -> tuple[Floats, Floats]:
    """Heights (increasing) and depths of the face's outline."""
    outline = marks[list(OVAL)]
    order = np.argsort(outline[:, 1])
    return outline[order, 1], np.minimum.accumulate(outline[order, 2][::-1])[::-1] - 0.01


def _ears(body: Anatomy, outer: Mask, marks: Floats) -> dict[str, Mask]:
    """Skin around what stands out farthest behind each tragus, at the height between brow and upper lip."""
    x, y, z = body.vertices.T
    tragi = marks[list(TRAGI)]
    level = outer & (y > marks[2, 1] - 0.055) & (y < marks[9, 1] + 0.012)
    level &= (z < tragi[:, 2].mean() + 0.006) & (z > tragi[:, 2].mean() - 0.06)
    graph = edge_graph(body.vertices, body.faces[body.skin_faces])
    ears = {}
    for name, side in (("left_ear", 1), ("right_ear", -1)):
        ids = np.flatnonzero(level & (side * x > 0))
        tip = ids[(side * x[ids]).argmax()]
        near = distance_from(graph, np.array([tip]), _EAR) < _EAR
        ears[name] = level & near & (side * x > _EAR_ROOT * side * x[tip])
    return ears


def _eyelids(body: Anatomy, openings: Sequence[Opening]) -> Mask:
    """Skin within a band around the edges of the lids, measured along the skin."""
    graph = edge_graph(body.vertices, body.faces[body.skin_faces])
    mask = np.zeros(len(body.vertices), bool)
    for opening in openings:
        azimuth, elevation, radius = to_angles(body.vertices - opening.center)
        upper = np.interp(azimuth, opening.azimuth, opening.upper)
        lower = np.interp(azimuth, opening.azimuth, opening.lower)
        inside = (azimuth > opening.azimuth[0]) & (azimuth < opening.azimuth[-1])
        off = np.minimum(np.abs(elevation - upper), np.abs(elevation - lower))
        edge = body.skin & inside & (off < 0.05) & (radius < 1.3 * opening.radius) & (radius > opening.radius)
        mask |= distance_from(graph, np.flatnonzero(edge), _LID_BAND) < _LID_BAND
    return mask


def _near_eyes(body: Anatomy) -> Mask:
    near = np.zeros(len(body.vertices), bool)
    for ball in (body.left, body.right):
        near |= np.linalg.norm(body.vertices - ball.center, axis=1) < 1.25 * ball.radius
    return near & body.skin


def skin_colors(body: Anatomy, marks: Floats, masks: Mapping[str, Mask]) -> Floats:
    """Colors [V,3] sRGB of skin, lips, brows and eyeballs."""
    colors = np.tile(np.array(_SKIN), (len(body.vertices), 1))
    rim = _inside(body.vertices, marks[_right_then_left((LIP_UPPER[0], LIP_LOWER[0]))])
    _paint(colors, smoothstep(-0.001, 0.0015, rim) * masks["lips"], _LIP)
    mirror = base.load().mirror
    for flip in (False, True):
        outline = [*BROW_LOWER, *BROW_UPPER[::-1]]
        ids = mirror[outline] if flip else outline
        depth = _inside(body.vertices, marks[ids])
        _paint(colors, 0.9 * smoothstep(-0.0025, 0.001, depth) * masks["face"], _BROW)
    _paint(colors, masks["mouth_interior"].astype(float), _DARK)
    for ball in (body.left, body.right):
        colors[ball.vertices] = eye_colors(body.vertices[ball.vertices] - ball.center)
    return colors


def _paint(colors: Floats, shade: Floats, color: Sequence[float]) -> None:
    colors += shade[:, None] * (np.array(color) - colors)


def hidden_skin(body: Anatomy) -> Mask:
    """Skin vertices [V] in front of the skull of which no face is seen from outside."""
    shown = np.zeros(len(body.vertices), bool)
    shown[body.faces[body.seen].ravel()] = True
    return body.skin & ~shown & (body.vertices[:, 2] > -0.02)
