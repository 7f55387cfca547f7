"""The arrays of a capture's tracks: how they must look, and reading them from untrusted .npz files."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avatar.common.npz import DamagedNpz, Npz
from avatar.data.capture_metadata import CENTER, MAX_COUNT, MAX_DISTANCE
from avatar.types import JOINT_NAMES

#: Sizes of the axes that are the same in every capture.
FIXED_AXES = {"J": len(JOINT_NAMES), "L": 478, "2": 2, "3": 3, "6": 6, "O": 12}
_MAX_PIXEL = 1e6


@dataclass(frozen=True)
class ArraySpec:
    """How an array of a track must look."""

    axes: str  # T images, S identity, E expressions, J joints, L landmarks, O outline; 2, 3, 6: vectors of that size
    low: float  # smallest and largest value
    high: float
    kinds: str = "fiu"  # kinds of dtype: f floating point, i and u whole numbers, b true or false
    nan: bool = False  # whether NaN stands for a value that is not known

    def problem(self, array: np.ndarray, sizes: Mapping[str, int]) -> str | None:
        """The reason why `array` is not as specified, None if it is.

        Args:
            array: any array.
            sizes: sizes of axes; others may have any size.
        """
        named = list(zip(self.axes, array.shape, strict=False))
        if array.ndim != len(self.axes) or any(sizes.get(axis, size) != size for axis, size in named):
            known = ", ".join(f"{axis}={sizes[axis]}" for axis in self.axes if axis in sizes and axis.isalpha())
            return f"has shape {list(array.shape)}, expected [{','.join(self.axes)}]{known and ' with ' + known}"
        if array.dtype.kind not in self.kinds:
            wanted = {"b": "true or false", "iu": "whole numbers"}.get(self.kinds, "numbers")
            return f"is of type {array.dtype}, expected {wanted}"
        values = array[~np.isnan(array)] if self.nan else array
        if values.size and not self.low <= values.min() <= values.max() <= self.high:  # also where one is NaN
            bounds = f"{float(values.min()):.4g} to {float(values.max()):.4g}"
            return f"has values from {bounds}, expected {self.low:g} to {self.high:g}"
        return None


#: Coefficients and weights of head models: ARKit's are 0..1, FLAME's components a few standard deviations.
_WEIGHT = 100.0
#: Axis-angle radians: no more than two turns about each axis.
_ANGLE = 4 * np.pi
IDENTITY = ArraySpec("S", -_WEIGHT, _WEIGHT)
EXPRESSION = ArraySpec("TE", -_WEIGHT, _WEIGHT)
JOINT_ROT = ArraySpec("TJ3", -_ANGLE, _ANGLE)
TRANSLATION = ArraySpec("T3", -MAX_DISTANCE, MAX_DISTANCE)
TORSO_ROT = ArraySpec("T3", -_ANGLE, _ANGLE, nan=True)
TORSO_TRANSLATION = ArraySpec("T3", -MAX_DISTANCE, MAX_DISTANCE, nan=True)
FLAG = ArraySpec("T", 0, 1, "b")
NUMBER = ArraySpec("T", 0, MAX_COUNT, "iu")

#: Arrays of track.npz.
TRACK_ARRAYS = {
    "frame_number": NUMBER,  # in the source
    "time": ArraySpec("T", -MAX_COUNT, MAX_COUNT),  # seconds from the source's own timestamps
    "is_test": FLAG,
    "identity": IDENTITY,
    "expression": EXPRESSION,
    "joint_rot": JOINT_ROT,  # axis-angle radians; the skull's rotation is that of the root
    "translation": TRANSLATION,  # meters
    "landmarks": ArraySpec("TL3", -_MAX_PIXEL, _MAX_PIXEL, nan=True),  # stored-frame pixels, z in the same scale
    "landmark_spread": ArraySpec("TL", 0, _MAX_PIXEL, nan=True),  # pixels, standard deviation over jittered passes
    "confidence": ArraySpec("T", 0, 1),
    "reprojection": ArraySpec("T", 0, _MAX_PIXEL),  # mean landmark distance, fraction of the inter-ocular distance
    "camera": NUMBER,  # which of the cameras
    "time_step": NUMBER,  # the rows of a time step share expression, joint_rot and translation
    "exposure": ArraySpec("T3", 1e-3, 1e3),  # gain of the sRGB values of each channel relative to the typical exposure
    "weight": ArraySpec("T", 0, 1),  # of the image in training: lower where it is blurred or occluded
    "principal_point": ArraySpec("T2", -_MAX_PIXEL, _MAX_PIXEL),  # stored-frame pixels; the window follows the head
    "torso_motion": ArraySpec("T6", -1e3, 1e3),  # x, y of three points from the reference, face heights
    "torso_confidence": ArraySpec("T", 0, 1),  # 0: the motion of the torso is not known
    "expression_change": ArraySpec("TE", -1, 1),  # of readings: what the pixels show beside the landmarks
    "head_outline": ArraySpec("TO", 0, 100),  # distance of the outline from the face in 12 directions, landmark sizes
}


def read_arrays(path: Path, names: Collection[str]) -> dict[str, np.ndarray]:
    """Those of the arrays `names` that an .npz file has, numbers only; raises DamagedNpz."""
    stored = Npz(path)
    return {name: stored.array(name).copy() for name in names if name in stored.names}


def check_arrays(arrays: Mapping[str, np.ndarray], specs: Mapping[str, ArraySpec], sizes: Mapping[str, int]) -> None:
    """Raise DamagedNpz unless there is an array for each of `specs`, as specified."""
    for name, spec in specs.items():
        if name not in arrays:
            raise DamagedNpz(f"no `{name}` in it")
        if (problem := spec.problem(arrays[name], {**FIXED_AXES, **sizes})) is not None:
            raise DamagedNpz(f"`{name}` {problem}")


def check_track(track: Mapping[str, np.ndarray], cameras: int) -> None:
    """Raise DamagedNpz unless the rows of a track, whose arrays were checked, are consistent with each other."""
    number = track["frame_number"]
    step = track["time_step"]
    camera = track["camera"]
    if len(number) and camera.max() >= cameras:
        raise DamagedNpz(f"`camera` has an index that capture.json does not have (it has {cameras} cameras)")
    if len(np.unique(number)) < len(number) or (cameras == 1 and (np.diff(number.astype(np.int64)) <= 0).any()):
        raise DamagedNpz("the values of `frame_number` do not increase, or are not unique")
    if len(np.unique(np.stack([step, camera]).astype(np.int64), axis=1).T) < len(step):
        raise DamagedNpz("a camera has two rows with the same `time_step`")
    _, first, rows = np.unique(step, return_index=True, return_inverse=True)
    if (np.diff(track["time"][first]) <= 0).any():
        raise DamagedNpz("`time` does not increase from one `time_step` to the next")
    for name in ("expression", "joint_rot", "translation"):
        if not np.allclose(track[name], track[name][first][rows], atol=1e-6):
            raise DamagedNpz(f"the rows of a time step differ in `{name}`")
    if not track["is_test"].all() and not track["weight"][~track["is_test"]].any():
        raise DamagedNpz("`weight` is zero in every row that is not held out")


def check_centers(centers: np.ndarray, side: int) -> None:
    """Raise DamagedNpz unless principal points [T,2] are near images whose longer side is `side` pixels."""
    if len(centers) and abs(centers).max() > CENTER * side:
        raise DamagedNpz(f"`principal_point` is more than {CENTER * side:g} pixels from the corner of the frame")
