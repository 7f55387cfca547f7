"""A capture folder of a procedural person with its true poses: for training without tracking."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avatar.common.image_io import write_image
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
from avatar.geometry.rotations import matrix_to_axis_angle
from avatar.head import load_head
from avatar.types import NECK, ROOT
from capture.synthetic.truth import SyntheticTruth
from capture.synthetic.video import Progress, SyntheticScene

CONSENT = "A procedural person, who does not exist."


def write_exact_capture(folder: Path, scene: SyntheticScene, progress: Progress | None = None) -> Capture:
    """Render all time steps of `scene` into the new folder `folder`, with the true track, none held out."""
    truth = scene.truth()
    for name in (FRAMES_DIR, MATTES_DIR):
        (folder / name).mkdir(parents=True)
    row = 0
    for frames in scene.record_all(progress):
        for frame in frames:
            write_image(folder / FRAMES_DIR / frame_name(row), frame.rgb[..., ::-1])
            write_image(folder / MATTES_DIR / frame_name(row), frame.matte)
            row += 1
    arrays: dict[str, Any] = _track(truth)
    np.savez(folder / TRACK_FILE, **arrays)
    (folder / METADATA_FILE).write_text(json.dumps(_metadata(truth, scene)), encoding="utf-8")
    return Capture.load(folder)


def _track(truth: SyntheticTruth) -> dict[str, np.ndarray]:
    """Arrays of the track: a row for each camera of each time step."""
    steps = len(truth.time)
    count = len(truth.K)
    rows = steps * count
    step = np.arange(steps).repeat(count)
    # A track has the rotation of the skull at the root, and none at the neck.
    rotation = torch.from_numpy(truth.skull_rotation)
    offset = torch.from_numpy(truth.skull_translation)
    joint_rot = torch.from_numpy(truth.joint_rot.copy())
    joint_rot[:, ROOT] = matrix_to_axis_angle(rotation)
    joint_rot[:, NECK] = 0
    translation = load_head().root_translation(torch.from_numpy(truth.identity), rotation, offset)
    points = truth.landmarks.swapaxes(0, 1).reshape(rows, -1, truth.landmarks.shape[-1]).astype(np.float32)
    points = np.pad(points, ((0, 0), (0, 0), (0, 3 - points.shape[-1])))
    return {
        **track_defaults(rows),
        "frame_number": np.arange(rows),
        "time": truth.time[step].astype(np.float64),
        "is_test": np.zeros(rows, bool),
        "identity": truth.identity,
        "expression": truth.expression[step],
        "joint_rot": joint_rot.numpy()[step],
        "translation": translation.numpy()[step],
        "landmarks": points,
        "landmark_spread": np.zeros(points.shape[:2], np.float32),
        "confidence": np.ones(rows),
        "reprojection": np.zeros(rows),
        "camera": np.tile(np.arange(count), steps),
        "time_step": step,
        "principal_point": np.tile(truth.K[:, :2, 2], (steps, 1)),
    }


def _metadata(truth: SyntheticTruth, scene: SyntheticScene) -> dict[str, Any]:
    head = load_head()
    options = scene.options
    cameras = zip(truth.camera_names, truth.K, truth.world_to_cam, strict=True)
    rows = len(truth.time) * len(truth.K)
    name = f"{options.person}, seed {options.seed}"
    return {
        "magic": MAGIC,
        "version": VERSION,
        "source": {"name": name, "sha256": name, "fps": options.fps, "frames": rows},
        "width": truth.width,
        "height": truth.height,
        "cameras": [
            {"name": camera, "K": K.tolist(), "world_to_cam": world_to_cam.tolist()}
            for camera, K, world_to_cam in cameras
        ],
        "head": {
            "name": head.name,
            "model_id": head.model_id,
            "licence": head.license,
            "expression_names": list(head.expression_names),
        },
        "split": {"mode": "every", "value": 0},
        "warnings": [],
        "seconds": {},
        "consent": CONSENT,
    }
