"""Cameras from a JSON file: a NeRF transforms.json, or `K` and `world_to_cam` of one camera.

transforms.json: `frames` with `transform_matrix` (camera to world, OpenGL axes: x right, y up, z back), and for all or
each of them `fl_x` `fl_y` `cx` `cy` `w` `h` in pixels, or `camera_angle_x` in radians. Where all frames have a `time`
(seconds) the camera moves from one to the next along it; without, they are spread evenly over the motion.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation, Slerp

from avatar.errors import HeadsplatError
from avatar.types import Camera

_FLIP = np.diag([1.0, -1.0, -1.0, 1.0])  # OpenGL camera axes <-> OpenCV
_ORTHOGONAL = 1e-3  # how far R^T R may be from the identity
_FARTHEST, _LARGEST = 1e4, 1e6  # meters, pixels
_FORMAT = "give a NeRF transforms.json, or K [3][3] in pixels and world_to_cam [4][4] of one camera"


@dataclass(frozen=True)
class CameraKeys:
    """n places of one camera."""

    K: np.ndarray  # [n,3,3] pixels
    world_to_cam: np.ndarray  # [n,4,4] OpenCV axes
    size: tuple[int, int]  # width and height, pixels
    times: np.ndarray | None  # [n] seconds, increasing; None: spread evenly


def read_camera_file(path: Path) -> CameraKeys:
    """The cameras of a JSON file; raises HeadsplatError that names the file, the entry and the key."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise HeadsplatError(f"{path}: not readable as JSON ({error}); {_FORMAT}") from error
    if isinstance(content, dict) and "world_to_cam" in content:
        return _one_camera(content, path)
    frames = content.get("frames") if isinstance(content, dict) else None
    if not isinstance(frames, list) or not frames or not all(isinstance(frame, dict) for frame in frames):
        raise HeadsplatError(f"{path}: no cameras in it (no list of `frames`, no `world_to_cam`); {_FORMAT}")
    shared = {key: value for key, value in content.items() if key != "frames"}
    return _transforms([{**shared, **frame} for frame in frames], path)


def _one_camera(content: dict[str, Any], path: Path) -> CameraKeys:
    K = _matrix(content.get("K"), (3, 3), f"{path}: K")
    width, height = content.get("width", 2 * K[0, 2]), content.get("height", 2 * K[1, 2])
    size = tuple(round(_number(side, f"{path}: {name}", 1)) for name, side in (("width", width), ("height", height)))
    for value in (K[0, 0], K[1, 1]):
        _number(float(value), f"{path}: K: focal length", 1)
    pose = _rigid(content["world_to_cam"], f"{path}: world_to_cam")
    return CameraKeys(K[None], pose[None], (size[0], size[1]), None)


def _transforms(frames: list[dict[str, Any]], path: Path) -> CameraKeys:
    cameras = {frame.get("camera_index", frame.get("camera_id")) for frame in frames}
    if len(cameras) > 1:
        raise HeadsplatError(f"{path}: holds {len(cameras)} cameras; keep the frames of one of them")
    intrinsics, poses, sizes = [], [], []
    for place, frame in enumerate(frames):
        where = f"{path}: frame {place}"
        if "transform_matrix" not in frame:
            raise HeadsplatError(f"{where}: no `transform_matrix`; {_FORMAT}")
        poses.append(np.linalg.inv(_rigid(frame["transform_matrix"], f"{where}: transform_matrix") @ _FLIP))
        K, size = _intrinsics(frame, where)
        intrinsics.append(K)
        sizes.append(size)
    if len(set(sizes)) > 1:
        raise HeadsplatError(f"{path}: frames of different sizes ({sizes[0]} and others); give one w and h")
    return CameraKeys(np.stack(intrinsics), np.stack(poses), sizes[0], _times(frames, path))


def _times(frames: list[dict[str, Any]], path: Path) -> np.ndarray | None:
    if len(frames) < 2 or any(frame.get("time") is None for frame in frames):
        return None
    times = np.array([_number(frame["time"], f"{path}: frame {k}: time", -_LARGEST) for k, frame in enumerate(frames)])
    if not (np.diff(times) > 0).all():
        late = int(np.flatnonzero(np.diff(times) <= 0)[0]) + 1
        raise HeadsplatError(f"{path}: frame {late}: its time is not after the one before; sort the frames by time")
    return times


