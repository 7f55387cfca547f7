"""A tiny capture with exact tracking: the embedded head, shaded, rendered by the z-buffer at a few pixels."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import torch

from avatar import ops
from avatar.captured import (
    FACTS_FILE,
    FRAMES_DIR,
    MAGIC,
    MATTES_DIR,
    TRACK_FILE,
    VERSION,
    Capture,
    frame_name,
    track_defaults,
)
from avatar.geometry import axis_angle_to_matrix
from avatar.head import load_head
from avatar.records import FACING_CAMERA, Camera, HeadParams

DISTANCE = 0.6  # metres from the camera to the head


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
    view = camera.world_to_cam[0]
    pictures, mattes = [], []
    for frame in range(len(params)):
        vertices = head.vertices(params[frame])[0]
        seen = vertices @ view[:3, :3].T + view[:3, 3]
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


def tiny_capture(root: Path, frames: int = 24, size: int = 64, test_every: int = 5, seed: int = 0) -> Capture:
    """Write and load a capture of `frames` frames at `size` pixels; every `test_every`-th frame is held out."""
    head = load_head()
    params = tiny_params(frames, seed)
    camera = Camera.facing(1.9 * size, size, size)
    pictures, mattes = tiny_pictures(params, camera)
    (root / FRAMES_DIR).mkdir(parents=True)
    (root / MATTES_DIR).mkdir()
    for number, (picture, matte) in enumerate(zip(pictures, mattes, strict=True)):
        cv2.imwrite(str(root / FRAMES_DIR / frame_name(number)), picture[..., ::-1])
        cv2.imwrite(str(root / MATTES_DIR / frame_name(number)), matte)
    landmarks = _project(head.landmarks(head.vertices(params)), camera)
    is_test = np.arange(frames) % test_every == test_every - 1 if test_every else np.zeros(frames, bool)
    np.savez(
        root / TRACK_FILE,
        frame_number=np.arange(frames),
        time=np.arange(frames) / 30,
        is_test=is_test,
        identity=params.identity.numpy(),
        expression=params.expression.numpy(),
        joint_rot=params.joint_rot.numpy(),
        translation=params.translation.numpy(),
        landmarks=landmarks,
        landmark_spread=np.zeros(landmarks.shape[:2], np.float32),
        confidence=np.ones(frames),
        reprojection=np.zeros(frames),
        **track_defaults(frames),
    )
    facts = {
        "magic": MAGIC,
        "version": VERSION,
        "source": {"name": "tiny", "sha256": f"tiny{seed}", "fps": 30, "frames": frames},
        "width": size,
        "height": size,
        "cameras": [{"name": "0", "K": camera.K[0].tolist(), "world_to_cam": FACING_CAMERA.tolist()}],
        "head": {
            "name": head.name,
            "model_id": head.model_id,
            "licence": head.licence,
            "expression_names": list(head.expression_names),
        },
        "split": {"mode": "every", "value": test_every},
        "warnings": [],
        "seconds": {},
        "consent": "made by the tests",
    }
    (root / FACTS_FILE).write_text(json.dumps(facts))
    return Capture.load(root)


def _project(points: torch.Tensor, camera: Camera) -> np.ndarray:
    view = camera.world_to_cam[0]
    seen = (points @ view[:3, :3].T + view[:3, 3]) @ camera.K[0].T
    return torch.cat([seen[..., :2] / seen[..., 2:], seen[..., 2:]], -1).numpy().astype(np.float32)
