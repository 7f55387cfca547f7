"""Synthetic captures on disk: a video, or the images of calibrated cameras, with the ground truth.

One camera: `video.mp4`, `truth.npz`, `mattes/NNNNN.png`. Several: `transforms.json` in the layout of NeRF and VHAP
(one entry per image, `transform_matrix` camera -> world in OpenGL axes, meters), `images/CAMERA_STEP.jpg`,
`fg_masks/CAMERA_STEP.png`, `truth.npz`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from avatar.common.files import atomic_folder
from avatar.common.image_io import encode_jpeg, write_image
from capture.synthetic.options import SyntheticOptions
from capture.synthetic.truth import SyntheticTruth
from capture.synthetic.video import Progress, RecordedFrame, SyntheticScene, make_video
from capture.synthetic.view import View

VIDEO_FILE = "video.mp4"
TRUTH_FILE = "truth.npz"
TRANSFORMS_FILE = "transforms.json"
MATTES_DIR = "mattes"
IMAGES_DIR = "images"
MASKS_DIR = "fg_masks"
_JPEG_QUALITY = 95
_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])  # camera axes of OpenCV <-> OpenGL


def write_synthetic(folder: Path, options: SyntheticOptions, progress: Progress | None = None) -> SyntheticTruth:
    """Record a procedural person into `folder`, written atomically, and return the ground truth.

    Raises:
        HeadsplatError: an option is invalid, or the folder cannot be written.
    """
    with atomic_folder(folder) as temporary:
        if options.cameras == 1:
            truth = make_video(temporary / VIDEO_FILE, options, progress, mattes=temporary / MATTES_DIR)
        else:
            truth = _write_calibrated(temporary, SyntheticScene(options), progress)
        truth.save(temporary / TRUTH_FILE)
    return truth


def image_name(camera: str, step: int) -> str:
    """File name without suffix of the image of `camera` at time step `step`."""
    return f"{camera}_{step:05d}"


def _write_calibrated(folder: Path, scene: SyntheticScene, progress: Progress | None) -> SyntheticTruth:
    truth = scene.truth()
    (folder / IMAGES_DIR).mkdir()
    (folder / MASKS_DIR).mkdir()
    for step, frames in enumerate(scene.record_all(progress)):
        for camera, frame in zip(truth.camera_names, frames, strict=True):
            _write_frame(folder, image_name(camera, step), frame)
    text = json.dumps(transforms(scene.views, truth.camera_names, truth.time.tolist()), indent=1)
    (folder / TRANSFORMS_FILE).write_text(text + "\n", encoding="utf-8")
    return truth


def _write_frame(folder: Path, name: str, frame: RecordedFrame) -> None:
    (folder / IMAGES_DIR / f"{name}.jpg").write_bytes(encode_jpeg(frame.rgb[..., ::-1], _JPEG_QUALITY))
    write_image(folder / MASKS_DIR / f"{name}.png", frame.matte)


def transforms(views: Sequence[View], names: Sequence[str], time: Sequence[float]) -> dict[str, Any]:
    """The contents of transforms.json: one entry per image, ordered by time step, then camera."""
    frames = []
    for step, seconds in enumerate(time):
        for index, (view, name) in enumerate(zip(views, names, strict=True)):
            file = image_name(name, step)
            frames.append(
                {
                    "file_path": f"{IMAGES_DIR}/{file}.jpg",
                    "fg_mask_path": f"{MASKS_DIR}/{file}.png",
                    "timestep_index": step,
                    "time": round(seconds, 6),
                    "camera_index": index,
                    "camera_id": name,
                    "transform_matrix": (np.linalg.inv(view.world_to_cam.astype(np.float64)) @ _OPENGL).tolist(),
                    **_intrinsics(view),
                }
            )
    return {"frames": frames}


def _intrinsics(view: View) -> dict[str, float]:
    K = view.K.astype(np.float64)
    focal = {"fl_x": K[0, 0], "fl_y": K[1, 1], "cx": K[0, 2], "cy": K[1, 2]}
    return {**{name: float(value) for name, value in focal.items()}, "w": view.width, "h": view.height}
