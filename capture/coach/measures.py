"""Expressions measured on the landmarks of one frame: differences to the person's face at rest are what counts.

The tracker's weights are those that explain the landmarks together: a wide open mouth is an open jaw with pursed lips
for one person and without for another, and at rest they vary by 0.2. Distances on the face are the same for everybody.
"""

from __future__ import annotations

import numpy as np

from capture.tracker.indices import (
    LEFT_CORNER,
    LEFT_LIDS,
    LIP_GAP,
    MOUTH_CORNERS,
    RIGHT_CORNER,
    RIGHT_LIDS,
)

#: Forehead and base of the nose, inner eye corners, middle of the upper lip, middles and inner ends of the brows.
_FOREHEAD, _NOSE_BASE = 10, 2
_RIGHT_INNER, _LEFT_INNER = 133, 362
_UPPER_LIP = 0
_BROWS = (105, 334)
_BROW_ENDS = (107, 336)
#: Changes by which the weight of an expression changes by 1, in distances between the outer eye corners.
_GAP = 0.5
_WIDTH = 0.2
_CORNERS = 0.2
_SMILE_WIDTH = 1 / 3
_BROW = 0.1
_BROW_GAP = 0.2
#: Factor by which an eye is narrower at a weight of 1, and the narrowest that is measured, of its width.
_LID_FACTOR = 4.0
_NARROWEST = 0.03


def measured_expression(points: np.ndarray) -> dict[str, float]:
    """Weights by ARKit's names of a face with landmarks [478,3] in pixels: plus constants, the weights at rest."""
    size = _distance(points, RIGHT_CORNER, LEFT_CORNER)
    up = _axes(points)[1]
    eyes = points[[RIGHT_CORNER, LEFT_CORNER, _RIGHT_INNER, _LEFT_INNER]].mean(0)

    def height(*indices: int) -> float:
        return float((points[list(indices)].mean(0) - eyes) @ up) / size

    gap = _distance(points, *LIP_GAP) / size
    width = _distance(points, *MOUTH_CORNERS) / size
    corners = (height(*MOUTH_CORNERS) - height(_UPPER_LIP)) / _CORNERS
    together = _distance(points, *_BROW_ENDS) / size
    inner = height(*_BROW_ENDS) / _BROW
    smile = width / _SMILE_WIDTH + corners
    frown = -inner - together / _BROW_GAP
    right, left = (
        -np.log(max(_distance(points, *lids) / _distance(points, *corners), _NARROWEST)) / np.log(_LID_FACTOR)
        for lids, corners in ((RIGHT_LIDS, (RIGHT_CORNER, _RIGHT_INNER)), (LEFT_LIDS, (LEFT_CORNER, _LEFT_INNER)))
    )
    return {
        "jawOpen": gap / _GAP,
        "mouthPucker": -width / _WIDTH,
        "mouthSmileLeft": smile,
        "mouthSmileRight": smile,
        "browInnerUp": inner,
        "browOuterUpLeft": height(*_BROWS) / _BROW,
        "browOuterUpRight": height(*_BROWS) / _BROW,
        "browDownLeft": frown,
        "browDownRight": frown,
        "eyeBlinkLeft": float(left),
        "eyeBlinkRight": float(right),
    }


def _distance(points: np.ndarray, first: int, second: int) -> float:
    return max(float(np.linalg.norm(points[first] - points[second])), 1e-6)


def _axes(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors [3] to the person's left and up."""
    across = points[LEFT_CORNER] - points[RIGHT_CORNER]
    across = across / max(float(np.linalg.norm(across)), 1e-6)
    up = points[_FOREHEAD] - points[_NOSE_BASE]
    up = up - (up @ across) * across
    return across, up / max(float(np.linalg.norm(up)), 1e-6)
