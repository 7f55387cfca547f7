"""Small valid files of every format, and small motions."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avatar.head.arkit import ARKIT_52
from avatar.motion import write_motion
from avatar.motion.files.journal import header_lines, sample_line
from avatar.motion.files.live_link import COLUMNS, HEADER
from avatar.types import JOINT_NAMES, Motion


def live_link_row(timecode: str, weights: dict[str, float] | None = None, count: int = 61) -> str:
    """A line of a take; names as in the header."""
    given = weights or {}
    return f"{timecode},{count}," + ",".join(f"{given.get(name, 0.0):.10f}" for name in HEADER[2:])


def live_link(path: Path, rows: Sequence[str] = ()) -> Path:
    """A take of Live Link Face with these lines, by default three."""
    lines = rows or [live_link_row(f"10:00:00:{k:02d}.000", {"JawOpen": k / 10}) for k in range(3)]
    path.write_text("\n".join([",".join(HEADER), *lines]) + "\n", encoding="utf-8")
    return path


def audio2face_csv(path: Path) -> Path:
    """Three frames, with pandas's index column and a name that is not ARKit's."""
    names = ("JawOpen", "EyeBlink_L", "TongueTipUp")
    lines = [",timeCode," + ",".join(f"blendShapes.{name}" for name in names)]
    lines += [f"{k},{k / 30:.6f},{k / 10},0.5,0.25" for k in range(3)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def audio2face_json(path: Path, **changed: Any) -> Path:
    """Three frames at 60 fps."""
    content = {"exportFps": 60.0, "numFrames": 3, "facsNames": ["jawOpen", "mouthClose"], "weightMat": [[0.1, 0.2]] * 3}
    path.write_text(json.dumps({**content, **changed}), encoding="utf-8")
    return path


def named_json(path: Path, frames: list[dict[str, Any]] | None = None, names: Sequence[str] = ("jawOpen",)) -> Path:
    """Frames of named weights, by default three."""
    given = frames or [{"weights": [k / 10] * len(names), "time": k / 25, "rotation": []} for k in range(3)]
    path.write_text(json.dumps({"names": list(names), "frames": given}), encoding="utf-8")
    return path


def flame_parts(frames: int) -> dict[str, np.ndarray]:
    """VHAP's arrays of some frames."""
    rng = np.random.default_rng(frames)
    widths = {"expr": 100, "rotation": 3, "neck_pose": 3, "jaw_pose": 3, "eyes_pose": 6, "translation": 3}
    parts = {name: rng.normal(0, 0.1, (frames, width)).astype(np.float32) for name, width in widths.items()}
    return {**parts, "shape": np.zeros(300, np.float32), "static_offset": np.zeros((1, 4, 3), np.float32)}


def stacked(path: Path) -> Path:
    """Three frames in one file."""
    np.savez(path, **flame_parts(3))
    return path


def vhap(folder: Path, numbers: Sequence[int] = (0, 1, 2)) -> Path:
    """A folder with one file per frame."""
    (folder / "flame_param").mkdir(parents=True)
    for number in numbers:
        np.savez(folder / "flame_param" / f"{number:05d}.npz", **flame_parts(1))
    return folder


def frame(path: Path, **changed: Any) -> Path:
    """One frame of metrical-tracker."""
    six = np.array([[1.0, 0, 0, 0, 1, 0]], np.float32)
    flame = {
        "exp": np.full((1, 100), 0.5, np.float32),
        "shape": np.zeros((1, 300), np.float32),
        "eyes": np.concatenate([six, six], 1),
        "jaw": six,
        "eyelids": np.array([[0.25, 0.75]], np.float32),
    }
    camera = {"R": np.diag([1.0, -1.0, -1.0])[None], "t": np.array([[0.0, 0.0, 1.0]]), "K": np.eye(3)[None]}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"flame": {**flame, **changed}, "opencv": camera}, path)
    return path


def flame_json(path: Path) -> Path:
    """Three frames of IMavatar."""
    camera = [[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, -4]]
    frames = [
        {"file_path": f"./image/{k + 1}", "world_mat": camera, "expression": [k / 10] * 50, "pose": [k / 20] * 15}
        for k in range(3)
    ]
    path.write_text(json.dumps({"frames": frames, "shape_params": [0] * 100}), encoding="utf-8")
    return path


