"""What a camera's frame shows, for the coach: from the live tracker's sample, and from the pixels of the face."""

from __future__ import annotations

import numpy as np

from avatar.driving.live.samples import Sample
from avatar.geometry.numpy_rotations import yaw_pitch
from avatar.types import LEFT_EYE, RIGHT_EYE, ROOT
from capture.coach.face_state import FaceState
from capture.coach.measures import measured_expression
from capture.faces.face_pose import eyes_above_mouth, face_angles
from capture.options import FaceModels
from capture.report.face_pixels import measure_face
from capture.tracker.indices import FACE_COUNT, LEFT_CORNER, RIGHT_CORNER
from capture.video.overview import smaller

#: Frames between two searches for other people, and height of another face, relative to the person's, that counts.
_SURVEY_STEP = 12
_OTHER = 0.3


class Observer:
    """Reads the frames of a camera one after another."""

    def __init__(self, models: FaceModels) -> None:
        """Args: models: makers of the networks."""
        self._detector = models.detector()
        self._frames = 0
        self._others = 0  # people beside the one who is tracked

    def __call__(self, rgb: np.ndarray, time: float, points: np.ndarray | None, sample: Sample | None) -> FaceState:
        """The state of a frame.

        Args:
            rgb: [H,W,3] uint8 sRGB.
            time: seconds.
            points: landmarks [478,3] pixels; None without a face.
            sample: of the tracker; None before it knows the person.
        """
        if points is None or not eyes_above_mouth(points[None])[0] or (sample is not None and sample.confidence == 0):
            return FaceState(time, found=False, faces=0)
        if self._frames % _SURVEY_STEP == 0:
            self._others = self._count_others(smaller(rgb), points * (smaller(rgb).shape[0] / rgb.shape[0]))
        self._frames += 1
        face = points[:FACE_COUNT, :2].astype(np.float64)
        size = np.array([rgb.shape[1], rgb.shape[0]])
        left, top = (face.min(0) / size).tolist()
        right, bottom = (face.max(0) / size).tolist()
        blur, brightness, clipped, sides = measure_face(rgb, face)
        yaw, down, clockwise = np.degrees(face_angles(points[None])[0])
        pitch, roll = -down, -clockwise
        expression = {}
        gaze = (0.0, 0.0)
        if sample is not None:
            yaw, pitch, roll = _head_angles(sample.joint_rot[ROOT], sample.translation)
            expression = measured_expression(points)
            across, up = np.degrees(yaw_pitch(_matrices(sample.joint_rot[[LEFT_EYE, RIGHT_EYE]]))).mean(0).tolist()
            gaze = (across, up)
        return FaceState(
            time, True, 1 + self._others, float(yaw), float(pitch), float(roll), expression, gaze,
            (left, top, right, bottom), eye_pixels(points), brightness, clipped, sides, blur,
        )  # fmt: skip

    def _count_others(self, rgb: np.ndarray, points: np.ndarray) -> int:
        """Faces in a frame beside the one with landmarks `points` that are not much smaller."""
        face = points[:FACE_COUNT, :2]
        center = face.mean(0)
        height = float(np.ptp(face[:, 1]))
        others = 0
        for found in self._detector.detect(rgb, thorough=False):
            left, top, right, bottom = found.box
            own = left <= center[0] <= right and top <= center[1] <= bottom
            others += not own and found.height > _OTHER * height
        return others


def eye_pixels(points: np.ndarray) -> float:
    """Distance between the outer eye corners of landmarks [478,3], also of a turned face."""
    return float(np.linalg.norm(points[LEFT_CORNER] - points[RIGHT_CORNER]))


def _matrices(rotations: np.ndarray) -> np.ndarray:
    """Rotation matrices [n,3,3] of axis-angle rotations [n,3]."""
    import torch

    from avatar.geometry.rotations import axis_angle_to_matrix

    return axis_angle_to_matrix(torch.from_numpy(rotations)).double().numpy()


def _head_angles(rotation: np.ndarray, position: np.ndarray) -> tuple[float, float, float]:
    """Yaw to the person's left, pitch up, roll to the person's left shoulder, degrees, as seen from the camera.

    Args:
        rotation: of the head [3], axis-angle.
        position: of the head [3], meters; the camera is at the origin and looks along -z.
    """
    matrix = _matrices(rotation[None])[0]
    toward = matrix.T @ -position / max(float(np.linalg.norm(position)), 1e-6)
    yaw = -np.degrees(np.arctan2(toward[0], toward[2]))
    pitch = -np.degrees(np.arcsin(np.clip(toward[1], -1, 1)))
    return float(yaw), float(pitch), float(np.degrees(np.arctan2(-matrix[0, 1], matrix[1, 1])))
