"""Scripts of performances: head rotation, facial expressions, and the parts with speech."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from avatar.errors import HeadsplatError

#: Start and end (fractions of the length), strength, weights by stem.
Face = tuple[float, float, float, dict[str, float]]

_YAW = 35.0  # degrees, maximum yaw of every script


@dataclass(frozen=True)
class Script:
    """A performance, times as fractions of its length."""

    head: NDArray[np.float64]  # [K,4] time, yaw, pitch, roll in degrees
    faces: tuple[Face, ...]
    silent: tuple[tuple[float, float], ...]  # parts without speech
    still: bool = False  # nothing moves but the camera, which is carried around the person

    def with_yaw(self, yaw: float) -> Script:
        """The same with a maximum yaw of `yaw` degrees."""
        return replace(self, head=self.head * [1, yaw / _YAW, 1, 1])

    def held_out(self) -> Script:
        """The same with small rotations before HELD_OUT_FROM; then large ones, and only the expressions of HELD_OUT."""
        early = self.head[self.head[:, 0] < HELD_OUT_FROM - 0.02] * [1, _NARROW, 1, 1]
        yaw = np.abs(self.head[:, 1]).max()
        late = [
            (HELD_OUT_FROM, 0, 0, 0),
            (0.84, 0.6 * yaw, 2, 2),
            (0.88, yaw, 0, 3),
            (0.91, 0, -3, 0),
            (0.95, -yaw, 2, -4),
            (1.0, -0.3 * yaw, 4, 0),
        ]
        return Script(
            np.concatenate([early, np.array(late, np.float64)]),
            tuple(face for face in self.faces if face[1] <= HELD_OUT_FROM + 0.005) + _HELD_OUT_FACES,
            (*self.silent, (HELD_OUT_FROM, 1.0)),
        )


#: Start of the held-out part of a performance.
HELD_OUT_FROM = 0.8
_NARROW = 0.5  # factor of the rotation before it
#: Stems that do not occur before it, and the maximum of jawOpen before it.
HELD_OUT = ("mouthPucker", "mouthFunnel", "cheekPuff", "noseSneer", "browInnerUp", "browOuterUp", "mouthLeft")
HELD_OUT_JAW = 0.4
_HELD_OUT_FACES: tuple[Face, ...] = (
    (0.805, 0.835, 1.0, {"mouthPucker": 0.9}),
    (0.835, 0.865, 1.0, {"mouthFunnel": 0.8, "jawOpen": 0.15}),
    (0.865, 0.895, 1.0, {"cheekPuff": 1.0}),
    (0.895, 0.925, 1.0, {"noseSneer": 0.8, "mouthUpperUp": 0.3}),
    (0.925, 0.950, 1.0, {"browInnerUp": 1.0, "browOuterUp": 0.9}),
    (0.950, 0.975, 1.0, {"jawOpen": 0.85}),
    (0.975, 0.998, 1.0, {"mouthLeft": 0.8}),
)

DEMO = Script(
    np.array([
        (0.00, 0, 0, 0), (0.11, 0, 0, 0), (0.17, 20, -2, 2), (0.22, 35, 2, 3), (0.28, 14, 3, 0),
        (0.34, -16, 0, -3), (0.40, -35, -3, -4), (0.46, -12, 2, 0), (0.51, 0, 15, 0), (0.56, 3, -4, 2),
        (0.60, 0, -15, 0), (0.65, 5, 2, 9), (0.70, -6, 0, -8), (0.75, 0, 1, 0), (0.80, 2, -2, 2), (0.86, 27, 5, 4),
        (0.91, -8, -6, -2), (0.96, -27, 4, -4), (1.00, -3, 0, 0),
    ], np.float64),
    (
        (0.14, 0.25, 0.7, {"mouthSmile": 0.8, "cheekSquint": 0.5}),
        (0.27, 0.33, 1.0, {"browInnerUp": 0.7, "browOuterUp": 0.7}),
        (0.44, 0.50, 1.0, {"browDown": 0.8, "eyeSquint": 0.5, "mouthFrown": 0.4, "mouthPress": 0.3}),
        (0.60, 0.68, 1.0, {"mouthSmile": 1.0, "cheekSquint": 0.8, "eyeSquint": 0.4, "mouthUpperUp": 0.45,
                           "jawOpen": 0.14, "mouthLowerDown": 0.3}),
        (0.69, 0.745, 1.0, {"jawOpen": 0.85, "browInnerUp": 1.0, "browOuterUp": 0.9, "eyeWide": 0.8}),
        (0.75, 0.80, 1.0, {"cheekPuff": 1.0, "mouthPress": 0.5, "mouthPucker": 0.15}),
        (0.80, 0.84, 1.0, {"eyeBlink": 1.0, "browDown": 0.2}),
        (0.86, 0.91, 1.0, {"mouthSmile": 0.9, "cheekSquint": 0.6, "mouthUpperUp": 0.3, "mouthLowerDown": 0.25}),
        (0.92, 0.97, 0.8, {"jawOpen": 0.75, "browInnerUp": 0.9, "browOuterUp": 0.8, "eyeWide": 0.6}),
    ),
    ((0.0, 0.115), (0.585, 0.845), (0.855, 0.975)),
)  # fmt: skip

# One expression after another with neutral between: mouth and jaw, then the upper face.
_SWEPT: tuple[dict[str, float], ...] = (
    {"jawOpen": 0.9},
    {"mouthSmile": 1.0},
    {"mouthFrown": 0.9},
    {"mouthPucker": 0.9},
    {"mouthFunnel": 0.9},
    {"mouthStretch": 0.8},
    {"mouthPress": 0.9},
    {"mouthRollLower": 0.8},
    {"mouthRollUpper": 0.8},
    {"mouthUpperUp": 0.8},
    {"mouthLowerDown": 0.8},
    {"mouthShrugLower": 0.8},
    {"mouthShrugUpper": 0.7},
    {"mouthDimple": 0.8},
    {"mouthLeft": 0.8},
    {"mouthRight": 0.8},
    {"mouthSmileLeft": 1.0},
    {"mouthSmileRight": 1.0},
    {"jawLeft": 0.8},
    {"jawRight": 0.8},
    {"jawForward": 0.8},
    {"jawOpen": 0.6, "mouthClose": 0.6},
    {"cheekPuff": 1.0},
    {"browDown": 1.0},
    {"browInnerUp": 1.0},
    {"browOuterUp": 1.0},
    {"eyeBlink": 1.0},
    {"eyeBlinkLeft": 1.0},
    {"eyeBlinkRight": 1.0},
    {"eyeWide": 0.9},
    {"eyeSquint": 0.9},
    {"cheekSquint": 0.9},
    {"noseSneer": 0.9},
)
_SWEPT_SPAN = 0.03, 0.66  # of the length


def _one_by_one() -> tuple[Face, ...]:
    """The swept expressions in equal parts of `_SWEPT_SPAN`, with gaps."""
    edges = np.linspace(*_SWEPT_SPAN, len(_SWEPT) + 1)
    gap = 0.12 * (edges[1] - edges[0])
    return tuple(
        (float(start + gap), float(end - gap), 1.0, face)
        for start, end, face in zip(edges[:-1], edges[1:], _SWEPT, strict=True)
    )


_SWEEP = Script(
    np.array([
        (0.00, 0, 0, 0), (0.66, 0, 0, 0), (0.70, 35, 0, 0), (0.72, 22, 0, 0), (0.78, -35, 0, 0), (0.81, 0, 0, 0),
        (0.84, 0, 20, 0), (0.87, 0, -15, 0), (0.89, 0, 0, 10), (0.915, 0, 0, -10), (0.94, 22, 8, 4),
        (0.97, -24, -6, -4), (1.00, 0, 0, 0),
    ], np.float64),
    (
        *_one_by_one(),
        (0.72, 0.76, 1.0, {"jawOpen": 0.7}),
        (0.82, 0.86, 1.0, {"mouthSmile": 0.9, "cheekSquint": 0.6}),
        (0.92, 0.96, 1.0, {"jawOpen": 0.6, "browInnerUp": 0.8, "browOuterUp": 0.8}),
        (0.96, 0.99, 1.0, {"mouthPucker": 0.8}),
    ),
    ((0.0, 1.0),),
)  # fmt: skip

_TALK = Script(
    np.array([
        (0.00, 0, 0, 0), (0.05, 0, 0, 0), (0.12, 9, -3, 2), (0.20, -6, 4, -2), (0.27, -18, 2, -4), (0.33, -4, -6, 0),
        (0.40, 12, 3, 5), (0.47, 26, 1, 3), (0.54, 6, -8, 0), (0.60, -10, 5, -6), (0.68, -35, 0, -5), (0.76, 0, 10, 2),
        (0.83, 14, -4, 6), (0.90, 35, 3, 4), (0.96, -8, 6, -3), (1.00, 0, 0, 0),
    ], np.float64),
    (
        (0.20, 0.26, 0.8, {"mouthSmile": 0.8, "cheekSquint": 0.5}),
        (0.36, 0.42, 1.0, {"browInnerUp": 0.7, "browOuterUp": 0.6}),
        (0.50, 0.55, 0.9, {"browDown": 0.8, "eyeSquint": 0.4}),
        (0.64, 0.70, 1.0, {"mouthSmile": 1.0, "cheekSquint": 0.7, "mouthUpperUp": 0.3, "jawOpen": 0.2}),
        (0.86, 0.90, 1.0, {"mouthFrown": 0.6, "browInnerUp": 0.5}),
    ),
    ((0.0, 0.05), (0.64, 0.70), (0.97, 1.0)),
)  # fmt: skip

_ORBIT = Script(np.zeros((2, 4)), (), ((0.0, 1.0),), still=True)

#: Every performance by name.
SCRIPTS = {"demo": DEMO, "sweep": _SWEEP, "talk": _TALK, "orbit": _ORBIT}


def script_named(name: str) -> Script:
    """The script called `name`; raises HeadsplatError that lists the names."""
    if name not in SCRIPTS:
        raise HeadsplatError(f"performance: found {name!r}; choose one of {', '.join(sorted(SCRIPTS))}.")
    return SCRIPTS[name]
