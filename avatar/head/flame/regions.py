"""Regions of a FLAME head from its landmarks and components, and plausible vertex colors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from scipy.spatial import cKDTree

from avatar.head.anatomy import base
from avatar.head.anatomy.indices import BROW_LOWER, BROW_UPPER, LIP_LOWER, LIP_UPPER, OVAL, TRAGI
from avatar.head.anatomy.mesh import smoothstep

from .anatomy import Anatomy, eye_colors
from .detection import IRIS_RADIUS
from .openings import Opening, to_angles
from .surface import Floats, Mask, border_loops, distance_from, edge_graph

_SKIN = (0.82, 0.66, 0.57)
_LIP = (0.70, 0.36, 0.34)
_BROW = (0.34, 0.24, 0.19)
_DARK = (0.62, 0.28, 0.28)
_NECK = 0.07  # meters from the chin down to the torso
_EAR = 0.055  # meters along the skin from the ear's outermost point
_EAR_ROOT = 0.78  # lateral position of the ear's root, relative to its outermost point
_LIPS_INSIDE = 0.004  # meters from the line where the lips meet
_LID_BAND = 0.009  # meters of skin around a lid's edge that belong to the eyelid
_OUTER_LIPS = (*LIP_UPPER[0], *LIP_LOWER[0])


def _right_then_left(rows: Sequence[Sequence[int]]) -> list[int]:
    """A closed outline from the right halves of its upper and lower row, each from the right corner to the middle."""
    mirror = base.load().mirror
    upper = list(rows[0])
    lower = list(rows[1])
    top = upper + [int(mirror[index]) for index in upper[-2::-1]]
    return top + [int(mirror[index]) for index in lower[1:]] + lower[-2:0:-1]


def _inside(points: Floats, outline: Floats) -> Floats:
    """Signed distance [N] (meters, positive inside) of points to an outline in the front view."""
    shape = (outline[:, :2] * 1000).astype(np.float32)
    return np.array([cv2.pointPolygonTest(shape, (float(x), float(y)), True) for x, y in points[:, :2] * 1000]) / 1000


def skin_masks(
    body: Anatomy, landmarks: Floats, hidden: Mask, lids: Sequence[Opening], lip_line: Floats
) -> dict[str, Mask]:
    """Region masks of the file's vertices.

    Args:
        body: the mesh.
        landmarks: [478,3] meters.
        hidden: [V] skin not visible from outside: sockets and the inner sides of the lips.
        lids: left and right eye opening.
        lip_line: [N,3] points where the lips meet, meters.

    Returns:
        Bool masks [V] by region name.
    """
    points = body.vertices
    skin = body.skin
    _, y, z = points.T
    front = z > np.interp(y, *_depth_of_oval(landmarks)) - 0.006
    outer = skin & ~hidden
    face = outer & front & (_inside(points, landmarks[list(OVAL)]) > 0)
    brow = landmarks[list(BROW_UPPER), 1].mean()
    lips = outer & front & (_inside(points, landmarks[_right_then_left((LIP_UPPER[0], LIP_LOWER[0]))]) > -0.001)
    eyelids = _eyelids(body, lids) & skin
    mouth = hidden & (np.linalg.norm(points - landmarks[list(_OUTER_LIPS)].mean(0), axis=1) < 0.045)
    torso = outer & (y < max(landmarks[152, 1] - _NECK, y[skin].min() + 0.015))
    ears = _ears(body, outer, landmarks)
    rest = outer & ~face & ~torso & ~ears["left_ear"] & ~ears["right_ear"]
    low = y < np.interp(
        z, [landmarks[list(TRAGI), 2].mean() - 0.09, landmarks[152, 2] - 0.03], [landmarks[2, 1], landmarks[152, 1]]
    )
    masks = {
        "face": face,
        "forehead": face & (y > brow + 0.004),
        "nose": face & _nose(points, landmarks),
        "lips": lips,
        "eyelids": eyelids,
        "scalp": rest & ~low & ((y > brow) | (z < landmarks[list(TRAGI), 2].mean())),
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


def _nose(points: Floats, landmarks: Floats) -> Mask:
    """Mask [V] of points [V,3] in a box around the nose."""
    x, y, z = points.T
    wings = landmarks[[129, 358]]
    near_midline = np.abs(x - landmarks[1, 0]) < np.ptp(wings[:, 0]) / 2 + 0.002
    between = (y < landmarks[6, 1]) & (y > landmarks[2, 1] - 0.002)
    return near_midline & between & (z > wings[:, 2].mean() - 0.012)


def _eyes(body: Anatomy, face: Mask) -> dict[str, Mask]:
    """Eyeballs, iris, sclera, and the skin around each eye."""
    points = body.vertices
    masks = {name: np.zeros(len(points), bool) for name in ("iris", "sclera")}
    for side, ball in (("left", body.left), ("right", body.right)):
        ellipse = ((((points - ball.center)[:, :2] / [0.026, 0.019]) ** 2).sum(1) < 1) & face
        masks[f"{side}_eye_region"] = ellipse
        eyeball = np.zeros(len(points), bool)
        eyeball[ball.vertices] = True
        masks[f"{side}_eyeball"] = eyeball
        front = (points - ball.center)[:, 2] > np.sqrt(ball.radius**2 - IRIS_RADIUS**2)
        masks["iris"] |= eyeball & front
        masks["sclera"] |= eyeball & ~front
    masks["eye_region"] = masks["left_eye_region"] | masks["right_eye_region"]
    return masks


def _collar(body: Anatomy) -> Mask:
    """The lowest boundary loop of the skin."""
    loops = border_loops(body.faces[body.skin_faces])
    mask = np.zeros(len(body.vertices), bool)
    mask[min(loops, key=lambda loop: body.vertices[loop, 1].mean())] = True
    return mask


def _nearest_to(points: Floats, candidates: Mask, line: Floats, max_distance: float) -> Mask:
    """Candidates within `max_distance` meters of a line's points [N,3], at least the nearest one; mask [V]."""
    distance = cKDTree(line).query(points)[0]
    mask = candidates & (distance < max_distance)
    ids = np.flatnonzero(candidates)
    mask[ids[distance[ids].argmin()]] = True
    return mask


