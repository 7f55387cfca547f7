"""Geometry of the tracked head of every image, in the image and in the skull frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from avatar.data.capture_folder import Capture
from avatar.geometry.numpy_rotations import yaw_pitch
from avatar.geometry.rotations import axis_angle_to_matrix
from avatar.head.model import HeadModel
from avatar.types import LEFT_EYE, RIGHT_EYE, HeadParams
from capture.tracker.indices import BROWS, EYES, FACE_COUNT, LIPS, NOSE, OVAL, inter_ocular

REGIONS = {"lips": LIPS, "eyes": EYES, "brows": BROWS, "nose": NOSE, "oval": OVAL}
_CHUNK = 64


@dataclass(frozen=True)
class TrackedGeometry:
    """Landmarks and orientation of T images."""

    skull: np.ndarray  # [T,478,3] meters, skull frame: independent of the pose
    projected: np.ndarray  # [T,478,2] pixels of the stored frames
    yaw: np.ndarray  # [T] degrees to the person's left, relative to the camera
    pitch: np.ndarray  # [T] degrees up, relative to the camera
    gaze: np.ndarray  # [T,2] degrees to the person's left and up, relative to the skull, mean of both eyes
    expression: np.ndarray  # [T,E] weights

    @staticmethod
    def of(capture: Capture, head: HeadModel, params: HeadParams | None = None) -> TrackedGeometry:
        """Pose `head` by `params` for every image of `capture`; None is the tracker's parameters."""
        params = params or capture.params(np.arange(len(capture)))
        camera = capture.camera(max(capture.metadata["width"], capture.metadata["height"]), np.arange(len(capture)))
        view = camera.world_to_cam[:, :3, :3]
        shift = camera.world_to_cam[:, :3, 3]
        rotation, translation = head.skull_pose(params)
        chunks = [head.skull_landmarks(params[start : start + _CHUNK]) for start in range(0, len(params), _CHUNK)]
        skull = torch.cat(chunks)
        world = skull @ rotation.transpose(1, 2) + translation[:, None]
        eye = -(view.transpose(1, 2) @ shift[..., None]).squeeze(-1)  # camera center in the world
        toward = (rotation.transpose(1, 2) @ (eye - world.mean(1))[..., None]).squeeze(-1).numpy().astype(np.float64)
        toward /= np.linalg.norm(toward, axis=1, keepdims=True)
        angles = np.degrees([-np.arctan2(toward[:, 0], toward[:, 2]), -np.arcsin(np.clip(toward[:, 1], -1, 1))])
        eyes = axis_angle_to_matrix(params.joint_rot[:, [LEFT_EYE, RIGHT_EYE]]).numpy().astype(np.float64)
        return TrackedGeometry(
            skull.numpy().astype(np.float64),
            camera.project(world).numpy().astype(np.float64),
            angles[0],
            angles[1],
            np.degrees(yaw_pitch(eyes)).mean(1),
            params.expression.numpy(),
        )

    def reprojection(self, landmarks: np.ndarray, rows: np.ndarray) -> dict[str, float]:
        """Mean distance to `landmarks` [T,478,3] in the images `rows`, by region, percent of the inter-ocular distance.

        Images with landmarks that are not finite are ignored; empty if there are no others.
        """
        rows = rows[np.isfinite(landmarks[rows]).all((1, 2))]
        if not len(rows):
            return {}
        unit = float(np.median(inter_ocular(landmarks[rows])))
        measured = landmarks[rows, :FACE_COUNT, :2]
        error = 100 * np.linalg.norm(self.projected[rows, :FACE_COUNT] - measured, axis=-1) / unit
        return {"all": float(error.mean()), **{name: float(error[:, at].mean()) for name, at in REGIONS.items()}}
