"""Cameras from a JSON file: a NeRF transforms.json, or `K` and `world_to_cam` of one camera.

transforms.json: `frames` with `transform_matrix` (camera to world, OpenGL axes: x right, y up, z back), and for the
file or each frame `fl_x` `fl_y` `cx` `cy` `w` `h` in pixels, or `camera_angle_x` in radians. If every frame has a
`time` (seconds), the camera is interpolated between these times. Otherwise the frames are spread evenly over the
motion.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avatar.common.jsonable import shortened
from avatar.errors import HeadsplatError
from avatar.types import Camera

_FLIP = np.diag([1.0, -1.0, -1.0, 1.0])  # OpenGL camera axes <-> OpenCV
_MAX_ORTHOGONALITY_ERROR = 1e-3  # largest element of R^T R - I
_MAX_DISTANCE = 1e4  # meters
_MAX_NUMBER = 1e6  # pixels
_FORMAT = "give a NeRF transforms.json, or K [3][3] in pixels and world_to_cam [4][4] of one camera"


@dataclass(frozen=True)
class CameraPath:
    """Camera path: n keyframes of one camera."""

    K: np.ndarray  # [n,3,3] pixels
    world_to_cam: np.ndarray  # [n,4,4] OpenCV axes
    size: tuple[int, int]  # width and height, pixels
    times: np.ndarray | None  # [n] seconds, increasing; None: spread evenly over the motion


def read_camera_file(path: Path) -> CameraPath:
    """Read the cameras of a JSON file; raises HeadsplatError that names the file, the frame and the key."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise HeadsplatError(f"{path}: not readable as JSON ({error}); {_FORMAT}") from error
    if isinstance(content, dict) and "world_to_cam" in content:
        return _one_camera(content, path)
    frames = content.get("frames") if isinstance(content, dict) else None
    if not isinstance(frames, list) or not frames or not all(isinstance(frame, dict) for frame in frames):
        raise HeadsplatError(f"{path}: contains no cameras (no list of `frames`, no `world_to_cam`); {_FORMAT}")
    shared = {key: value for key, value in content.items() if key != "frames"}
    return _transforms([{**shared, **frame} for frame in frames], path)


def _one_camera(content: dict[str, Any], path: Path) -> CameraPath:
    K = _matrix(content.get("K"), (3, 3), f"{path}: K")
    width = content.get("width", 2 * K[0, 2])
    height = content.get("height", 2 * K[1, 2])
    size = tuple(round(_number(side, f"{path}: {name}", 1)) for name, side in (("width", width), ("height", height)))
    for value in (K[0, 0], K[1, 1]):
        _number(float(value), f"{path}: K: focal length", 1)
    pose = _rigid_matrix(content["world_to_cam"], f"{path}: world_to_cam")
    return CameraPath(K[None], pose[None], (size[0], size[1]), None)


def _transforms(frames: list[dict[str, Any]], path: Path) -> CameraPath:
    cameras = {frame.get("camera_index", frame.get("camera_id")) for frame in frames}
    if len(cameras) > 1:
        raise HeadsplatError(f"{path}: contains {len(cameras)} cameras; keep the frames of one of them")
    intrinsics = []
    poses = []
    sizes = []
    for index, frame in enumerate(frames):
        where = f"{path}: frame {index}"
        if "transform_matrix" not in frame:
            raise HeadsplatError(f"{where}: no `transform_matrix`; {_FORMAT}")
        poses.append(np.linalg.inv(_rigid_matrix(frame["transform_matrix"], f"{where}: transform_matrix") @ _FLIP))
        K, size = _intrinsics(frame, where)
        intrinsics.append(K)
        sizes.append(size)
    if len(set(sizes)) > 1:
        raise HeadsplatError(f"{path}: frames of different sizes ({sizes[0]} and others); give one w and h")
    return CameraPath(np.stack(intrinsics), np.stack(poses), sizes[0], _times(frames, path))


def _times(frames: list[dict[str, Any]], path: Path) -> np.ndarray | None:
    if len(frames) < 2 or any(frame.get("time") is None for frame in frames):
        return None
    listed = [_number(frame["time"], f"{path}: frame {k}: time", -_MAX_NUMBER) for k, frame in enumerate(frames)]
    times = np.array(listed)
    if not (np.diff(times) > 0).all():
        late = int(np.flatnonzero(np.diff(times) <= 0)[0]) + 1
        raise HeadsplatError(f"{path}: frame {late}: its time is not after the one before; sort the frames by time")
    return times


