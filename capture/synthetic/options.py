"""What a synthetic phone video may look like, and what is known about it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from avatar.errors import HeadsplatError
from avatar.records import Camera, HeadParams

Array = NDArray[np.float32]


@dataclass(frozen=True)
class SyntheticOptions:
    """A procedural person in front of a hand-held phone."""

    seed: int = 7
    person: str = "noor"  # a name in capture.synthetic.looks.LOOKS
    width: int = 540  # pixels, even
    height: int = 720  # pixels, even
    frames: int = 240
    fps: float = 30.0
    focal: float = 1.35  # focal length over the picture's width, unknown to the tracker
    noise: float = 0.009  # of the sensor, standard deviation at mid-grey, display units
    exposure_drift: float = 0.04  # relative, peak
    handheld: float = 1.0  # 0 is a tripod, 1 an ordinary hand
    crf: int = 18  # of the H.264 encoder

    def __post_init__(self) -> None:
        for name in ("width", "height"):
            value = getattr(self, name)
            if value < 64 or value % 2:
                raise HeadsplatError(f"SyntheticOptions.{name}: expected an even number of at least 64, found {value}.")
        if self.frames < 1:
            raise HeadsplatError(f"SyntheticOptions.frames: expected at least 1, found {self.frames}.")


@dataclass(frozen=True)
class SyntheticTruth:
    """What was rendered: the parameters of every frame in the camera's frame of reference (FACING_CAMERA).

    The person's shape is not in the head model's span: `neutral_vertices` holds what was really drawn.
    """

    time: Array  # [T] seconds
    identity: Array  # [S]
    expression: Array  # [T,E] in the order of `expression_names`
    joint_rot: Array  # [T,J,3] radians, root (torso), neck, jaw, eyes
    translation: Array  # [T,3] metres
    skull_rotation: Array  # [T,3,3] skull frame -> world
    skull_translation: Array  # [T,3] metres
    neutral_vertices: Array  # [V,3] metres, with the shape outside the tracker's basis
    landmarks: Array  # [T,478,2] pixels, MediaPipe's order, of the drawn surface
    exposure: Array  # [T] gain
    K: Array  # [3,3] pixels
    width: int
    height: int
    expression_names: tuple[str, ...]

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
        """The one camera [1] of the video."""
        facing = Camera.facing(float(self.K[0, 0]), self.width, self.height)
        return Camera(torch.from_numpy(self.K)[None], facing.world_to_cam, self.width, self.height)

    def save(self, path: Path) -> None:
        """Write everything as a compressed npz without pickles."""
        arrays = {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}
        np.savez_compressed(path, **arrays)

    @staticmethod
    def load(path: Path) -> SyntheticTruth:
        """Read what `save` wrote."""
        with np.load(path) as stored:
            arrays = {field.name: stored[field.name] for field in fields(SyntheticTruth)}
        arrays["width"], arrays["height"] = int(arrays["width"]), int(arrays["height"])
        arrays["expression_names"] = tuple(str(name) for name in arrays["expression_names"])
        return SyntheticTruth(**arrays)
