"""`LearnedBridge`: the linear map from the coefficients of another face model to a motion, and its file.

A `.bridge.npz` has `header` (JSON in UTF-8: magic, version, names, space, keys, inputs, pairs, frames, millimeters),
and in float64 `matrix` [D,M], `offset`, `error`, `spread` [M], `center`, `scale` [D]. The M = E + 18 outputs are E
weights, the axis-angle of the five joints (rad) and the translation of the head (m).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avatar.common.files import atomic_path, path_text
from avatar.common.jsonable import shortened
from avatar.common.npz import DamagedNpz, Npz
from avatar.common.printable import single_line
from avatar.errors import HeadsplatError
from avatar.head.arkit import is_mode
from avatar.motion.files.assemble import Rows, frame_times, to_arrays
from avatar.motion.files.names import listed
from avatar.motion.files.text import LARGEST
from avatar.types import JOINT_NAMES, Motion

from .table import Coefficients, read_coefficients

Floats = NDArray[np.floating]

SUFFIX = ".bridge.npz"
MAGIC = "headsplat-bridge"
VERSION = 1
#: Outputs beside the expressions: axis-angle of the joints, translation.
POSE = 3 * len(JOINT_NAMES) + 3
_REMEDY = "learn it again with `headsplat motion bridge`"
#: Coefficients so many standard deviations from those that were learned, on average, are unlike them.
_UNLIKE = 3.0
#: Share of such frames from which a note is due.
_MANY = 0.05


@dataclass(frozen=True, eq=False)
class LearnedBridge:
    """Coefficients x [D] -> expressions and pose [M]: x @ matrix + offset, named expressions within 0..1."""

    keys: tuple[str, ...]  # arrays or columns that were chosen; none: the only array, or all columns
    inputs: tuple[str, ...]  # [D]
    names: tuple[str, ...]  # [E]
    space: str  # of the expressions
    matrix: Floats  # [D,M]
    offset: Floats  # [M]
    error: Floats  # [M] root mean square on frames that were held out; of joints in rad, of the translation in m
    spread: Floats  # [M] standard deviation in the pairs
    center: Floats  # [D] mean of the coefficients
    scale: Floats  # [D] their standard deviation
    pairs: tuple[Mapping[str, Any], ...] = ()  # the files: coefficients, motion, frames, lag in seconds
    frames: int = 0  # that were learned from
    millimeters: tuple[float, float] | None = None  # held-out error on the face's vertices, and how far they move

    def outputs(self, values: Floats) -> Floats:
        """Outputs [T,M] of coefficients [T,D]."""
        return bounded(values @ self.matrix + self.offset, self.names)

    def read(self, path: Path, fps: float | None = None) -> Motion:
        """Read coefficients and convert them to a motion.

        Args:
            path: a file like those that the bridge was learned from.
            fps: frames per second of a file without times.

        Raises:
            HeadsplatError: it cannot be read, or has other coefficients.
        """
        found = read_coefficients(path, self.keys, fps)
        if set(found.names) != set(self.inputs):
            raise HeadsplatError(
                f"{path}: has the {len(found.names)} coefficients {listed(found.names, 3)}, the bridge was learned "
                f"from {len(self.inputs)}: {listed(self.inputs, 3)}; give a file of the same program, or learn another "
                "bridge"
            )
        return self._motion(found)

    def _motion(self, found: Coefficients) -> Motion:
        notes = list(found.notes)
        values = found.values[:, [found.names.index(name) for name in self.inputs]]
        face = found.has_face
        outputs = np.zeros((len(values), len(self.offset)))
        outputs[face] = self.outputs(values[face])
        if not (np.abs(outputs) <= LARGEST).all():
            raise HeadsplatError(f"{path_text(found.path)}: the bridge makes values of it that no face has; {_REMEDY}")
        far = np.sqrt((((values[face] - self.center) / self.scale) ** 2).mean(1)) > _UNLIKE
        if far.mean() > _MANY:
            notes.append(
                f"{far.mean():.0%} of the frames have coefficients unlike those that the bridge was learned from: "
                "another person, or other settings of the program; learn a bridge for them"
            )
        time = frame_times(range(len(values)), found.fps, notes) if found.time is None else found.time
        count = len(self.names)
        joints = outputs[:, count : count + POSE - 3].reshape(len(values), -1, 3)
        rows = Rows(
            time,
            self.names,
            outputs[:, :count],
            {joint: joints[:, joint] for joint in range(len(JOINT_NAMES))},
            outputs[:, -3:],
            has_face=face,
        )
        notes.append(self.sentence())
        return to_arrays(found.path, rows, self.space, notes).to_motion()

    def sentence(self) -> str:
        """How far the bridge is off, in one sentence."""
        moved = self.spread[: len(self.names)] > MOVES
        error = float(np.sqrt(np.square(self.error[: len(self.names)][moved]).mean())) if moved.any() else 0.0
        found = (
            f"linear bridge learned from {self.frames} frames: on held-out frames the weights of the "
            f"{int(moved.sum())} expressions that move are off by {error:.3f} (root mean square)"
        )
        if self.millimeters is not None:
            found += f", the face by {self.millimeters[0]:.2f} mm of the {self.millimeters[1]:.2f} mm that it moves"
        return found

    def rows(self) -> list[tuple[str, float, float]]:
        """Name, held-out error and standard deviation of each output that moves, those that move most first.

        Joints are in degrees, the translation of the head in millimeters.
        """
        count = len(self.names)
        moving = sorted((i for i in range(count) if self.spread[i] > MOVES), key=lambda i: -self.spread[i])
        found = [(self.names[i], float(self.error[i]), float(self.spread[i])) for i in moving]
        units = [(f"{name} (degrees)", 3 * joint, np.degrees(1.0)) for joint, name in enumerate(JOINT_NAMES)]
        for name, first, unit in (*units, ("translation (mm)", POSE - 3, 1000.0)):
            part = slice(count + first, count + first + 3)
            error, spread = (unit * float(np.sqrt(np.square(each[part]).sum())) for each in (self.error, self.spread))
            if spread > _STILL:
                found.append((name, error, spread))
        return found

    def table(self) -> str:
        """`rows` as text."""
        rows = self.rows()
        width = max((len(name) for name, *_ in rows), default=0)
        lines = [f"{'expression'.ljust(width)}   error   moves"]
        lines += [f"{name.ljust(width)}  {error:6.3f}  {spread:6.3f}" for name, error, spread in rows]
        lines.append("error: root mean square on frames that were held out; moves: standard deviation in the frames")
        return "\n".join(single_line(line) for line in lines)

    def report(self) -> dict[str, Any]:
        """The report in JSON types."""
        return {
            "frames": self.frames,
            "coefficients": len(self.inputs),
            "space": self.space,
            "pairs": list(self.pairs),
            "millimeters": self.millimeters and dict(zip(("error", "moves"), self.millimeters, strict=True)),
            "outputs": [dict(zip(("name", "error", "moves"), row, strict=True)) for row in self.rows()],
            "words": self.sentence(),
        }

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        header = {
            "magic": MAGIC, "version": VERSION, "keys": list(self.keys), "inputs": list(self.inputs),
            "names": list(self.names), "space": self.space, "pairs": list(self.pairs), "frames": self.frames,
            "millimeters": self.millimeters, "joints": list(JOINT_NAMES),
            "units": {"weights": "0..1 of named expressions", "joint_rot": "axis-angle, radians", "translation": "m"},
        }  # fmt: skip
        encoded = np.frombuffer(json.dumps(header, ensure_ascii=False).encode("utf-8", "backslashreplace"), np.uint8)
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(stream, header=encoded, **arrays)


#: Standard deviation of a weight that moves, and of a pose in degrees or millimeters.
MOVES = 0.01
_STILL = 0.05
#: Arrays of the file and their axes: D coefficients, M outputs.
_ARRAYS = {"matrix": "DM", "offset": "M", "error": "M", "spread": "M", "center": "D", "scale": "D"}


def bounded(outputs: Floats, names: tuple[str, ...]) -> Floats:
    """Outputs [T,M] with the weights of named expressions within 0..1."""
    named = [place for place, name in enumerate(names) if not is_mode(name)]
    outputs[:, named] = np.clip(outputs[:, named], 0, 1)
    return outputs


def load_learned_bridge(path: Path) -> LearnedBridge:
    """Read a `.bridge.npz`.

    Raises:
        HeadsplatError: missing, damaged, or of a newer version; the message names file and part.
    """
    if not path.is_file():
        raise HeadsplatError(f"{path}: no such file; learn a bridge with `headsplat motion bridge`")
    try:
        archive = Npz(path)
        header = json.loads(archive.array("header").astype(np.uint8).tobytes().decode("utf-8"))
    except (DamagedNpz, KeyError, ValueError, RecursionError) as error:
        raise HeadsplatError(f"{path}: not a bridge of headsplat ({str(error)[:80]}); {_REMEDY}") from error
    if not isinstance(header, dict) or header.get("magic") != MAGIC:
        raise HeadsplatError(f"{path}: not a bridge of headsplat; {_REMEDY}")
    version = header.get("version")
    if type(version) is not int or not 1 <= version <= VERSION:
        raise HeadsplatError(
            f"{path}: version {shortened(version)}, this headsplat reads up to {VERSION}; update headsplat"
        )
    texts = {name: _texts(path, header, name) for name in ("keys", "inputs", "names")}
    size = {"D": len(texts["inputs"]), "M": len(texts["names"]) + POSE}
    arrays = {name: _array(path, archive, name, [size[axis] for axis in axes]) for name, axes in _ARRAYS.items()}
    frames, millimeters, pairs = header.get("frames"), header.get("millimeters"), header.get("pairs")
    if not isinstance(header.get("space"), str) or type(frames) is not int or not isinstance(pairs, list):
        raise HeadsplatError(f"{path}: header: no space, frames or pairs; {_REMEDY}")
    if millimeters is not None:
        numbers = millimeters if isinstance(millimeters, list) and len(millimeters) == 2 else ["?"]
        if not all(isinstance(value, (int, float)) for value in numbers):
            raise HeadsplatError(f"{path}: header: millimeters are not two numbers; {_REMEDY}")
        millimeters = (float(numbers[0]), float(numbers[1]))
    if not (arrays["scale"] > 0).all():
        raise HeadsplatError(f"{path}: scale: a coefficient without one; {_REMEDY}")
    known: dict[str, Any] = {**texts, **arrays}
    return LearnedBridge(space=header["space"], frames=frames, millimeters=millimeters, pairs=tuple(pairs), **known)


def _texts(path: Path, header: dict[str, Any], name: str) -> tuple[str, ...]:
    value = header.get(name)
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value) or len(set(value)) < len(value):
        raise HeadsplatError(f"{path}: header: {name} is not a list of different texts; {_REMEDY}")
    return tuple(value)


def _array(path: Path, archive: Npz, name: str, shape: list[int]) -> Floats:
    try:
        array = archive.array(name).astype(np.float64)
    except (DamagedNpz, KeyError) as error:
        raise HeadsplatError(f"{path}: {name}: {str(error)[:120]}; {_REMEDY}") from error
    if list(array.shape) != shape or not np.isfinite(array).all():
        raise HeadsplatError(
            f"{path}: {name}: expected {shape} finite numbers, found {list(array.shape)[:6]}; {_REMEDY}"
        )
    return array
