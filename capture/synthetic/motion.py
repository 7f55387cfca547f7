"""What the procedural person does in front of the camera: turns, talks, blinks, looks about, pulls faces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter1d

from avatar.types import JOINT_NAMES, NECK, ROOT
from capture.synthetic.scripts import DEMO, HELD_OUT, HELD_OUT_FROM, HELD_OUT_JAW, Script

Array = NDArray[np.float32]

_VISEMES: tuple[dict[str, float], ...] = (
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

_VERGENCE = np.radians(3.8)  # each eye turns in to look at a phone at arm's length
_EYE_REACH = np.radians(26.0)  # of an eyeLook weight of 1


@dataclass(frozen=True)
class Performance:
    """T frames of motion, relative to a camera that does not move."""

    expression: Array  # [T,E]
    joint_rot: Array  # [T,J,3] radians
    position: Array  # [T,3] meters, where the torso sways to, without the place in front of the camera
    handheld: Array  # [T,3] the phone's own turn about x and y (radians) and its step in depth (meters)


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
    """Act `frames` frames at `fps` for a head whose expressions are called `names`.

    With `held_out` whole expressions and wide turns occur only in the last part (`scripts.HELD_OUT_FROM`).
    """
    script = script.held_out() if held_out else script
    phase = np.linspace(0, 1, frames) if frames > 1 else np.zeros(1)
    seconds = np.arange(frames) / fps
    stage = _Stage(names, frames)
    _pull_faces(stage, phase, script)
    _talk(stage, phase, fps, rng, script)
    if held_out:
        _keep_back(stage, phase)
    degrees = PchipInterpolator(script.head[:, 0], script.head[:, 1:])(phase)
    degrees += _wander(frames, fps, 0.45, rng, 3) * np.array([1.6, 1.2, 0.9])
    turn = np.radians(degrees)
    _blink(stage, phase, fps, rng)
    _gaze(stage, turn, fps, rng)
    torso = _lagging(turn, fps) * np.array([0.22, 0.10, 0.18]) + _wander(frames, fps, 1.2, rng, 3) * 0.008
    joints = np.zeros((frames, len(JOINT_NAMES), 3))
    joints[:, ROOT] = torso[:, [1, 0, 2]]
    joints[:, NECK] = (turn - torso)[:, [1, 0, 2]]
    breath = 0.0015 * np.sin(2 * np.pi * 0.27 * seconds)
    position = _wander(frames, fps, 1.0, rng, 3) * np.array([0.006, 0.003, 0.010])
    position[:, 1] += breath
    shake = handheld * (_wander(frames, fps, 0.9, rng, 3) * np.array([0.006, 0.006, 0.006]))
    shake += handheld * _wander(frames, fps, 0.13, rng, 3) * np.array([0.0012, 0.0012, 0.0004])
    return Performance(stage.weights(), *(part.astype(np.float32) for part in (joints, position, shake)))


class _Stage:
    """Expression weights by stem: `eyeBlink` stands for both eyes where the head has no such name."""

    def __init__(self, names: tuple[str, ...], frames: int) -> None:
        self._rows = {name: row for row, name in enumerate(names)}
        self._table = np.zeros((frames, len(names)))
        self.frames = frames

    def add(self, stem: str, weight: NDArray[np.float64], side: str = "") -> None:
        """Raise an expression by `weight` [T]; left and right together unless `side` names one."""
        for row in self._columns(stem, side):
            self._table[:, row] += weight

    def limit(self, stem: str, frames: NDArray[np.bool_], most: float) -> None:
        """Keep an expression, both sides, at `most` in the `frames` [T] marked."""
        for row in self._columns(stem):
            self._table[frames, row] = np.minimum(self._table[frames, row], most)

    def _columns(self, stem: str, side: str = "") -> list[int]:
        names = [stem + side] if stem + side in self._rows else [stem + "Left", stem + "Right"]
        return [self._rows[name] for name in names]

    def weights(self) -> Array:
        return np.clip(self._table, 0, 1).astype(np.float32)


def _wander(frames: int, fps: float, seconds: float, rng: np.random.Generator, columns: int) -> NDArray[np.float64]:
    """Smooth random paths [T,columns] of about unit size that start at zero; `seconds` is their slowness."""
    pad = int(4 * seconds * fps) + 1
    sigma = seconds * fps
    path = gaussian_filter1d(rng.standard_normal((frames + 2 * pad, columns)), sigma, axis=0)[pad:-pad]
    path *= np.sqrt(2 * sigma * np.sqrt(np.pi))
    return path - path[:1]


def _lagging(turn: NDArray[np.float64], fps: float) -> NDArray[np.float64]:
    """The torso follows the head late: a one-pole low-pass of 0.35 seconds."""
    mix = 1 - np.exp(-1 / (0.35 * fps))
    followed = np.empty_like(turn)
    state = turn[0]
    for frame, target in enumerate(turn):
        state = state + mix * (target - state)
        followed[frame] = state
    return followed


def _window(phase: NDArray[np.float64], start: float, end: float) -> NDArray[np.float64]:
    """Rises over the first third of start..end, holds, and falls over the last third."""
    edge = (end - start) / 3
    rise = np.clip((phase - start) / edge, 0, 1)
    fall = np.clip((end - phase) / edge, 0, 1)
    level = np.minimum(rise, fall)
    return level * level * (3 - 2 * level)


def _pull_faces(stage: _Stage, phase: NDArray[np.float64], script: Script) -> None:
    for start, end, strength, weights in script.faces:
        for stem, weight in weights.items():
            lead = 0.004 if stem.startswith("brow") else 0.0  # brows move before the mouth
            stage.add(stem, strength * weight * _window(phase + lead, start, end))


def _talk(stage: _Stage, phase: NDArray[np.float64], fps: float, rng: np.random.Generator, script: Script) -> None:
    stems = sorted({stem for viseme in _VISEMES for stem in viseme})
    table = np.zeros((stage.frames, len(stems)))
    frame = 0
    while frame < stage.frames:
        span = max(1, round(rng.uniform(0.08, 0.17) * fps))
        viseme = _VISEMES[rng.integers(len(_VISEMES))]
        effort = rng.uniform(0.7, 1.15)
        for stem, weight in viseme.items():
            table[frame : frame + span, stems.index(stem)] = effort * weight
        frame += span
    speaking = np.ones(stage.frames)
    for start, end in script.silent:
        speaking[(phase >= start) & (phase < end)] = 0
    smooth = gaussian_filter1d(table * speaking[:, None], 0.045 * fps, axis=0)
    for column, stem in enumerate(stems):
        stage.add(stem, smooth[:, column])
    stage.add("browInnerUp", 0.25 * speaking * np.clip(_wander(stage.frames, fps, 0.35, rng, 1)[:, 0], 0, 1))


def _keep_back(stage: _Stage, phase: NDArray[np.float64]) -> None:
    """Take what is held out away from the part before it."""
    early = phase < HELD_OUT_FROM
    for stem in HELD_OUT:
        stage.limit(stem, early, 0.0)
    stage.limit("jawOpen", early, HELD_OUT_JAW)


def _blink(stage: _Stage, phase: NDArray[np.float64], fps: float, rng: np.random.Generator) -> None:
    """Blinks every two to four seconds: fast to close, slower to open, the two lids a little apart in time."""
    seconds = np.arange(stage.frames) / fps
    length = stage.frames / fps
    at = rng.uniform(0.9, 1.3) * min(1.0, length / 3)
    while at < length:
        for side, late in (("Left", 0.0), ("Right", rng.uniform(0.0, 0.035))):
            since = seconds - at - late
            closing = np.clip((since + 0.10) / 0.09, 0, 1)
            opening = np.clip((0.22 - since) / 0.19, 0, 1)
            stage.add("eyeBlink", np.minimum(closing, opening) ** 1.3, side)
        at += rng.uniform(1.8, 3.6)


def _gaze(stage: _Stage, turn: NDArray[np.float64], fps: float, rng: np.random.Generator) -> None:
    """Eyes keep to the camera while the head turns, with quick jumps aside now and then."""
    target = np.zeros((stage.frames, 2))
    frame = round(1.2 * fps)
    while frame < stage.frames:
        hold = round(rng.uniform(0.35, 1.3) * fps)
        if rng.random() < 0.55:
            target[frame : frame + hold] = np.radians(rng.normal(0, (11, 6)))
        frame += hold
    jump = gaussian_filter1d(target, 0.018 * fps, axis=0)
    yaw = np.clip(jump[:, 0] - 0.75 * turn[:, 0], -_EYE_REACH, _EYE_REACH) / _EYE_REACH
    pitch = np.clip(jump[:, 1] - 0.7 * turn[:, 1], -_EYE_REACH, _EYE_REACH) / _EYE_REACH
    for side, outward in (("Left", 1.0), ("Right", -1.0)):
        away = outward * yaw - _VERGENCE / _EYE_REACH
        stage.add("eyeLookOut", np.clip(away, 0, None), side)
        stage.add("eyeLookIn", np.clip(-away, 0, None), side)
    stage.add("eyeLookDown", np.clip(pitch, 0, None))
    stage.add("eyeLookUp", np.clip(-pitch, 0, None))
