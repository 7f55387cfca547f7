"""How a face is turned and what it does, read straight off its landmarks: coarse, but needs no head model."""

from __future__ import annotations

import numpy as np

from capture.tracker.indices import LEFT_CORNER, LEFT_LIDS, LIP_GAP, MOUTH_CORNERS, RIGHT_CORNER, RIGHT_LIDS

#: Turns, in degrees counter-clockwise, by which the frames of a video can be set upright.
TURNS = (0, 90, 180, 270)
#: Middle of the forehead and base of the nose: the line that expressions leave alone.
_FOREHEAD = 10
_NOSE_BASE = 2
#: Middles of the brows (right, left), measured against the lids below them.
_BROWS = (105, 334)
#: Cosine of the largest angle between the line from the eyes to the mouth and the image's vertical: nobody tilts the
#: head by 70 degrees.
_UPRIGHT = 0.34
#: Scale of each feature (a distance of one unit): yaw, pitch, roll (radians), log of the size, lip gap, mouth width,
#: lid gap, brow height (of the inter-ocular distance).
_UNITS = np.array([0.12, 0.10, 0.15, 0.20, 0.10, 0.08, 0.05, 0.06])


def face_angles(points: np.ndarray) -> np.ndarray:
    """Yaw (to the image's right), pitch (down) and roll (clockwise) [T,3] in radians of landmarks [T,478,3]."""
    across = points[:, LEFT_CORNER] - points[:, RIGHT_CORNER]
    down = points[:, _NOSE_BASE] - points[:, _FOREHEAD]
    yaw = np.arctan2(across[:, 2], np.linalg.norm(across[:, :2], axis=1))
    pitch = np.arctan2(down[:, 2], np.linalg.norm(down[:, :2], axis=1))
    return np.stack([yaw, pitch, np.arctan2(across[:, 1], across[:, 0])], axis=1).astype(np.float64)


def eyes_above_mouth(points: np.ndarray) -> np.ndarray:
    """Mask [T] of landmarks [T,478,3] with the eyes above the mouth: no face that lies or stands on its head."""
    eyes = (points[:, LEFT_CORNER, :2] + points[:, RIGHT_CORNER, :2]) / 2
    down = points[:, list(MOUTH_CORNERS), :2].mean(1) - eyes
    return np.asarray(down[:, 1] > _UPRIGHT * np.linalg.norm(down, axis=1))


def face_features(points: np.ndarray) -> np.ndarray:
    """Pose and expression [T,8] of landmarks [T,478,3], in units that make distances between frames comparable."""
    size = np.linalg.norm(points[:, LEFT_CORNER] - points[:, RIGHT_CORNER], axis=1)

    def gap(first: int, second: int) -> np.ndarray:
        return np.linalg.norm(points[:, first] - points[:, second], axis=1) / size

    lids = np.minimum(gap(*RIGHT_LIDS), gap(*LEFT_LIDS))
    brows = (gap(_BROWS[0], RIGHT_LIDS[1]) + gap(_BROWS[1], LEFT_LIDS[1])) / 2
    shape = np.stack([np.log(size), gap(*LIP_GAP), gap(*MOUTH_CORNERS), lids, brows], axis=1)
    return np.concatenate([face_angles(points), shape], axis=1) / _UNITS


def turn_sentence(turn: int) -> str:
    """What was done about a video whose frames were turned by `turn` degrees counter-clockwise."""
    how = "upside down" if turn == 180 else "on its side"
    return f"the face is {how} in the video; the frames were turned by {turn} degrees counter-clockwise"
