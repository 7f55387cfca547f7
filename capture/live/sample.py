"""One frame of any input, and the small interface that every input has."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from avatar.records import JOINT_NAMES

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Sample:
    """A face at one moment, as a camera, a socket, a file or sliders gave it.

    Rotations are as in `avatar.records.Motion`: the head's is the root's, in the axes of the world; those of jaw and
    eyes are what the weights do not turn already.
    """

    time: float  # seconds, time.monotonic(), when the camera or the socket gave it
    names: tuple[str, ...]  # of the expression weights; the same in every sample of an input
    space: str  # of the names, "arkit52", "flame", ...
    weights: Floats  # [E]
    joint_rot: Floats  # [5,3] axis-angle radians
    translation: Floats  # [3] metres, of the point the head turns about
    confidence: float  # 0..1, how sure the tracker was; 0 where it saw no face
    stamps: dict[str, float] = field(default_factory=dict)  # stage -> seconds, time.monotonic(), when it was done
    source_time: float | None = None  # seconds of the source's own clock (a file's, a phone's), where it says it

    def __post_init__(self) -> None:
        expected = {"weights": (len(self.names),), "joint_rot": (len(JOINT_NAMES), 3), "translation": (3,)}
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"Sample.{name}: expected {list(shape)}, got {list(getattr(self, name).shape)}")


class Input(Protocol):
    """Whoever gives samples: a camera, a socket, a file, sliders."""

    def start(self) -> None:
        """Begin; raises HeadsplatError where that cannot be (no camera, a port that is taken)."""

    def latest(self) -> Sample | None:
        """The newest sample, once: None when nothing is new since the last call. Never waits."""

    def stop(self) -> None:
        """End; harmless when it never began or has ended."""

    def facts(self) -> dict[str, Any]:
        """Counts since start: received, dropped, malformed, ... and rate, samples a second of late."""
