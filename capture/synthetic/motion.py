"""Motion of the procedural person: head rotation, speech, blinks, gaze, facial expressions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter1d

from avatar.types import JOINT_NAMES, NECK, ROOT
from capture.synthetic.scripts import DEMO, HELD_OUT, HELD_OUT_FROM, HELD_OUT_JAW, Script

Array = NDArray[np.float32]

#: Weights by stem of the sounds of speech.
VISEMES: tuple[dict[str, float], ...] = (
    {"jawOpen": 0.38, "mouthLowerDown": 0.22, "mouthStretch": 0.08},  # a
    {"jawOpen": 0.12, "mouthSmile": 0.22, "mouthStretch": 0.30, "mouthLowerDown": 0.30, "mouthUpperUp": 0.15},  # e
    {"jawOpen": 0.28, "mouthFunnel": 0.50, "mouthPucker": 0.12},  # o
    {"jawOpen": 0.10, "mouthPucker": 0.55, "mouthFunnel": 0.25},  # u
    {"mouthPress": 0.40, "mouthRollLower": 0.20, "mouthRollUpper": 0.15},  # m
    {"jawOpen": 0.06, "mouthRollLower": 0.35, "mouthUpperUp": 0.25},  # f
    {"jawOpen": 0.22, "mouthLowerDown": 0.18},  # l
    {"jawOpen": 0.05, "mouthSmile": 0.10, "mouthLowerDown": 0.28, "mouthStretch": 0.20},  # s
    {},  # breath
)

_VERGENCE = np.radians(3.8)  # inward rotation of each eye for a phone at arm's length
_EYE_RANGE = np.radians(26.0)  # eye rotation at an eyeLook weight of 1


@dataclass(frozen=True)
class Performance:
    """T frames of motion, relative to a static camera."""

    expression: Array  # [T,E]
    joint_rot: Array  # [T,J,3] radians
    position: Array  # [T,3] meters, sway of the torso, without its distance from the camera
    handheld: Array  # [T,3] rotation of the phone about x and y (radians) and its translation in depth (meters)


def perform(
    names: tuple[str, ...],
    frames: int,
    fps: float,
    handheld: float,
    rng: np.random.Generator,
    script: Script = DEMO,
    *,
    held_out: bool = False,
) -> Performance:
    """Generate the motion of a performance.

    Args:
        names: expressions of the head [E].
        frames: number of frames T.
        fps: frames per second.
        handheld: strength of the camera shake; 0 is a tripod.
        rng: random source.
        script: what is performed.
        held_out: whether some expressions and wide rotations occur only in the last part (`scripts.HELD_OUT_FROM`).
    """
    if script.still:
        return _at_rest(names, frames)
    script = script.held_out() if held_out else script
    phase = np.linspace(0, 1, frames) if frames > 1 else np.zeros(1)
    seconds = np.arange(frames) / fps
    weights = _WeightTable(names, frames)
    _add_faces(weights, phase, script)
    _add_speech(weights, phase, fps, rng, script)
    if held_out:
        _hold_out(weights, phase)
    degrees = PchipInterpolator(script.head[:, 0], script.head[:, 1:])(phase)
    degrees += smooth_noise(frames, fps, 0.45, rng, 3) * np.array([1.6, 1.2, 0.9])
    turn = np.radians(degrees)
    _add_blinks(weights, fps, rng)
    _add_gaze(weights, turn, fps, rng)
    torso = _low_passed(turn, fps) * np.array([0.22, 0.10, 0.18]) + smooth_noise(frames, fps, 1.2, rng, 3) * 0.008
    joints = np.zeros((frames, len(JOINT_NAMES), 3))
    joints[:, ROOT] = torso[:, [1, 0, 2]]
    joints[:, NECK] = (turn - torso)[:, [1, 0, 2]]
    breath = 0.0015 * np.sin(2 * np.pi * 0.27 * seconds)
    position = smooth_noise(frames, fps, 1.0, rng, 3) * np.array([0.006, 0.003, 0.010])
    position[:, 1] += breath
    shake = handheld * (smooth_noise(frames, fps, 0.9, rng, 3) * np.array([0.006, 0.006, 0.006]))
    shake += handheld * smooth_noise(frames, fps, 0.13, rng, 3) * np.array([0.0012, 0.0012, 0.0004])
    return Performance(weights.clip(), *(values.astype(np.float32) for values in (joints, position, shake)))


def _at_rest(names: tuple[str, ...], frames: int) -> Performance:
    """A person who sits still, before a camera whose motion is its own."""
    shapes = (len(names),), (len(JOINT_NAMES), 3), (3,), (3,)
    return Performance(*(np.zeros((frames, *shape), np.float32) for shape in shapes))


class _WeightTable:
    """Expression weights by stem: `eyeBlink` means both eyes where the head has no such name."""

    def __init__(self, names: tuple[str, ...], frames: int) -> None:
        self._rows = {name: row for row, name in enumerate(names)}
        self._table = np.zeros((frames, len(names)))
        self.frames = frames

    def add(self, stem: str, weight: NDArray[np.float64], side: str = "") -> None:
        """Add `weight` [T] to an expression, left and right unless `side` selects one."""
        for row in self._columns(stem, side):
            self._table[:, row] += weight

    def limit(self, stem: str, frames: NDArray[np.bool_], maximum: float) -> None:
        """Limit an expression, both sides, to `maximum` in the frames of the mask [T]."""
        for row in self._columns(stem):
            self._table[frames, row] = np.minimum(self._table[frames, row], maximum)

    def _columns(self, stem: str, side: str = "") -> list[int]:
        names = [stem + side] if stem + side in self._rows else [stem + "Left", stem + "Right"]
        return [self._rows[name] for name in names]

    def clip(self) -> Array:
        """The weights [T,E], clipped to 0..1."""
        return np.clip(self._table, 0, 1).astype(np.float32)


def smooth_noise(
    frames: int, fps: float, seconds: float, rng: np.random.Generator, columns: int
) -> NDArray[np.float64]:
    """Smooth noise [T,columns] of about unit variance that starts at zero; `seconds` is the sigma of its kernel."""
    pad = int(4 * seconds * fps) + 1
    sigma = seconds * fps
    path = gaussian_filter1d(rng.standard_normal((frames + 2 * pad, columns)), sigma, axis=0)[pad:-pad]
    path *= np.sqrt(2 * sigma * np.sqrt(np.pi))
    return path - path[:1]


def _low_passed(turn: NDArray[np.float64], fps: float) -> NDArray[np.float64]:
    """Rotation of the torso, which follows the head with a delay: a one-pole low-pass filter of 0.35 seconds."""
    mix = 1 - np.exp(-1 / (0.35 * fps))
    followed = np.empty_like(turn)
    state = turn[0]
    for frame, target in enumerate(turn):
        state = state + mix * (target - state)
        followed[frame] = state
    return followed


def _window(phase: NDArray[np.float64], start: float, end: float) -> NDArray[np.float64]:
    """Window [T]: smooth rise over the first third of start..end, 1, smooth fall over the last third."""
    edge = (end - start) / 3
    rise = np.clip((phase - start) / edge, 0, 1)
    fall = np.clip((end - phase) / edge, 0, 1)
    level = np.minimum(rise, fall)
    return level * level * (3 - 2 * level)


def _add_faces(table: _WeightTable, phase: NDArray[np.float64], script: Script) -> None:
    for start, end, strength, weights in script.faces:
        for stem, weight in weights.items():
            lead = 0.004 if stem.startswith("brow") else 0.0  # brows move earlier than the mouth
            table.add(stem, strength * weight * _window(phase + lead, start, end))


def _add_speech(
    weights: _WeightTable, phase: NDArray[np.float64], fps: float, rng: np.random.Generator, script: Script
) -> None:
    """Random visemes, except in the silent parts of the script."""
    stems = sorted({stem for viseme in VISEMES for stem in viseme})
    table = np.zeros((weights.frames, len(stems)))
    frame = 0
    while frame < weights.frames:
        span = max(1, round(rng.uniform(0.08, 0.17) * fps))
        viseme = VISEMES[rng.integers(len(VISEMES))]
        effort = rng.uniform(0.7, 1.15)
        for stem, weight in viseme.items():
            table[frame : frame + span, stems.index(stem)] = effort * weight
        frame += span
    speaking = np.ones(weights.frames)
    for start, end in script.silent:
        speaking[(phase >= start) & (phase < end)] = 0
    smooth = gaussian_filter1d(table * speaking[:, None], 0.045 * fps, axis=0)
    for column, stem in enumerate(stems):
        weights.add(stem, smooth[:, column])
    weights.add("browInnerUp", 0.25 * speaking * np.clip(smooth_noise(weights.frames, fps, 0.35, rng, 1)[:, 0], 0, 1))


def _hold_out(table: _WeightTable, phase: NDArray[np.float64]) -> None:
    """Remove held-out expressions from the part before `HELD_OUT_FROM`."""
    early = phase < HELD_OUT_FROM
    for stem in HELD_OUT:
        table.limit(stem, early, 0.0)
    table.limit("jawOpen", early, HELD_OUT_JAW)


def _add_blinks(table: _WeightTable, fps: float, rng: np.random.Generator) -> None:
    """Blinks every two to four seconds: closing faster than opening, with a small delay between the eyes."""
    seconds = np.arange(table.frames) / fps
    length = table.frames / fps
    at = rng.uniform(0.9, 1.3) * min(1.0, length / 3)
    while at < length:
        for side, delay in (("Left", 0.0), ("Right", rng.uniform(0.0, 0.035))):
            since = seconds - at - delay
            closing = np.clip((since + 0.10) / 0.09, 0, 1)
            opening = np.clip((0.22 - since) / 0.19, 0, 1)
            table.add("eyeBlink", np.minimum(closing, opening) ** 1.3, side)
        at += rng.uniform(1.8, 3.6)


def _add_gaze(table: _WeightTable, turn: NDArray[np.float64], fps: float, rng: np.random.Generator) -> None:
    """Eyes that stay on the camera while the head rotates, with occasional saccades."""
    target = np.zeros((table.frames, 2))
    frame = round(1.2 * fps)
    while frame < table.frames:
        span = max(1, round(rng.uniform(0.35, 1.3) * fps))
        if rng.random() < 0.55:
            target[frame : frame + span] = np.radians(rng.normal(0, (11, 6)))
        frame += span
    saccades = gaussian_filter1d(target, 0.018 * fps, axis=0)
    yaw = np.clip(saccades[:, 0] - 0.75 * turn[:, 0], -_EYE_RANGE, _EYE_RANGE) / _EYE_RANGE
    pitch = np.clip(saccades[:, 1] - 0.7 * turn[:, 1], -_EYE_RANGE, _EYE_RANGE) / _EYE_RANGE
    for side, outward in (("Left", 1.0), ("Right", -1.0)):
        away = outward * yaw - _VERGENCE / _EYE_RANGE
        table.add("eyeLookOut", np.clip(away, 0, None), side)
        table.add("eyeLookIn", np.clip(-away, 0, None), side)
    table.add("eyeLookDown", np.clip(pitch, 0, None))
    table.add("eyeLookUp", np.clip(-pitch, 0, None))