def _intrinsics(frame: dict[str, Any], where: str) -> tuple[np.ndarray, tuple[int, int]]:
    """K [3,3] in pixels, and (width, height) of one frame."""

    def optional(name: str, minimum: float) -> float | None:
        return None if frame.get(name) is None else _number(frame[name], f"{where}: {name}", minimum)

    cx = optional("cx", -_MAX_NUMBER)
    cy = optional("cy", -_MAX_NUMBER)
    width = optional("w", 1) or (2 * cx if cx else None)
    height = optional("h", 1) or (2 * cy if cy else None)
    if width is None or height is None:
        raise HeadsplatError(f"{where}: the image size is missing; add w and h in pixels")
    fx = optional("fl_x", 1)
    angle = optional("camera_angle_x", 1e-3)
    if fx is None and angle is not None and angle < math.pi:
        fx = 0.5 * width / math.tan(0.5 * angle)
    if fx is None:
        raise HeadsplatError(f"{where}: no focal length; add fl_x in pixels or camera_angle_x in radians")
    fy = optional("fl_y", 1) or fx
    cx = width / 2 if cx is None else cx
    cy = height / 2 if cy is None else cy
    return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]), (round(width), round(height))


def _number(value: Any, where: str, minimum: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise HeadsplatError(f"{where}: expected a number, got {value!r:.40}")
    if not minimum <= value <= _MAX_NUMBER:  # NaN too
        raise HeadsplatError(f"{where}: expected {minimum:g} to {_MAX_NUMBER:g}, got {shortened(value)}")
    return float(value)


def _matrix(value: Any, shape: tuple[int, int], where: str) -> np.ndarray:
    try:
        matrix = np.array(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        matrix = np.zeros(0)
    if matrix.shape != shape or not np.isfinite(matrix).all():
        raise HeadsplatError(f"{where}: expected {shape[0]}x{shape[1]} numbers, got {value!r:.40}")
    return matrix


def _rigid_matrix(value: Any, where: str) -> np.ndarray:
    """A rigid transform [4,4], with the rotation part projected to the nearest rotation: exporters round numbers."""
    from scipy.spatial.transform import Rotation  # slow to import; only camera files need it

    matrix = _matrix(value, (4, 4), where)
    rotation = matrix[:3, :3]
    error = float(np.abs(rotation.T @ rotation - np.eye(3)).max())
    if error > _MAX_ORTHOGONALITY_ERROR or np.linalg.det(rotation) < 0 or np.abs(matrix[3] - [0, 0, 0, 1]).max() > 1e-6:
        raise HeadsplatError(f"{where}: not a rotation and a translation; export cameras without scale or mirror")
    distance = np.abs(matrix[:3, 3]).max()
    if distance > _MAX_DISTANCE:
        raise HeadsplatError(f"{where}: the camera is {distance:.3g} m away; positions are in meters")
    result = np.eye(4)
    result[:3, :3] = Rotation.from_matrix(rotation).as_matrix()
    result[:3, 3] = matrix[:3, 3]
    return result


def camera_at_times(path: CameraPath, times: np.ndarray) -> Camera:
    """Interpolate a camera path.

    Args:
        path: n keyframes.
        times: [T] seconds since the start of the motion. Before the first keyframe and after the last one the camera
            rests.

    Returns:
        [T], or [1] if there is one keyframe.
    """
    if len(path.K) == 1:
        K = path.K
        world_to_cam = path.world_to_cam
    else:
        ends = times[0], max(times[-1], times[0] + 1e-9)
        key_times = np.linspace(*ends, len(path.K)) if path.times is None else path.times - path.times[0]
        K, world_to_cam = _interpolate(path, key_times, times.clip(key_times[0], key_times[-1]))
    return Camera(torch.from_numpy(K).float(), torch.from_numpy(world_to_cam).float().contiguous(), *path.size)


def _interpolate(path: CameraPath, key_times: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Interpolate camera keyframes: rotations by slerp, camera centers and intrinsics linearly.

    Args:
        path: n keyframes.
        key_times: [n] seconds of the keyframes.
        times: [T] seconds.

    Returns:
        K [T,3,3] and world_to_cam [T,4,4].
    """
    from scipy.spatial.transform import Rotation, Slerp

    def linear(values: np.ndarray) -> np.ndarray:
        flat = values.reshape(len(values), -1)
        columns = np.stack([np.interp(times, key_times, column) for column in flat.T], 1)
        return columns.reshape(len(times), *values.shape[1:])

    rotations = path.world_to_cam[:, :3, :3]
    centers = -(rotations.transpose(0, 2, 1) @ path.world_to_cam[:, :3, 3:])[..., 0]
    interpolated = Slerp(key_times, Rotation.from_matrix(rotations))(times).as_matrix()
    poses = np.tile(np.eye(4), (len(times), 1, 1))
    poses[:, :3, :3] = interpolated
    poses[:, :3, 3] = -(interpolated @ linear(centers)[..., None])[..., 0]
    return linear(path.K), poses
