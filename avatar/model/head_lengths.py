"""Lengths of a head at rest, and the true size of a head of which one is known. Needs no PyTorch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from avatar.errors import HeadsplatError
from avatar.model.true_size import LIMITS, TrueSize
from avatar.types import LEFT_EYE, RIGHT_EYE

if TYPE_CHECKING:
    from avatar.head.model import HeadModel
    from avatar.model.avatar_header import StoredTensor

#: Relative standard deviation of a length that somebody measured with a ruler.
_RULER = 0.01
#: Lengths by name: the landmarks (MediaPipe's numbers) between which they are straight lines.
LANDMARKS = {
    "inner-eye-corners": (133, 362),
    "outer-eye-corners": (33, 263),
    "nose-width": (129, 358),
    "mouth-width": (61, 291),
    "face-width": (234, 454),
    "face-height": (168, 152),
}
#: The distance between the centers of the eyeballs, which is that of the pupils when they look far away.
INTERPUPILLARY = "interpupillary"
HEAD_WIDTH = "head-width"
NAMES = (INTERPUPILLARY, *LANDMARKS, HEAD_WIDTH)


@dataclass(frozen=True)
class HeadLengths:
    """The lengths of a head at rest, in meters of the avatar."""

    vertices: NDArray[np.float32]  # [V,3] meters
    joints: NDArray[np.float32]  # [J,3]
    landmarks: NDArray[np.float32]  # [478,3]
    skull: NDArray[np.bool_]  # [V] vertices of the scalp, without the ears

    @staticmethod
    def of(head: HeadModel) -> HeadLengths:
        """Of the neutral face of a baked head."""
        arrays = {name: getattr(head, name).detach().cpu().numpy() for name in _TENSORS}
        return HeadLengths._of(arrays, {name: mask.cpu().numpy() for name, mask in head.regions.items()})

    @staticmethod
    def stored(tensors: Mapping[str, StoredTensor]) -> HeadLengths:
        """The same of the tensors of a file, which are not checked: raises KeyError, IndexError or ValueError."""

        def array(name: str) -> NDArray[Any]:
            stored = tensors[name]
            return np.frombuffer(stored.data, _DTYPES[stored.dtype]).reshape(stored.shape)

        regions = {name.removeprefix("region."): array(name) for name in tensors if name.startswith("region.")}
        return HeadLengths._of({name: array(f"head.{name}") for name in _TENSORS}, regions)

    @staticmethod
    def _of(arrays: Mapping[str, NDArray[Any]], regions: Mapping[str, NDArray[Any]]) -> HeadLengths:
        vertices = arrays["v_template"]
        corners = vertices[arrays["faces"][arrays["landmark_faces"]]]
        skull = regions.get("scalp", np.zeros(len(vertices))).astype(bool)
        for name in ("left_ear", "right_ear", "neck", "torso"):
            skull &= ~regions.get(name, np.zeros(len(vertices))).astype(bool)
        points = (corners * arrays["landmark_bary"][..., None]).sum(1)
        return HeadLengths(vertices, arrays["J_regressor"] @ vertices, points, skull)

    def meters(self, name: str) -> float | None:
        """The length `name` of NAMES, or of two landmarks as `33,263`, in meters of the avatar; None for others."""
        if name == INTERPUPILLARY:
            return float(np.linalg.norm(self.joints[LEFT_EYE] - self.joints[RIGHT_EYE]))
        if name == HEAD_WIDTH:
            return float(np.ptp(self.vertices[self.skull, 0])) if self.skull.any() else None
        pair = LANDMARKS.get(name) or _numbers(name, len(self.landmarks))
        return None if pair is None else float(np.linalg.norm(self.landmarks[pair[0]] - self.landmarks[pair[1]]))

    def millimeters(self, size: TrueSize) -> dict[str, float]:
        """True millimeters of all of NAMES that the head has."""
        found = {name: self.meters(name) for name in NAMES}
        return {name: 1000 * size.scale * value for name, value in found.items() if value is not None}


_DTYPES = {"F32": "<f4", "F16": "<f2", "I32": "<i4", "I64": "<i8", "U8": "u1"}
#: Fields of a head model, and tensors of a file, that lengths need.
_TENSORS = ("v_template", "faces", "J_regressor", "landmark_faces", "landmark_bary")


def _numbers(name: str, count: int) -> tuple[int, int] | None:
    """Two landmarks of `count` as `33,263`."""
    parts = name.split(",")
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() and len(part) <= 3 for part in parts):
        return None
    first, second = map(int, parts)
    return (first, second) if max(first, second) < count and first != second else None


def size_from_interocular(lengths: HeadLengths, millimeters: float) -> TrueSize:
    """The size of a head whose pupils are `millimeters` apart when they look far away.

    Raises:
        HeadsplatError: no distance of eyes, or the head would have the size of none.
    """
    return _from_length("--interocular", lengths, INTERPUPILLARY, millimeters)


def size_from_length(lengths: HeadLengths, text: str) -> TrueSize:
    """The size of a head of which a length is known.

    Args:
        lengths: of the head.
        text: `NAME=MM`, a name of NAMES or two landmarks as `33,263`, and millimeters.

    Raises:
        HeadsplatError: no such length, or the head would have the size of none.
    """
    name, _, number = text.partition("=")
    try:
        millimeters = float(number)
    except ValueError:
        millimeters = math.nan
    if not 0 < millimeters < math.inf:
        shown = text if len(text) <= 60 else f"{text[:60]}..."
        raise HeadsplatError(f"--length: {shown!r} is not a length; give NAME=MM, such as face-width=139 or 33,263=92")
    return _from_length("--length", lengths, name, millimeters)


def _from_length(option: str, lengths: HeadLengths, name: str, millimeters: float) -> TrueSize:
    meters = lengths.meters(name)
    if not meters:
        shown = name if len(name) <= 60 else f"{name[:60]}..."
        raise HeadsplatError(
            f"{option}: the head has no length {shown!r}; give {', '.join(NAMES)}, or two landmarks of MediaPipe as "
            "33,263"
        )
    scale = millimeters / 1000 / meters
    if not LIMITS[0] <= scale <= LIMITS[1]:
        raise HeadsplatError(
            f"{option}: {millimeters:g} mm is {scale:.2g} times that of the avatar ({1000 * meters:.0f} mm); give "
            "millimeters"
        )
    return TrueSize(scale, _RULER, f"given: {name} {millimeters:g} mm")
