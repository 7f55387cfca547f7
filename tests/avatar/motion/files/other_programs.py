"""Two seconds of a face as other programs write it: the mouth opens, the corners rise, a blink, the head turns left."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from avatar.head.arkit import ARKIT_52
from avatar.motion.arrays import MotionArrays
from avatar.motion.files.live_link import COLUMNS, HEADER
from avatar.types import ROOT

FRAMES, FPS = 60, 30
TIME = np.arange(FRAMES) / FPS
_BLINK = np.exp(-(((TIME - 0.9) / 0.08) ** 2))
_SMILE = 0.2 * TIME
MOVES = {
    "jawOpen": 0.3 + 0.3 * np.sin(2.1 * TIME),
    "mouthSmileLeft": _SMILE,
    "mouthSmileRight": _SMILE,
    "eyeBlinkLeft": _BLINK,
    "eyeBlinkRight": _BLINK,
}
YAW = np.radians(20) * np.sin(1.7 * TIME)
#: The order of Unity, EmoTalk and BEAT.
ALPHABETICAL = tuple(sorted(ARKIT_52, key=str.lower))
MEDIAPIPE = ("_neutral", *(name for name in ALPHABETICAL if name != "tongueOut"))


def weights(
    frame: int, names: Iterable[str] = ARKIT_52, spelled: Callable[[str], str] = str, scale: float = 1.0
) -> dict[str, float]:
    """Name as the program spells it -> weight."""
    still = np.zeros(FRAMES)
    return {spelled(name): round(scale * float(MOVES.get(name, still)[frame]), 6) for name in names}


def capital(name: str) -> str:
    """Unity's and Unreal's spelling."""
    return name[0].upper() + name[1:]


def sided(name: str) -> str:
    """The raw values of ARKit's names."""
    for side in ("Left", "Right"):
        if name.endswith(side) and name not in ("jawLeft", "jawRight", "mouthLeft", "mouthRight"):
            return f"{name.removesuffix(side)}_{side[0]}"
    return name


def snake(name: str) -> str:
    """Python's spelling."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def quaternion(frame: int) -> list[float]:
    """The head's rotation as x, y, z, w."""
    return [0.0, float(np.sin(YAW[frame] / 2)), 0.0, float(np.cos(YAW[frame] / 2))]


def matrix(frame: int, position: Sequence[float] = (0.0, 0.0, -0.4)) -> list[list[float]]:
    """The head's matrix in rows."""
    sine, cosine = float(np.sin(YAW[frame])), float(np.cos(YAW[frame]))
    x, y, z = position
    return [[cosine, 0.0, sine, x], [0.0, 1.0, 0.0, y], [-sine, 0.0, cosine, z], [0.0, 0.0, 0.0, 1.0]]


def as_json(path: Path, content: Any) -> Path:
    """Write one JSON value."""
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def as_lines(path: Path, values: Iterable[Any]) -> Path:
    """Write a JSON value a line."""
    path.write_text("".join(f"{json.dumps(value)}\n" for value in values), encoding="utf-8")
    return path


def table(header: Sequence[str], rows: Iterable[Sequence[Any]], separator: str = ",") -> str:
    """A CSV file."""
    return "".join(separator.join(map(str, row)) + "\n" for row in [header, *rows])


def as_csv(path: Path, columns: Mapping[str, Callable[[int], Any]]) -> Path:
    """Write a CSV file of a function of the frame a column."""
    rows = ([cell(frame) for cell in columns.values()] for frame in range(FRAMES))
    path.write_text(table(list(columns), rows), encoding="utf-8")
    return path


def weight_columns(
    names: Iterable[str] = ARKIT_52, spelled: Callable[[str], str] = str, scale: float = 1.0
) -> dict[str, Callable[[int], Any]]:
    """Columns of weights for `as_csv`."""
    return {spelled(name): lambda k, name=name: weights(k, (name,), scale=scale)[name] for name in names}  # type: ignore[misc]


def live_link_text(separator: str = ",") -> str:
    """A take of Live Link Face at 30 rows per second."""
    rows = [
        [f"10:00:{2 * k // 60:02d}:{2 * k % 60:02d}.000", 61, *(weights(k)[n] for n in COLUMNS), YAW[k], *[0.0] * 8]
        for k in range(FRAMES)
    ]
    return table(HEADER, rows, separator)


def check(found: MotionArrays, *, turns: bool = False, fps: float = FPS) -> None:
    """Assert that a motion is this face."""
    assert found.space == "arkit52" and len(found) == FRAMES
    assert np.allclose(found.time, np.arange(FRAMES) / fps, atol=2e-3)  # times may be whole milliseconds
    for name, values in MOVES.items():
        assert np.allclose(found.weights[:, found.names.index(name)], values, atol=1e-5), name
    assert np.allclose(found.joint_rot[:, ROOT], [[0, yaw, 0] for yaw in YAW] if turns else 0, atol=1e-5)
    assert turns or any("the head does not move" in note for note in found.notes)
