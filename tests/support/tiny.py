"""A tiny capture with exact tracking: the embedded head, shaded, rendered by the z-buffer at a few pixels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

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
    """`frames` frames of a head that turns, opens its mouth, smiles and blinks."""
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


def tiny_pictures(params: HeadParams, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Shaded pictures [T,H,W,3] and mattes [T,H,W], uint8, of the head at `params`."""
    head = load_head()
    pictures, mattes = [], []
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
        pictures.append(np.where(hit[..., None], (color.numpy() * 255).round(), 90).astype(np.uint8))
        mattes.append(hit.astype(np.uint8) * 255)
    return np.stack(pictures), np.stack(mattes)


def side_camera(size: int, degrees: float) -> Camera:
    """A camera that looks at the head from `degrees` to the side of the usual one, at the same distance."""
    turn = axis_angle_to_matrix(torch.tensor([0.0, degrees, 0.0]).deg2rad())
    middle = torch.tensor([0.0, 0.0, -DISTANCE])
    around = torch.eye(4)
    around[:3, :3], around[:3, 3] = turn, middle - turn @ middle
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
    """Write and load a capture of `frames` moments at `size` pixels; every `test_every`-th moment is held out.

    Each moment is seen by the usual camera, then by each of the `others`: a row each.
    """
    head = load_head()
    params = tiny_params(frames, seed)
    cameras = [Camera.facing(1.9 * size, size, size), *others]
    (root / FRAMES_DIR).mkdir(parents=True)
    (root / MATTES_DIR).mkdir()
    for which, camera in enumerate(cameras):
        for moment, (picture, matte) in enumerate(zip(*tiny_pictures(params, camera), strict=True)):
            name = frame_name(moment * len(cameras) + which)
            cv2.imwrite(str(root / FRAMES_DIR / name), picture[..., ::-1])
            cv2.imwrite(str(root / MATTES_DIR / name), matte)
    points = head.landmarks(head.vertices(params))
    landmarks = np.stack([_project(points, camera) for camera in cameras], 1).reshape(-1, points.shape[1], 3)
    moments = np.arange(frames)
    is_test = moments % test_every == test_every - 1 if test_every else np.zeros(frames, bool)
    rows, step = frames * len(cameras), moments.repeat(len(cameras))
    defaults = track_defaults(rows) | {"camera": np.tile(np.arange(len(cameras)), frames), "time_step": step}
    np.savez(
        root / TRACK_FILE,
        frame_number=np.arange(rows),
        time=step / 30,
        is_test=is_test[step],
        identity=params.identity.numpy(),
        expression=params.expression.numpy()[step],
        joint_rot=params.joint_rot.numpy()[step],
        translation=params.translation.numpy()[step],
        landmarks=landmarks,
        landmark_spread=np.zeros(landmarks.shape[:2], np.float32),
        confidence=np.ones(rows),
        reprojection=np.zeros(rows),
        **defaults,
    )
    facts = {
        "magic": MAGIC,
        "version": VERSION,
        "source": {"name": "tiny", "sha256": f"tiny{seed}", "fps": 30, "frames": rows},
        "width": size,
        "height": size,
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
    (root / METADATA_FILE).write_text(json.dumps(facts))
    return Capture.load(root)


def _project(points: torch.Tensor, camera: Camera) -> np.ndarray:
    depth = camera.to_camera(points)[..., 2:]
    return torch.cat([camera.project(points), depth], -1).numpy().astype(np.float32)
