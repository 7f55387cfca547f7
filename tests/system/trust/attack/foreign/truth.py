"""The motion that the files show, and the judge of what was read: right, or with a note on what differs."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from avatar.head.arkit import ARKIT_52
from avatar.motion.arrays import MotionArrays
from avatar.types import JAW, LEFT_EYE, NECK, RIGHT_EYE, ROOT, Motion
from tests.system.trust.attack.cases import REFUSED, WRONG, Outcome

Floats = NDArray[np.floating]

#: What is judged. Each is right, or a note names it.
ASPECTS = ("rows", "times", "expressions", "head", "neck", "jaw", "eyes", "place")
_JOINTS = {"head": (ROOT,), "neck": (NECK,), "jaw": (JAW,), "eyes": (LEFT_EYE, RIGHT_EYE)}
#: Largest errors: seconds, weights, radians, meters.
_TIME, _WEIGHT, _ANGLE, _PLACE = 0.005, 0.02, 0.02, 0.005
#: Values that vary by less do not move.
_STILL = 1e-4


@dataclass
class Truth:
    """What a file shows, in the order of time, in our axes and units."""

    time: Floats  # [T] seconds, from any origin
    weights: dict[str, Floats]  # name -> [T]
    joints: dict[int, Floats] = field(default_factory=dict)  # joint -> axis-angle [T,3]
    place: Floats | None = None  # [T,3] meters, from any origin
    #: Aspect -> pattern of the note that must be there where it is not right. Without a pattern it must be right.
    admits: dict[str, str] = field(default_factory=dict)

    def admit(self, patterns: Mapping[str, str]) -> None:
        """Accept these notes too, by aspect."""
        for aspect, pattern in patterns.items():
            self.admits[aspect] = f"{self.admits[aspect]}|{pattern}" if aspect in self.admits else pattern

    def rows(self, kept: NDArray[np.generic]) -> Truth:
        """These rows, by number or by a mask."""
        weights = {name: values[kept] for name, values in self.weights.items()}
        joints = {joint: values[kept] for joint, values in self.joints.items()}
        place = None if self.place is None else self.place[kept]
        return Truth(self.time[kept], weights, joints, place, self.admits)


def generator(name: str) -> np.random.Generator:
    """The generator of a named case."""
    return np.random.default_rng(zlib.crc32(name.encode()))


def waves(random: np.random.Generator, count: int, time: Floats) -> Floats:
    """[T,count] in -1..1: slow movements, each of its own rate and phase."""
    rates = random.uniform(0.7, 1.9, count)
    phases = random.uniform(0, 2 * np.pi, count)
    return np.sin(2 * np.pi * time[:, None] * rates + phases)


def arkit_truth(random: np.random.Generator, time: Floats) -> Truth:
    """A face that speaks, blinks, smiles and looks around while its head turns by up to 20 degrees."""
    moves = 0.5 + 0.5 * waves(random, len(ARKIT_52), time)
    most = random.uniform(0.3, 0.9, len(ARKIT_52))
    weights = {name: most[column] * moves[:, column] for column, name in enumerate(ARKIT_52)}
    weights["jawOpen"] = 0.8 * moves[:, ARKIT_52.index("jawOpen")]
    turn = waves(random, 3, time) * np.radians([20.0, 9.0, 6.0])[[1, 0, 2]]
    return Truth(time, weights, {ROOT: turn})


def must_be_read(outcome: Outcome) -> Outcome:
    """The outcome of a file that no reader may refuse."""
    return Outcome(WRONG, f"refused: {outcome.detail}") if outcome.kind == REFUSED else outcome


def fault(found: Motion | MotionArrays, truth: Truth, notes: Sequence[str]) -> str | None:
    """The first thing that is wrong in what was read and that no note names; None where all is right or named."""
    for aspect, words in _wrong(found, truth):
        pattern = truth.admits.get(aspect)
        if pattern is None or not any(re.search(pattern, note) for note in notes):
            return f"{words} without a word about it; notes: {'; '.join(notes) or 'none'}"
        if aspect == "rows":
            return None  # the rows cannot be compared
    return None


def _wrong(found: Motion | MotionArrays, truth: Truth) -> list[tuple[str, str]]:
    """Aspects that are not right, each in words."""
    time = np.asarray(found.time, np.float64)
    if len(time) != len(truth.time):
        return [("rows", f"{len(time)} frames of {len(truth.time)}")]
    wrong = []
    error = float(np.abs((time - time[0]) - (truth.time - truth.time[0])).max())
    if error > _TIME:
        wrong.append(("times", f"times wrong by up to {error:.3g} s"))
    columns = {name: np.asarray(found.weights, np.float64)[:, at] for at, name in enumerate(found.names)}
    nothing = np.zeros(len(time))
    wrong += _first(
        "expressions",
        {name: (columns.get(name, nothing), known) for name, known in truth.weights.items()},
        _WEIGHT,
    )
    joints = np.asarray(found.joint_rot, np.float64)
    for aspect, members in _JOINTS.items():
        wrong += _first(
            aspect,
            {f"joint {joint}": (joints[:, joint], truth.joints[joint]) for joint in members if joint in truth.joints},
            _ANGLE,
        )
    if truth.place is not None:
        place = np.asarray(found.translation, np.float64)
        wrong += _first("place", {"position": (place - place.mean(0), truth.place - truth.place.mean(0))}, _PLACE)
    return wrong


def _first(aspect: str, pairs: Mapping[str, tuple[Floats, Floats]], most: float) -> list[tuple[str, str]]:
    """The first value that differs from the truth by more than `most`."""
    for name, (seen, known) in pairs.items():
        error = float(np.abs(seen - known).max())
        if error <= most:
            continue
        moves = float(np.ptp(seen, axis=0).max())
        scale = float((seen * known).sum() / (known * known).sum())
        how = "is motionless" if moves < _STILL else f"differs by up to {error:.3g} (scale {scale:.3g})"
        return [(aspect, f"{aspect}: {name} {how}")]
    return []