def _depth_of_oval(landmarks: Floats) -> tuple[Floats, Floats]:
    """Heights (increasing) and depths of the face's outline."""
    outline = landmarks[list(OVAL)]
    order = np.argsort(outline[:, 1])
    return outline[order, 1], np.minimum.accumulate(outline[order, 2][::-1])[::-1] - 0.01


def _ears(body: Anatomy, outer: Mask, landmarks: Floats) -> dict[str, Mask]:
    """Skin around the outermost point behind each tragus, at heights between brow and upper lip."""
    x, y, z = body.vertices.T
    tragi = landmarks[list(TRAGI)]
    level = outer & (y > landmarks[2, 1] - 0.055) & (y < landmarks[9, 1] + 0.012)
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
    """Skin within a band around the lid edges, measured along the skin."""
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


def skin_colors(body: Anatomy, landmarks: Floats, masks: Mapping[str, Mask]) -> Floats:
    """Colors [V,3] sRGB of skin, lips, brows and eyeballs."""
    colors = np.tile(np.array(_SKIN), (len(body.vertices), 1))
    rim = _inside(body.vertices, landmarks[_right_then_left((LIP_UPPER[0], LIP_LOWER[0]))])
    _paint(colors, smoothstep(-0.001, 0.0015, rim) * masks["lips"], _LIP)
    mirror = base.load().mirror
    for flip in (False, True):
        outline = [*BROW_LOWER, *BROW_UPPER[::-1]]
        ids = mirror[outline] if flip else outline
        depth = _inside(body.vertices, landmarks[ids])
        _paint(colors, 0.9 * smoothstep(-0.0025, 0.001, depth) * masks["face"], _BROW)
    _paint(colors, masks["mouth_interior"].astype(float), _DARK)
    for ball in (body.left, body.right):
        colors[ball.vertices] = eye_colors(body.vertices[ball.vertices] - ball.center)
    return colors


def _paint(colors: Floats, shade: Floats, color: Sequence[float]) -> None:
    colors += shade[:, None] * (np.array(color) - colors)


def hidden_skin(body: Anatomy) -> Mask:
    """Mask [V] of skin vertices in the front of the head without a visible face."""
    visible = np.zeros(len(body.vertices), bool)
    visible[body.faces[body.visible].ravel()] = True
    return body.skin & ~visible & (body.vertices[:, 2] > -0.02)
