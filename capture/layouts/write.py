"""Export of a capture in the layouts of NeRF, VHAP / GaussianAvatars or INSTA; `read_layout` can read them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from avatar.common.files import atomic_folder
from avatar.common.image_io import write_image
from avatar.data.capture_folder import FRAMES_DIR, MATTES_DIR, Capture
from avatar.data.capture_head import head_of
from avatar.errors import HeadsplatError
from avatar.types import JAW, LEFT_EYE, NECK, RIGHT_EYE, ROOT
from capture.layouts.checks import inverse
from capture.layouts.transforms import FLIP

LAYOUTS = ("nerf", "vhap", "insta")


def write_layout(capture: Capture, layout: str, out: Path) -> list[str]:
    """Write a capture as a folder in the layout of another tool, atomically.

    Args:
        capture: any; INSTA's layout supports one camera.
        layout: one of LAYOUTS.
        out: the folder to write.

    Returns:
        Sentences about data that the layout cannot represent.

    Raises:
        HeadsplatError: the layout is unknown, or does not support the capture.
    """
    if layout not in LAYOUTS:
        raise HeadsplatError(f"--layout: unknown layout {layout!r}; give {', '.join(LAYOUTS)}")
    if layout == "insta" and len(capture.metadata["cameras"]) > 1:
        raise HeadsplatError(f"{capture.root}: INSTA's layout supports one camera; give --layout vhap or nerf")
    notes: list[str] = []
    with atomic_folder(out) as folder:
        frames = [_frame(capture, row, layout, folder) for row in range(len(capture))]
        if layout == "vhap":
            notes += _write_flame(capture, frames, folder)
        _write_descriptions(capture, frames, folder)
    if _moving_window(capture):
        notes.append(
            "the stored window follows the head, so each frame has its own cx and cy; for tools that need one for all "
            "frames, capture with --framing full"
        )
    return notes


def _moving_window(capture: Capture) -> bool:
    """Whether images of one camera differ in their principal points."""
    camera = capture.track["camera"]
    centers = capture.track["principal_point"]
    return any(np.ptp(centers[camera == index], axis=0).any() for index in np.unique(camera))


def _write_descriptions(capture: Capture, frames: list[dict[str, Any]], folder: Path) -> None:
    """transforms.json of all frames, and one each for training, validation and test.

    As in GaussianAvatars: held-out cameras at training time steps are for validation, held-out time steps for test.
    """
    track = capture.track
    training = set(track["time_step"][~track["is_test"]].tolist())
    shared = {key: frames[0][key] for key in ("w", "h", "fl_x", "fl_y")}
    shared |= {key: float(np.median([frame[key] for frame in frames])) for key in ("cx", "cy")}
    parts: dict[str, list[dict[str, Any]]] = {"": frames, "_train": [], "_val": [], "_test": []}
    for frame, is_test, step in zip(frames, track["is_test"], track["time_step"].tolist(), strict=True):
        parts["_train" if not is_test else "_val" if step in training else "_test"].append(frame)
    for split, entries in parts.items():
        content = json.dumps({**shared, "frames": entries}, indent=1)
        (folder / f"transforms{split}.json").write_text(content, encoding="utf-8")


def _frame(capture: Capture, row: int, layout: str, folder: Path) -> dict[str, Any]:
    """Write the files of one image; returns its entry."""
    metadata = capture.metadata
    track = capture.track
    camera = int(track["camera"][row])
    step = int(track["time_step"][row])
    stored = metadata["cameras"][camera]
    K = np.array(stored["K"], dtype=np.float64)
    pose = inverse(np.array(stored["world_to_cam"], dtype=np.float64))
    K[:2, 2] = track["principal_point"][row]
    name = f"{step:05d}.png" if layout == "insta" else f"{step:05d}_{camera:02d}.png"
    _copy_images(capture, row, folder, name, layout)
    entry: dict[str, Any] = {"file_path": f"images/{name}", "timestep_index": step, "time": float(track["time"][row])}
    entry |= {"w": metadata["width"], "h": metadata["height"]}
    entry |= {"fl_x": K[0, 0], "fl_y": K[1, 1], "cx": K[0, 2], "cy": K[1, 2]}
    if layout == "insta":  # the head is static at the origin and the camera moves, in OpenCV axes
        head = _skull_pose(capture, row)
        return {**entry, "transform_matrix": (inverse(head) @ pose).tolist(), "seg_mask_path": f"matted/{name}"}
    entry |= {"camera_index": camera, "camera_id": stored["name"], "fg_mask_path": f"fg_masks/{name}"}
    return {**entry, "transform_matrix": (pose @ FLIP).tolist()}


def _skull_pose(capture: Capture, row: int) -> np.ndarray:
    """Transform [4,4] from skull frame to world of a row."""
    head = head_of(capture)
    rotation, translation = head.skull_pose(capture.params([row]))
    u, _, vt = np.linalg.svd(rotation[0].numpy().astype(np.float64))
    pose = np.eye(4)
    pose[:3, :3] = u @ vt
    pose[:3, 3] = translation[0].numpy()
    return pose


def _copy_images(capture: Capture, row: int, folder: Path, name: str, layout: str) -> None:
    frame, matte = (capture.image_path(subfolder, row) for subfolder in (FRAMES_DIR, MATTES_DIR))
    masks = folder / ("matted" if layout == "insta" else "fg_masks")
    (folder / "images").mkdir(exist_ok=True)
    masks.mkdir(exist_ok=True)
    try:
        shutil.copyfile(frame, folder / "images" / name)
        if layout != "insta":
            shutil.copyfile(matte, masks / name)
            return
    except FileNotFoundError as error:
        raise HeadsplatError(f"{error.filename}: missing image; run `headsplat capture` again") from error
    color = capture.stored_image(FRAMES_DIR, row, cv2.IMREAD_COLOR)
    alpha = capture.stored_image(MATTES_DIR, row, cv2.IMREAD_GRAYSCALE)
    write_image(masks / name, np.dstack([color, alpha]))


def _write_flame(capture: Capture, frames: list[dict[str, Any]], folder: Path) -> list[str]:
    """Write flame_param/NNNNN.npz of every time step for a FLAME head; returns a sentence for any other."""
    head = capture.metadata["head"]
    track = capture.track
    if "flame" not in head["name"].lower():
        return [f"the head is {head['name']}, not FLAME: no flame_param files are written"]
    modes = [k for k, name in enumerate(head["expression_names"]) if not name.startswith("eyelid")]
    (folder / "flame_param").mkdir()
    for row, frame in enumerate(frames):
        joints = track["joint_rot"][row]
        path = f"flame_param/{frame['timestep_index']:05d}.npz"
        frame["flame_param_path"] = path
        np.savez(
            folder / path,
            shape=track["identity"],
            expr=track["expression"][row][None, modes],
            rotation=joints[None, ROOT],
            neck_pose=joints[None, NECK],
            jaw_pose=joints[None, JAW],
            eyes_pose=np.concatenate([joints[LEFT_EYE], joints[RIGHT_EYE]])[None],
            translation=track["translation"][row][None],
        )
    return []
