"""Capture: tracked frames on disk, written by the `capture` package, read by training and evaluation.

Layout of the folder: `capture.json` (metadata), `track.npz` (arrays with one row per image), `frames/NNNNN.png` and
`mattes/NNNNN.png` by frame number. `capture.json` is written last: a folder without it is unfinished. With several
cameras a time step has several images (rows), which share the head parameters.

Version 1 had one camera and none of `camera`, `time_step`, `exposure`, `weight`; version 2 had no `principal_point`.
Both are read with the defaults of these arrays, as is a folder of any version without `torso_motion`,
`torso_confidence`, `head_outline` and `expression_change`.

OpenCV and PyTorch are imported where images are read and tensors are made: metadata and track need neither.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avatar.common.links import check_within
from avatar.common.npz import DamagedNpz
from avatar.data.capture_metadata import MAGIC, METADATA_FILE, REMEDY, VERSION, read_metadata
from avatar.data.stored_images import fitted_size, shrunk
from avatar.data.track_arrays import FIXED_AXES, TRACK_ARRAYS, check_arrays, check_centers, check_track, read_arrays
from avatar.errors import HeadsplatError
from avatar.types import Camera, HeadParams

if TYPE_CHECKING:
    import torch

    from avatar.data.kept_images import KeptImages

__all__ = ["MAGIC", "METADATA_FILE", "TRACK_ARRAYS", "VERSION", "Capture", "frame_name", "track_defaults"]

TRACK_FILE = "track.npz"
FRAMES_DIR = "frames"
MATTES_DIR = "mattes"


def frame_name(number: int) -> str:
    """File name of source frame `number` in frames/ and mattes/."""
    return f"{number:05d}.png"


@dataclass(frozen=True)
class Capture:
    """A tracked clip of one person: T images, from one camera or several."""

    root: Path
    metadata: Mapping[str, Any]  # capture.json as read
    track: Mapping[str, np.ndarray]  # TRACK_ARRAYS
    kept: KeptImages | None = field(default=None, repr=False, compare=False)  # the training images, in memory

    @staticmethod
    def load(root: str | Path) -> Capture:
        """Read a finished capture folder.

        Raises:
            HeadsplatError: no folder, unfinished, damaged, or of a newer version.
        """
        root = Path(root)
        metadata = read_metadata(root)
        path = check_within(root, root / TRACK_FILE)
        try:
            track = read_arrays(path, TRACK_ARRAYS)
            track = _with_defaults(track, metadata)
            sizes = {"T": np.size(track.get("frame_number", ())), "E": len(metadata["head"]["expression_names"])}
            check_arrays(track, TRACK_ARRAYS, sizes)
            check_track(track, len(metadata["cameras"]))
            check_centers(track["principal_point"], max(metadata["width"], metadata["height"]))
        except DamagedNpz as error:
            raise HeadsplatError(f"{path}: the track is damaged or incomplete ({error}); {REMEDY}") from error
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
    def still(self) -> bool:
        """Whether the person sat still while the camera was carried around: head and torso are one rigid body."""
        return self.metadata.get("still") is True

    @property
    def fingerprint(self) -> str:
        """16 hex digits that identify the track and its split; they do not depend on the folder's path."""
        digest = hashlib.sha256()
        names = ["frame_number", "is_test", "identity", "translation"]
        for name in [*names, "principal_point"] if self.metadata["version"] > 2 else names:
            digest.update(np.ascontiguousarray(self.track[name]).tobytes())
        return digest.hexdigest()[:16]

    @property
    def expression_names(self) -> tuple[str, ...]:
        """Names of the columns of track['expression']."""
        return tuple(self.metadata["head"]["expression_names"])

    def size_at(self, size: int) -> tuple[int, int]:
        """(width, height) of the frames when the longer side is `size` pixels; never enlarged."""
        return fitted_size(self.metadata["width"], self.metadata["height"], size)

    def camera(self, size: int, indices: Sequence[int] | np.ndarray | None = None) -> Camera:
        """Cameras [n] of the rows `indices` when the longer side is `size` pixels.

        None is the first camera [1] with the typical principal point of its training images.
        """
        import torch

        which = [0] if indices is None else self.track["camera"][np.asarray(indices, dtype=np.int64)].tolist()
        metadata = self.metadata

        def tensor(name: str) -> torch.Tensor:
            every = torch.tensor([camera[name] for camera in metadata["cameras"]], dtype=torch.float32)
            return every[torch.tensor(which, dtype=torch.int64)]

        K = tensor("K")
        if indices is not None:
            K[:, :2, 2] = torch.from_numpy(
                self.track["principal_point"][np.asarray(indices, np.int64)].astype(np.float32)
            )
        camera = Camera(K, tensor("world_to_cam"), metadata["width"], metadata["height"])
        return camera.resized(*self.size_at(size))

    def params(self, indices: Sequence[int] | np.ndarray) -> HeadParams:
        """Tracked head parameters of the frames `indices`."""
        import torch

        rows = np.asarray(indices, dtype=np.int64)

        def tensor(name: str) -> torch.Tensor:
            return torch.from_numpy(np.ascontiguousarray(self.track[name][rows], dtype=np.float32))

        identity = torch.from_numpy(np.asarray(self.track["identity"], dtype=np.float32))
        return HeadParams(identity, tensor("expression"), tensor("joint_rot"), tensor("translation"))

    def images(self, indices: Sequence[int] | np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Frames [n,H,W,3] uint8 sRGB and mattes [n,H,W] uint8, area-averaged to a longer side of `size`."""
        import cv2

        width, height = self.size_at(size)
        rgb = np.empty((len(indices), height, width, 3), np.uint8)
        alpha = np.empty((len(indices), height, width), np.uint8)

        def one(place: int) -> None:
            image = self.stored_image(FRAMES_DIR, indices[place], cv2.IMREAD_COLOR)
            matte = self.stored_image(MATTES_DIR, indices[place], cv2.IMREAD_GRAYSCALE)
            cv2.cvtColor(shrunk(image, (width, height)), cv2.COLOR_BGR2RGB, dst=rgb[place])
            alpha[place] = shrunk(matte, (width, height))

        with ThreadPoolExecutor(max_workers=2) as pool:
            list(pool.map(one, range(len(indices))))
        return rgb, alpha

    def image_path(self, folder: str, row: int) -> Path:
        """The path of a row's image in `folder`, FRAMES_DIR or MATTES_DIR.

        Raises:
            HeadsplatError: it is a symbolic link out of the capture.
        """
        return check_within(self.root, self.root / folder / frame_name(int(self.track["frame_number"][row])))

    def stored_image(self, folder: str, row: int, mode: int) -> np.ndarray:
        """A row's image in `folder` (FRAMES_DIR, MATTES_DIR) as cv2.imread returns it for `mode` (cv2.IMREAD_*).

        Raises:
            HeadsplatError: it is missing, damaged, of another size than the capture's, or a link out of the capture.
        """
        from avatar.common.image_io import read_image

        path = self.image_path(folder, row)
        image = read_image(path, mode)
        if image is None:
            raise HeadsplatError(f"{path}: missing or damaged image; {REMEDY}")
        width = self.metadata["width"]
        height = self.metadata["height"]
        if image.shape[:2] != (height, width):
            actual = f"{image.shape[1]}x{image.shape[0]}"
            raise HeadsplatError(
                f"{path}: an image of {actual} pixels, {METADATA_FILE} says {width}x{height}; {REMEDY}"
            )
        return image


def track_defaults(count: int) -> dict[str, np.ndarray]:
    """Arrays for `count` images of one camera, of equal weight and constant exposure, that version 1 lacks."""
    return {
        "camera": np.zeros(count, np.int64),
        "time_step": np.arange(count),
        "exposure": np.ones((count, 3)),
        "weight": np.ones(count),
        **_optional(count),
    }


def _optional(count: int) -> dict[str, np.ndarray]:
    """The arrays that captures of any version may lack, for `count` images of which they are not known."""
    return {
        "torso_motion": np.zeros((count, 6)),
        "torso_confidence": np.zeros(count),
        "head_outline": np.zeros((count, FIXED_AXES["O"])),
    }


def _with_defaults(track: dict[str, np.ndarray], metadata: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The arrays of a track as read, with the defaults of those that its version lacks."""
    count = np.size(track.get("frame_number", ()))
    unchanged = {"expression_change": np.zeros((count, len(metadata["head"]["expression_names"])))}
    track = {**unchanged, **(track_defaults(count) if metadata["version"] == 1 else _optional(count)), **track}
    camera = track.get("camera")
    if metadata["version"] > 2 or camera is None or camera.dtype.kind not in "iu":
        return track
    centers = np.array([np.array(entry["K"])[:2, 2] for entry in metadata["cameras"]], np.float64)
    return {**track, "principal_point": centers[np.clip(camera.ravel(), 0, len(centers) - 1)]}
