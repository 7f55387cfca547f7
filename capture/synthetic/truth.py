"""Ground truth of a synthetic capture."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray

from avatar.common.files import atomic_path
from avatar.errors import HeadsplatError
from avatar.types import Camera, HeadParams

Array = NDArray[np.floating]


@dataclass(frozen=True)
class SyntheticTruth:
    """The rendered scene: C cameras, T time steps, in one world (for one camera: that of FACING_CAMERA).

    The shape is outside the head model's span: `neutral_vertices` and `skull_offsets` are the rendered surface.
    """

    time: Array  # [T] seconds
    identity: Array  # [S]
    expression: Array  # [T,E] in the order of `expression_names`
    joint_rot: Array  # [T,J,3] radians, root (torso), neck, jaw, eyes
    translation: Array  # [T,3] meters
    skull_rotation: Array  # [T,3,3] skull frame -> world
    skull_translation: Array  # [T,3] meters
    neutral_vertices: Array  # [V,3] meters, skull frame, with the shape outside the tracker's basis
    skull_offsets: NDArray[np.float16]  # [T,V,3] millimeters, skull frame: posed minus neutral vertices
    landmarks: Array  # [C,T,478,2] pixels, MediaPipe's order, of the rendered surface
    exposure: Array  # [C,T] gain
    K: Array  # [C,3,3] pixels
    world_to_cam: Array  # [C,4,4] OpenCV axes
    width: int
    height: int
    head: str  # model id of the head whose topology and expressions are used
    expression_names: tuple[str, ...]
    camera_names: tuple[str, ...]

    def params(self) -> HeadParams:
        """The head model's parameters of all T frames."""
        as_tensor = torch.from_numpy
        return HeadParams(
            as_tensor(self.identity),
            as_tensor(self.expression),
            as_tensor(self.joint_rot),
            as_tensor(self.translation),
        )

    def camera(self) -> Camera:
        """The cameras [C]."""
        return Camera(torch.from_numpy(self.K), torch.from_numpy(self.world_to_cam), self.width, self.height)

    def vertices(self, step: int) -> Array:
        """The posed surface [V,3] of a time step, meters, skull frame."""
        return self.neutral_vertices + self.skull_offsets[step].astype(np.float32) * np.float32(1e-3)

    def save(self, path: Path) -> None:
        """Write everything as a compressed npz without pickles."""
        arrays: dict[str, Any] = {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)

    @staticmethod
    def load(path: Path) -> SyntheticTruth:
        """Read a file written by `save`; raises HeadsplatError."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays = {field.name: stored[field.name] for field in fields(SyntheticTruth)}
            for name in ("width", "height"):
                arrays[name] = int(arrays[name])
            for name in ("expression_names", "camera_names"):
                arrays[name] = tuple(str(each) for each in arrays[name])
        except (OSError, KeyError, TypeError, ValueError, EOFError, BadZipFile) as error:
            raise HeadsplatError(
                f"{path}: not the ground truth of a synthetic capture ({error}); create one with `headsplat synth`"
            ) from error
        return SyntheticTruth(**{**arrays, "head": str(arrays["head"])})
