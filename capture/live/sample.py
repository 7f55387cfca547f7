"""One frame of any input, and the small interface that every input has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from avatar.types import JOINT_NAMES

Floats = NDArray[np.float32]

#: Seconds without a sample after which whoever gave some counts as having lost the face. Networks hold packets back for
#: a tenth or two, and a sender of 25 a second would have to lose a dozen in a row; an avatar that holds its last face
#: for longer looks frozen.
SILENT = 0.5


@dataclass(frozen=True, eq=False)
class Sample:
    """A face at one moment, as a camera or a socket gave it.

    Rotations are as in `avatar.types.Motion`: the head's is the root's, in the axes of the world; those of jaw and
    eyes are what the weights do not turn already.
    """

    time: float  # seconds, time.monotonic(), when the camera or the socket gave it
    names: tuple[str, ...]  # of the expression weights; the same in every sample of an input
    space: str  # of the names, "arkit52", "flame", ...
    weights: Floats  # [E]
    joint_rot: Floats  # [5,3] axis-angle radians
    translation: Floats  # [3] meters, of the point the head turns about
    confidence: float  # 0..1, how sure the tracker was; 0 where it saw no face
    stamps: dict[str, float] = field(default_factory=dict)  # stage -> seconds, time.monotonic(), when it was done
    source_time: float | None = None  # seconds of the source's own clock (a file's, a phone's), where it says it

    def __post_init__(self) -> None:
        expected = {"weights": (len(self.names),), "joint_rot": (len(JOINT_NAMES), 3), "translation": (3,)}
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"Sample.{name}: expected {list(shape)}, got {list(getattr(self, name).shape)}")

    def gone(self, time: float, source_time: float | None = None) -> Sample:
        """This face no longer seen at `time` seconds: confidence 0, which lets the avatar come to rest."""
        return replace(self, time=time, confidence=0.0, stamps={}, source_time=source_time)


class Input(Protocol):
    """Whoever gives samples: a camera, a socket."""

    name: str  # as a person knows it

    def start(self) -> None:
        """Begin; raises HeadsplatError where that cannot be (no camera, a port that is taken)."""

    def latest(self) -> Sample | None:
        """The newest sample, once: None when nothing is new since the last call. Never waits."""

    def earlier(self) -> Sequence[Sample]:
        """What the same face did before the first sample, oldest first: a camera's face has to be learned first."""

    def stop(self) -> None:
        """End; harmless when it never began or has ended."""

    def stats(self) -> dict[str, Any]:
        """Counts since start: received, dropped, malformed, ... and rate, samples a second of late."""


@runtime_checkable
class CameraInput(Input, Protocol):
    """An input that looks at somebody."""

    def learn_again(self) -> None:
        """Forget who it is: another person sat down."""

    def look(self) -> tuple[np.ndarray, np.ndarray | None] | None:
        """The picture [H,W,3] uint8 tracked last, or a small copy, and its landmarks [478,3] where it shows a face."""
