"""Gaze of a speaking face: fixations on the listener, small shifts, glances away, and the eyes' weights."""

from __future__ import annotations

import numpy as np

from avatar.performance.speech.gestures import Array
from avatar.performance.speech.phones import SILENCE, Speech
from avatar.performance.speech.pulses import minimum_jerk

#: Main sequence of saccades: seconds per degree and at 0 degrees (Bahill, Clark, Stark 1975; Carpenter 1988).
PER_DEGREE = 0.0022
AT_ZERO = 0.021
#: Fixations are log-normal: median seconds and standard deviation of the logarithm while the eyes are on the listener,
#: and median seconds of a glance away (Lee, Badler, Badler, Eyes Alive, 2002).
_FIXATION = 1.1
_SPREAD = 0.6
_AWAY = 0.6
_SHORTEST = 0.25
#: Probability of a glance away at a fixation's end, in a pause more often (Kendon 1967), its degrees right or left and
#: up or down; degrees between points on the listener's face.
_GLANCE = 0.1
_GLANCE_IN_PAUSE = 0.3
_GLANCE_DEGREES = ((4.0, 10.0), (-5.0, 4.0))
_ON_FACE = (1.3, 0.9)
#: Degrees of an eye at a weight of 1 of the embedded head's expressions: up, down, to the sides; and the limit.
UP = 22.0
DOWN = 26.0
SIDE = 28.0
#: Part of the head's rotation that the eyes compensate (vestibulo-ocular reflex).
_REFLEX = 0.9


def saccades(speech: Speech, times: Array, random: np.random.Generator) -> Array:
    """Direction of gaze from the listener [T,2] in degrees, down and to the person's left, at `times` [T] seconds."""
    starts, targets = _fixations(speech, random)
    row = np.searchsorted(starts, times, side="right") - 1
    before = targets[np.maximum(row - 1, 0)]
    after = targets[row]
    length = AT_ZERO + PER_DEGREE * np.linalg.norm(after - before, axis=1)
    part = minimum_jerk((times - starts[row]) / length)
    return before + (after - before) * part[:, None]


def _fixations(speech: Speech, random: np.random.Generator) -> tuple[Array, Array]:
    """Starts [n] in seconds of fixations, the first at 0, and their directions [n,2]."""
    pauses = np.array([(p.start, p.end) for p in speech.phones if p.name == SILENCE and p.end - p.start > 0.25])
    pauses = pauses.reshape(-1, 2)
    starts = [0.0]
    targets = [np.zeros(2)]
    time = 0.0
    away = False
    while True:
        median = _AWAY if away else _FIXATION
        time += max(median * float(np.exp(random.normal(0, _SPREAD))), _SHORTEST)
        if time >= speech.seconds:
            return np.array(starts), np.array(targets)
        paused = bool(((pauses[:, 0] - 0.3 <= time) & (time <= pauses[:, 1])).any())
        away = not away and random.random() < (_GLANCE_IN_PAUSE if paused else _GLANCE)
        side, down = (random.uniform(*span) for span in _GLANCE_DEGREES)
        near = random.normal(0, _ON_FACE[1]), random.normal(0, _ON_FACE[0])
        starts.append(time)
        targets.append(np.array([down, side * random.choice([-1, 1])] if away else np.clip(near, -2.5, 2.5)))


def gaze_weights(gaze: Array, head: Array) -> dict[str, Array]:
    """ARKit weights by name for eyes that look into a direction while the head turns; lids follow the weights.

    Args:
        gaze: [T,2] degrees from straight at the listener, down and to the person's left.
        head: [T,3] degrees of the head's rotation about x (down), y (to its left) and z.
    """
    down, left = (gaze - _REFLEX * head[:, :2]).T
    return {
        **{f"eyeLookDown{side}": (down / DOWN).clip(0, 1) for side in ("Left", "Right")},
        **{f"eyeLookUp{side}": (-down / UP).clip(0, 1) for side in ("Left", "Right")},
        "eyeLookOutLeft": (left / SIDE).clip(0, 1),
        "eyeLookInRight": (left / SIDE).clip(0, 1),
        "eyeLookInLeft": (-left / SIDE).clip(0, 1),
        "eyeLookOutRight": (-left / SIDE).clip(0, 1),
    }