def _intrinsics(frame: dict[str, Any], where: str) -> tuple[np.ndarray, tuple[int, int]]:
    """[3,3] pixels, width and height of one entry."""

    def optional(name: str, low: float) -> float | None:
        return None if frame.get(name) is None else _number(frame[name], f"{where}: {name}", low)

    cx, cy = optional("cx", -_LARGEST), optional("cy", -_LARGEST)
    width = optional("w", 1) or (2 * cx if cx else None)
    height = optional("h", 1) or (2 * cy if cy else None)
    if width is None or height is None:
        raise HeadsplatError(f"{where}: the pictures' size is not stated; add w and h in pixels")
    fx, angle = optional("fl_x", 1), optional("camera_angle_x", 1e-3)
    if fx is None and angle is not None and angle < math.pi:
        fx = 0.5 * width / math.tan(0.5 * angle)
    if fx is None:
        raise HeadsplatError(f"{where}: no focal length; add fl_x in pixels or camera_angle_x in radians")
    fy = optional("fl_y", 1) or fx
    cx, cy = width / 2 if cx is None else cx, height / 2 if cy is None else cy
    return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]), (round(width), round(height))


def _number(value: Any, where: str, low: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise HeadsplatError(f"{where}: expected a number, got {value!r:.40}")
    if not low <= value <= _LARGEST:
        raise HeadsplatError(f"{where}: expected {low:g} to {_LARGEST:g}, got {value:g}")
    return float(value)


def _matrix(value: Any, shape: tuple[int, int], where: str) -> np.ndarray:
    try:
        matrix = np.array(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        matrix = np.zeros(0)
    if matrix.shape != shape or not np.isfinite(matrix).all():
        raise HeadsplatError(f"{where}: expected {shape[0]}x{shape[1]} numbers, got {value!r:.40}")
    return matrix


def _rigid(value: Any, where: str) -> np.ndarray:
    """A rotation and a shift [4,4]; the nearest rotation is taken, for exporters round."""
    matrix = _matrix(value, (4, 4), where)
    rotation = matrix[:3, :3]
    off = float(np.abs(rotation.T @ rotation - np.eye(3)).max())
    if off > _ORTHOGONAL or np.linalg.det(rotation) < 0 or np.abs(matrix[3] - [0, 0, 0, 1]).max() > 1e-6:
        raise HeadsplatError(f"{where}: not a rotation and a shift; export cameras without scale or mirror")
    if np.abs(matrix[:3, 3]).max() > _FARTHEST:
        raise HeadsplatError(f"{where}: a camera {np.abs(matrix[:3, 3]).max():.3g} m away; the world is in meters")
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = Rotation.from_matrix(rotation).as_matrix(), matrix[:3, 3]
    return result


def camera_along(keys: CameraKeys, times: np.ndarray) -> Camera:
    """The camera [T] (or [1] where it rests) at `times` [T], seconds since the motion began; held before and after."""
    if len(keys.K) == 1:
        K, world_to_cam = keys.K, keys.world_to_cam
    else:
        ends = times[0], max(times[-1], times[0] + 1e-9)
        at = np.linspace(*ends, len(keys.K)) if keys.times is None else keys.times - keys.times[0]
        K, world_to_cam = _between(keys, at, times.clip(at[0], at[-1]))
    size = keys.size
    return Camera(torch.from_numpy(K).float(), torch.from_numpy(world_to_cam).float().contiguous(), *size)


def _between(keys: CameraKeys, at: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """K [T,3,3] and world_to_cam [T,4,4] at `wanted` [T] of keys at `at` [n]: rotations along the shortest arc, centers
    and intrinsics along straight lines."""

    def straight(values: np.ndarray) -> np.ndarray:
        flat = values.reshape(len(values), -1)
        lines = np.stack([np.interp(wanted, at, column) for column in flat.T], 1)
        return lines.reshape(len(wanted), *values.shape[1:])

    rotations = keys.world_to_cam[:, :3, :3]
    centers = -(rotations.transpose(0, 2, 1) @ keys.world_to_cam[:, :3, 3:])[..., 0]
    turned = Slerp(at, Rotation.from_matrix(rotations))(wanted).as_matrix()
    poses = np.tile(np.eye(4), (len(wanted), 1, 1))
    poses[:, :3, :3] = turned
    poses[:, :3, 3] = -(turned @ straight(centers)[..., None])[..., 0]
    return straight(keys.K), poses
