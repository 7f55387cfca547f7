"""A tiny capture with exact tracking: small images of the embedded head, shaded, rendered with the z-buffer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from avatar import ops
from avatar.data.capture_folder import (
    FRAMES_DIR,
    MAGIC,
    MATTES_DIR,
    METADATA_FILE,
    TRACK_FILE,
    VERSION,
    Capture,
    frame_name,
    track_defaults,
)
from avatar.geometry.rotations import axis_angle_to_matrix
from avatar.head import load_head
from avatar.types import Camera, HeadParams

DISTANCE = 0.6  # meters from the camera to the head


def tiny_params(frames: int, seed: int = 0) -> HeadParams:
    """`frames` frames of a head that rotates, opens its mouth and smiles."""
    head = load_head()
    rng = np.random.default_rng(seed)
    identity = torch.from_numpy(rng.normal(0, 0.3, head.shapedirs.shape[2])).float()
    phase = torch.linspace(0, 4 * torch.pi, frames)
    expression = torch.zeros(frames, len(head.expression_names))
    for name, speed, size in (("jawOpen", 1.0, 0.5), ("mouthSmileLeft", 0.7, 0.6), ("mouthSmileRight", 0.7, 0.6)):
        expression[:, head.expression_index(name)] = size * (0.5 - 0.5 * torch.cos(speed * phase))
    joint_rot = torch.zeros(frames, 5, 3)
    joint_rot[:, 0, 1] = 0.35 * torch.sin(phase / 2)
    joint_rot[:, 0, 0] = 0.12 * torch.sin(phase / 3)
    rotation = axis_angle_to_matrix(joint_rot[:, 0])
    offset = torch.tensor([0.0, 0.0, -DISTANCE]).expand(frames, 3) + 0.01 * torch.sin(phase)[:, None]
    translation = head.root_translation(identity, rotation, offset)
    return HeadParams(identity, expression, joint_rot, translation)


def tiny_images(params: HeadParams, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Shaded images [T,H,W,3] and mattes [T,H,W], uint8, of the head at `params` [T]."""
    head = load_head()
    images, mattes = [], []
    for frame in range(len(params)):
        vertices = head.vertices(params[frame])[0]
        seen = camera.to_camera(vertices)
        face, bary, _ = ops.mesh(seen[None], head.faces, camera.K, camera.width, camera.height)
        hit = (face[0] >= 0).numpy()
        corners = head.faces[face[0].clamp_min(0).long()]
        sides = vertices[corners]
        normal = torch.linalg.cross(sides[..., 1, :] - sides[..., 0, :], sides[..., 2, :] - sides[..., 0, :])
        light = (torch.nn.functional.normalize(normal, dim=-1) @ torch.tensor([0.3, 0.4, 0.86])).clamp(0, 1)
        color = (head.colors[corners] * bary[0][..., None]).sum(-2) * (0.4 + 0.6 * light)[..., None]
        images.append(np.where(hit[..., None], (color.numpy() * 255).round(), 90).astype(np.uint8))
        mattes.append(hit.astype(np.uint8) * 255)
    return np.stack(images), np.stack(mattes)


def side_camera(size: int, degrees: float) -> Camera:
    """A camera at `degrees` to the side of the front camera, at the same distance from the head."""
    turn = axis_angle_to_matrix(torch.tensor([0.0, degrees, 0.0]).deg2rad())
    center = torch.tensor([0.0, 0.0, -DISTANCE])
    around = torch.eye(4)
    around[:3, :3], around[:3, 3] = turn, center - turn @ center
    front = Camera.facing(1.9 * size, size, size)
    return Camera(front.K, front.world_to_cam @ around, size, size)


def tiny_capture(
    root: Path,
    frames: int = 24,
    size: int = 64,
    test_every: int = 5,
    seed: int = 0,
    others: Sequence[Camera] = (),
) -> Capture:
    """Write and load a capture; each time step has an image from the front camera and one from each other camera.

    Args:
        root: the folder to make.
        frames: number of time steps.
        size: width and height, pixels.
        test_every: every so many time steps one is held out; 0: none.
        seed: of the person.
        others: further cameras.
    """
    params, cameras = tiny_params(frames, seed), [Camera.facing(1.9 * size, size, size), *others]
    _write_images(root, params, cameras)
    time_steps = np.arange(frames)
    is_test = time_steps % test_every == test_every - 1 if test_every else np.zeros(frames, bool)
    np.savez(root / TRACK_FILE, **_track(params, cameras, is_test))
    metadata = _metadata(cameras, frames * len(cameras), test_every, seed)
    (root / METADATA_FILE).write_text(json.dumps(metadata))
    return Capture.load(root)


def _write_images(root: Path, params: HeadParams, cameras: Sequence[Camera]) -> None:
    (root / FRAMES_DIR).mkdir(parents=True)
    (root / MATTES_DIR).mkdir()
    for which, camera in enumerate(cameras):
        for time_step, (image, matte) in enumerate(zip(*tiny_images(params, camera), strict=True)):
            name = frame_name(time_step * len(cameras) + which)
            assert cv2.imwrite(str(root / FRAMES_DIR / name), image[..., ::-1])
            assert cv2.imwrite(str(root / MATTES_DIR / name), matte)


def _track(params: HeadParams, cameras: Sequence[Camera], is_test: np.ndarray) -> dict[str, np.ndarray]:
    """Arrays of the track: a row for each camera of each time step."""
    head, count = load_head(), len(cameras)
    points = head.landmarks(head.vertices(params))
    landmarks = np.stack([_project(points, camera) for camera in cameras], 1).reshape(-1, points.shape[1], 3)
    rows, step = len(params) * count, np.arange(len(params)).repeat(count)
    return {
        **track_defaults(rows),
        "frame_number": np.arange(rows),
        "time": step / 30,
        "is_test": is_test[step],
        "identity": params.identity.numpy(),
        "expression": params.expression.numpy()[step],
        "joint_rot": params.joint_rot.numpy()[step],
        "translation": params.translation.numpy()[step],
        "landmarks": landmarks,
        "landmark_spread": np.zeros(landmarks.shape[:2], np.float32),
        "confidence": np.ones(rows),
        "reprojection": np.zeros(rows),
        "camera": np.tile(np.arange(count), len(params)),
        "time_step": step,
        "principal_point": np.tile([camera.K[0, :2, 2].numpy() for camera in cameras], (len(params), 1)),
    }


def _metadata(cameras: Sequence[Camera], rows: int, test_every: int, seed: int) -> dict[str, Any]:
    head = load_head()
    return {
        "magic": MAGIC,
        "version": VERSION,
        "source": {"name": "tiny", "sha256": f"tiny{seed}", "fps": 30, "frames": rows},
        "width": cameras[0].width,
        "height": cameras[0].height,
        "cameras": [
            {"name": str(which), "K": camera.K[0].tolist(), "world_to_cam": camera.world_to_cam[0].tolist()}
            for which, camera in enumerate(cameras)
        ],
        "head": {
            "name": head.name,
            "model_id": head.model_id,
            "licence": head.license,
            "expression_names": list(head.expression_names),
        },
        "split": {"mode": "every", "value": test_every},
        "warnings": [],
        "seconds": {},
        "consent": "made by the tests",
    }


def _project(points: torch.Tensor, camera: Camera) -> np.ndarray:
    """Pixels and depth [T,n,3] of world points [T,n,3]."""
    depth = camera.to_camera(points)[..., 2:]
    return torch.cat([camera.project(points), depth], -1).numpy().astype(np.float32)