def smplx(path: Path) -> Path:
    """Three frames of BEAT2."""
    rng = np.random.default_rng(0)
    np.savez(path, poses=rng.normal(0, 0.1, (3, 165)), expressions=rng.normal(size=(3, 100)), mocap_frame_rate=30)
    return path


def pair(folder: Path, frames: int = 3, names: tuple[str, str] = ("a_expressions.npy", "a_poses.npy")) -> Path:
    """Write expressions and poses; returns the path of the expressions."""
    rng = np.random.default_rng(0)
    np.save(folder / names[0], rng.normal(size=(frames, 100)).astype(np.float32))
    np.save(folder / names[1], rng.normal(0, 0.1, (frames, 15)).astype(np.float32))
    return folder / names[0]


def motion(frames: int = 4, names: tuple[str, ...] = ARKIT_52, space: str = "arkit52", seed: int = 0) -> Motion:
    """A motion at 30 fps with every field set."""
    rng = np.random.default_rng(seed)

    def random(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.normal(0, 0.1, shape)).float()

    return Motion(
        time=torch.arange(frames, dtype=torch.float64) / 30,
        names=names,
        weights=random(frames, len(names)).abs(),
        space=space,
        joint_rot=random(frames, len(JOINT_NAMES), 3),
        translation=random(frames, 3),
        confidence=torch.from_numpy(rng.uniform(0.1, 1, frames)).float(),
        notes=("from a test, é",),
    )


def stored(path: Path) -> Path:
    """A .motion.npz of a small motion."""
    write_motion(path, motion())
    return path


def journal(path: Path) -> Path:
    """The partial file of a recording of three samples, the second without a face."""
    rng = np.random.default_rng(0)
    lines = [header_lines(ARKIT_52, "arkit52")]
    for frame in range(3):
        values = rng.random(1 + len(ARKIT_52) + 18).astype(np.float32)
        values[0] = float(frame != 1)
        lines.append(sample_line(frame / 30, values))
    path.write_bytes(b"".join(lines))
    return path


def table(path: Path) -> Path:
    """Four rows of milliseconds, weights, and the head's quaternion."""
    lines = ["time_ms;jawOpen;eye_blink_left;head_qx;head_qy;head_qz;head_qw;found"]
    lines += [f"{40 * k};0,{k};0;0;0,6;0;0,8;True" for k in range(4)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-16")
    return path


def face_landmarker(path: Path) -> Path:
    """Four results of MediaPipe, a line each."""
    matrix = [[0.8, 0, 0.6, 0], [0, 1, 0, 0], [-0.6, 0, 0.8, 1], [0, 0, 0, 1]]
    results = [
        {
            "timestamp": 40 * k,
            "faceBlendshapes": [{"categories": [{"score": k / 10, "categoryName": "jawOpen"}]}],
            "facialTransformationMatrixes": [matrix],
        }
        for k in range(4)
    ]
    path.write_text("\n".join(map(json.dumps, results)), encoding="utf-8")
    return path


def speech_service(path: Path) -> Path:
    """Four frames of Azure Speech."""
    path.write_text(json.dumps([{"FrameIndex": 0, "BlendShapes": [[k / 10] * 55 for k in range(4)]}]), encoding="utf-8")
    return path


def face_cap(path: Path) -> Path:
    """Four frames of Face Cap."""
    lines = ["info,Face Cap", "bs,jawOpen,eyeBlink_L", *(f"k,{33 * k}{',0' * 10},0.{k},0.5" for k in range(4))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def by_time(path: Path) -> Path:
    """Four frames by the time of day."""
    frames = {f"2024-05-31T10:00:00.{k}00Z": {"blendShapes": {"jawOpen": k / 10}} for k in range(4)}
    path.write_text(json.dumps(frames), encoding="utf-8")
    return path


#: Every format of one file, by its name.
FILES: dict[str, Callable[[Path], Path]] = {
    "take.csv": live_link,
    "a2f.csv": audio2face_csv,
    "a2f.json": audio2face_json,
    "named.json": named_json,
    "flame_param.npz": stacked,
    "00001.frame": frame,
    "flame_params.json": flame_json,
    "beat2.npz": smplx,
    "a_expressions.npy": lambda path: pair(path.parent),
    "m.motion.npz": stored,
    "take.partial.csv": journal,
    "table.csv": table,
    "results.jsonl": face_landmarker,
    "speech.json": speech_service,
    "facecap.txt": face_cap,
    "by_time.json": by_time,
}
assert set(COLUMNS) == set(ARKIT_52)
