"""Capture: tracked frames on disk, written by the `capture` package, read by training and evaluation.

Layout of the folder: `capture.json` (metadata), `track.npz` (arrays with one row per image), `frames/NNNNN.png` and
`mattes/NNNNN.png` by frame number. `capture.json` is written last: a folder without it is unfinished. With several
cameras a time step has several images (rows), which share the head parameters.

Version 1 had one camera and none of `camera`, `time_step`, `exposure`, `weight`; it is read with their defaults.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import cv2
import numpy as np
import torch

from avatar.common.image_io import read_image
from avatar.errors import HeadsplatError
from avatar.types import Camera, HeadParams

MAGIC = "headsplat-capture"
VERSION = 2
READABLE = (1, 2)
METADATA_FILE, TRACK_FILE, FRAMES_DIR, MATTES_DIR = "capture.json", "track.npz", "frames", "mattes"
#: Arrays of track.npz and their axes (T images, S identity, E expressions, J joints, L landmarks).
TRACK_ARRAYS = {
    "frame_number": "T",  # int, in the source
    "time": "T",  # seconds from the source's own timestamps
    "is_test": "T",  # bool
    "identity": "S",
    "expression": "TE",
    "joint_rot": "TJ3",  # axis-angle radians; the skull's rotation is that of the root
    "translation": "T3",  # meters
    "landmarks": "TL3",  # stored-frame pixels, z in the same scale
    "landmark_spread": "TL",  # pixels, standard deviation over jittered passes
    "confidence": "T",  # 0..1
    "reprojection": "T",  # mean landmark distance, fraction of the inter-ocular distance
    "camera": "T",  # int, which of the cameras
    "time_step": "T",  # int; the rows of a time step share expression, joint_rot and translation
    "exposure": "T3",  # gain of the sRGB values of each channel relative to the typical exposure of the clip
    "weight": "T",  # 0..1, weight of the image in training: lower where it is blurred or occluded
}

#: Required entries of capture.json and their types; none may be empty.
_REQUIRED_METADATA = {"cameras": list, "source": dict, "split": dict, "head": dict, "width": int, "height": int}


def frame_name(number: int) -> str:
    """File name of source frame `number` in frames/ and mattes/."""
    return f"{number:05d}.png"


@dataclass(frozen=True)
class Capture:
    """A tracked clip of one person: T images, from one camera or several."""

    root: Path
    metadata: Mapping[str, Any]  # capture.json as read
    track: Mapping[str, np.ndarray]  # TRACK_ARRAYS

    @staticmethod
    def load(root: str | Path) -> Capture:
        """Read a finished capture folder.

        Raises:
            HeadsplatError: no folder, unfinished, damaged, or of a newer version.
        """
        root = Path(root)
        metadata = _read_metadata(root)
        path = root / TRACK_FILE
        try:
            with np.load(path, allow_pickle=False) as stored:
                track = {name: stored[name] for name in stored.files if name in TRACK_ARRAYS}
        except (OSError, KeyError, ValueError, EOFError, BadZipFile, TypeError, AttributeError) as error:
            raise HeadsplatError(
                f"{path}: the track is damaged or incomplete ({error}); run `headsplat capture` on the video again"
            ) from error
        if metadata["version"] == 1:
            track = _version_1_track(track)
        if missing := [name for name in TRACK_ARRAYS if name not in track]:
            raise HeadsplatError(
                f"{path}: the track is damaged or incomplete (no `{missing[0]}` in it); "
                "run `headsplat capture` on the video again"
            )
        frames = len(track["frame_number"])
        for name, axes in TRACK_ARRAYS.items():
            if track[name].ndim != len(axes) or (axes[0] == "T" and len(track[name]) != frames):
                raise HeadsplatError(
                    f"{path}: `{name}` has shape {list(track[name].shape)}, "
                    f"expected [{','.join(axes)}] with T={frames}; run `headsplat capture` on the video again"
                )
        cameras = len(metadata["cameras"])
        if frames and not (track["camera"].min() >= 0 and track["camera"].max() < cameras):
            raise HeadsplatError(
                f"{path}: `camera` has an index that {METADATA_FILE} does not have (it has {cameras} cameras); "
                "run `headsplat capture` on the video again"
            )
        return Capture(root, metadata, track)

    def __len__(self) -> int:
        return len(self.track["frame_number"])

    @property
    def train_indices(self) -> np.ndarray:
        """Indices [n] of the frames for training."""
        return np.flatnonzero(~self.track["is_test"])

    @property
    def test_indices(self) -> np.ndarray:
        """Indices [n] of the held-out frames."""
        return np.flatnonzero(self.track["is_test"])

    @property
    def fingerprint(self) -> str:
        """16 hex digits that identify the track and its split; they do not depend on the folder's path."""
        digest = hashlib.sha256()
        for name in ("frame_number", "is_test", "identity", "translation"):
            digest.update(np.ascontiguousarray(self.track[name]).tobytes())
        return digest.hexdigest()[:16]

    @property
    def expression_names(self) -> tuple[str, ...]:
        """Names of the columns of track['expression']."""
        return tuple(self.metadata["head"]["expression_names"])

    def size_at(self, size: int) -> tuple[int, int]:
        """(width, height) of the frames when the longer side is `size` pixels; never enlarged."""
        width, height = self.metadata["width"], self.metadata["height"]
        scale = min(1.0, size / max(width, height))
        return max(1, round(width * scale)), max(1, round(height * scale))

    def camera(self, size: int, indices: Sequence[int] | np.ndarray | None = None) -> Camera:
        """Cameras [n] of the rows `indices` (None: the first camera, [1]) when the longer side is `size` pixels."""
        which = [0] if indices is None else self.track["camera"][np.asarray(indices, dtype=np.int64)].tolist()
        metadata = self.metadata

        def tensor(name: str) -> torch.Tensor:
            every = torch.tensor([camera[name] for camera in metadata["cameras"]], dtype=torch.float32)
            return every[torch.tensor(which, dtype=torch.int64)]

        camera = Camera(tensor("K"), tensor("world_to_cam"), metadata["width"], metadata["height"])
        return camera.resized(*self.size_at(size))

    def params(self, indices: Sequence[int] | np.ndarray) -> HeadParams:
        """Tracked head parameters of the frames `indices`."""
        rows = np.asarray(indices, dtype=np.int64)

        def tensor(name: str) -> torch.Tensor:
            return torch.from_numpy(np.ascontiguousarray(self.track[name][rows], dtype=np.float32))

        identity = torch.from_numpy(np.asarray(self.track["identity"], dtype=np.float32))
        return HeadParams(identity, tensor("expression"), tensor("joint_rot"), tensor("translation"))

    def images(self, indices: Sequence[int] | np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Frames [n,H,W,3] uint8 sRGB and mattes [n,H,W] uint8, area-averaged to a longer side of `size`."""
        target = self.size_at(size)

        def one(index: int) -> tuple[np.ndarray, np.ndarray]:
            name = frame_name(int(self.track["frame_number"][index]))
            image = _stored_image(self.root / FRAMES_DIR / name, cv2.IMREAD_COLOR)
            matte = _stored_image(self.root / MATTES_DIR / name, cv2.IMREAD_GRAYSCALE)
            return _shrink(image[..., ::-1], target), _shrink(matte, target)

        with ThreadPoolExecutor(max_workers=2) as pool:
            pairs = list(pool.map(one, indices))
        width, height = target
        rgb = np.stack([pair[0] for pair in pairs]) if pairs else np.zeros((0, height, width, 3), np.uint8)
        alpha = np.stack([pair[1] for pair in pairs]) if pairs else np.zeros((0, height, width), np.uint8)
        return rgb, alpha


def _read_metadata(root: Path) -> dict[str, Any]:
    path = root / METADATA_FILE
    if not root.is_dir():
        raise HeadsplatError(f"{root}: no such capture folder; make one with `headsplat capture VIDEO -o {root}`")
    if not path.is_file():
        raise HeadsplatError(
            f"{root}: not a finished capture ({METADATA_FILE} is missing); "
            f"run `headsplat capture VIDEO -o {root}` to finish it"
        )
    try:
        metadata = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HeadsplatError(f"{path}: damaged ({error}); run `headsplat capture` on the video again") from error
    if not isinstance(metadata, dict) or metadata.get("magic") != MAGIC:
        raise HeadsplatError(f"{path}: not a headsplat capture; give a folder made by `headsplat capture`")
    if metadata.get("version") not in READABLE:
        raise HeadsplatError(
            f"{path}: capture version {metadata.get('version')}, this headsplat reads up to version {VERSION}; "
            "capture the video again with this headsplat"
        )
    if metadata["version"] == 1 and isinstance(metadata.get("camera"), dict):
        metadata = {**metadata, "cameras": [{"name": "0", **metadata["camera"]}]}
    for name, kind in _REQUIRED_METADATA.items():
        if not isinstance(metadata.get(name), kind) or not metadata[name]:
            raise HeadsplatError(f"{path}: damaged (no `{name}` in it); run `headsplat capture` on the video again")
    return metadata


def track_defaults(count: int) -> dict[str, np.ndarray]:
    """The arrays that version 1 lacks, for `count` images of one camera, of equal weight and constant exposure."""
    return {
        "camera": np.zeros(count, np.int64),
        "time_step": np.arange(count),
        "exposure": np.ones((count, 3)),
        "weight": np.ones(count),
    }


def _version_1_track(track: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {**track_defaults(len(track.get("frame_number", ()))), **track}


def _stored_image(path: Path, mode: int) -> np.ndarray:
    image = read_image(path, mode)
    if image is None:
        raise HeadsplatError(f"{path}: missing or damaged image; run `headsplat capture` on the video again")
    return image


def _shrink(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if (image.shape[1], image.shape[0]) == size:
        return np.ascontiguousarray(image)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
