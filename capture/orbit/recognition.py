"""Whether a camera is carried around a person who sits still: the room turns with the face."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from capture.faces.face_pose import face_angles
from capture.orbit.points import follow_points
from capture.stages.landmarks import LandmarkTable
from capture.tracker.camera import focal_prior
from capture.tracker.indices import FACE_COUNT
from capture.video.decoding import wanted_frames

#: Yaw (radians) that the face must turn through in a walk; ordinary films of a turning head have less or little more.
_LEAST_TURN = np.radians(65)
#: Frames that are compared, and the turn of the face in them, at least.
_FRAMES = 48
_COMPARED_TURN = np.radians(15)
#: Distance of two frames that are compared at most, in that of most: between them may be one that is held out.
_MOST_GAP = 3
#: Motion of the room relative to that of a camera that turns as much as the face: of one that walks around .4 (the wall
#: is near) to 1, of one that stands still 0.
_AROUND = 0.3
#: Background: farther from the middle of the face than this many of its widths, and not below the chin.
_BESIDE = 1.2
_CHIN = 152
#: Focal length at most, of the longer side: of a longer one the room only moves more.
_LONGEST_FOCAL = 1.5
_SIDE = 360
_LEAST_POINTS = 5
_WINDOW = 21


def goes_around(video: Any, faces: LandmarkTable) -> bool:
    """Whether the camera of a video is carried around the person.

    Args:
        video: a VideoSource.
        faces: landmarks of one person, source pixels.
    """
    yaw = face_angles(np.stack(faces.points))[:, 0]
    if np.ptp(np.percentile(yaw, [1, 99])) < _LEAST_TURN:
        return False
    rows = _turning_frames(np.array(faces.number), yaw)
    if len(rows) < 2:
        return False
    moved = _background_motion(video, faces, rows)
    if moved is None:
        return False
    # The room moves against the camera, which moves against the face.
    prior = focal_prior(video.width, video.height, video.focal_35mm).focal
    focal = min(prior, _LONGEST_FOCAL * max(video.width, video.height))
    turned = focal * (yaw[rows[-1]] - yaw[rows[0]])
    return bool(-moved / turned > _AROUND)


def _turning_frames(numbers: np.ndarray, yaw: np.ndarray) -> np.ndarray:
    """Rows of up to _FRAMES frames in a row in which the face turns the most; none where it hardly does."""
    gap = np.diff(numbers)
    usual = int(np.median(gap))
    best, rows = _COMPARED_TURN, np.zeros(0, np.int64)
    for start in range(0, len(numbers), _FRAMES // 4):
        end = start
        while end + 1 < len(numbers) and end - start < _FRAMES and gap[end] <= _MOST_GAP * usual:
            end += 1
        if abs(yaw[end] - yaw[start]) > best:
            best, rows = abs(float(yaw[end] - yaw[start])), np.arange(start, end + 1)
    return rows


def _background_motion(video: Any, faces: LandmarkTable, rows: np.ndarray) -> float | None:
    """Sum of the motion of the background to the right from frame to frame, source pixels; None without background."""
    last: tuple[np.ndarray, np.ndarray] | None = None
    total, known = 0.0, 0
    scale = min(1.0, _SIDE / max(video.width, video.height))
    for row, frame in zip(rows, wanted_frames(video, [faces.number[row] for row in rows]), strict=False):
        gray = cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2GRAY)
        gray = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        mask = _background(gray.shape, faces.points[row][:FACE_COUNT, :2] * scale)
        if last is not None and (moved := _median_motion(*last, gray)) is not None:
            total += moved
            known += 1
        last = gray, mask
    return total / known * (len(rows) - 1) / scale if known > len(rows) // 2 else None


def _background(shape: tuple[int, ...], face: np.ndarray) -> np.ndarray:
    """Mask [h,w] uint8 of what is beside the head."""
    middle, width = face[:, 0].mean(), float(np.ptp(face[:, 0]))
    width = max(width, 0.7 * float(np.ptp(face[:, 1])))  # of a face seen from the side
    columns = np.arange(shape[1])
    mask = np.zeros(shape, np.uint8)
    mask[: max(0, int(face[_CHIN, 1])), np.abs(columns - middle) > _BESIDE * width] = 255
    return mask


def _median_motion(last: np.ndarray, mask: np.ndarray, gray: np.ndarray) -> float | None:
    points = cv2.goodFeaturesToTrack(last, 60, 0.02, 6, mask=mask)
    if points is None:
        return None
    there, good = follow_points(last, gray, points, points, _WINDOW)
    return float(np.median((there - points)[good, 0, 0])) if np.count_nonzero(good) >= _LEAST_POINTS else None
