"""Speech to the motion of a face: visemes, coarticulation, contact of the lips, acting."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from avatar.common.frame_rate import MAX_FPS
from avatar.errors import HeadsplatError
from avatar.head import load_head
from avatar.head.arkit import ARKIT_52
from avatar.motion.files.names import ARKIT
from avatar.motion.lip_gap import LipGap
from avatar.performance.speech.acting import Acting, acted
from avatar.performance.speech.coarticulation import Lips, blended, solved
from avatar.performance.speech.gestures import Array, demands_of, gestures_of
from avatar.performance.speech.phones import Speech
from avatar.performance.speech.style import SpeakingStyle
from avatar.performance.speech.visemes import CONTROLS, JAW_CONTROLS, VisemeTable
from avatar.types import JOINT_NAMES, ROOT, Motion

#: Frames per second where nothing else is stated: a closure of a fast speaker lasts 50 ms.
DEFAULT_FPS = 60.0
#: Upper limit of jaw, lips and acting.
MOST = 1.5
#: Most frames, against a mistyped rate.
_MAX_FRAMES = 5_000_000
#: Part of a limit up to which a weight is not changed; above it is compressed smoothly.
_KNEE = 0.7


@dataclass(frozen=True)
class SpeakOptions:
    """How a face speaks."""

    fps: float = DEFAULT_FPS
    """frames per second; frame k is at k / fps seconds"""
    seed: int = 0
    """of the acting; jaw and lips do not depend on it"""
    jaw: float = 1.0
    """factor of the jaw, 0 to 1.5"""
    lips: float = 1.0
    """factor of the lips, 0 to 1.5"""
    acting: float = 1.0
    """factor of gaze, brows and head motion, 0 to 1.5; at 0 there are no blinks either"""
    style: SpeakingStyle | None = None
    """of one person; None: the default"""
    limits: Mapping[str, float] | None = None
    """largest weight by ARKit name, as `TrainedRange.of_expressions` has it; None: 1"""
    visemes: VisemeTable | None = None
    """None: the built-in table"""

    def check(self) -> None:
        """Raise HeadsplatError for a value out of range."""
        if not 1 <= self.fps <= MAX_FPS:
            raise HeadsplatError(f"speaking: expected a rate of 1 to {MAX_FPS:g} fps, got {self.fps:g}")
        for name in ("jaw", "lips", "acting"):
            if not 0 <= getattr(self, name) <= MOST:
                raise HeadsplatError(f"speaking: {name}: expected 0 to {MOST:g}, got {getattr(self, name):g}")
        if not 0 <= self.seed < 2**32:
            raise HeadsplatError(f"speaking: expected a seed of 0 to {2**32 - 1}, got {self.seed}")


def speak(speech: Speech, options: SpeakOptions | None = None) -> Motion:
    """The motion of a face that speaks `speech`: ARKit weights and head rotation.

    Frame k is at k / fps seconds; the last one covers the end of the sound. In every frame inside a bilabial phone, and
    in the frame nearest to its middle, the lip gap of the embedded head is below 0.

    Raises:
        HeadsplatError: an option out of range, or more frames than a motion may have.
    """
    options = options or SpeakOptions()
    options.check()
    count = max(math.ceil(speech.seconds * options.fps - 1e-6), 1)
    if count > _MAX_FRAMES:
        raise HeadsplatError(
            f"speaking: {speech.seconds:.0f} s at {options.fps:g} fps are {count} frames, at most {_MAX_FRAMES} are "
            "made; give a lower rate or a shorter sound"
        )
    times = np.arange(count) / options.fps
    weights = np.zeros((count, len(ARKIT_52)), np.float32)
    mouth = mouth_weights(speech, times, options)
    style = options.style or SpeakingStyle()
    for (name, columns), values in zip(CONTROLS.items(), mouth.T, strict=True):
        for column in columns:
            weights[:, column] = values * style.side(name, ARKIT_52[column])
    joint_rot = np.zeros((count, len(JOINT_NAMES), 3), np.float32)
    if options.acting > 0:
        performance = acted(speech, times, Acting(options.seed, options.acting, style))
        for name, values in performance.weights.items():
            weights[:, ARKIT_52.index(name)] = values
        joint_rot[:, ROOT] = performance.head
    return Motion(
        torch.from_numpy(times),
        ARKIT_52,
        torch.from_numpy(weights),
        ARKIT,
        torch.from_numpy(joint_rot),
        torch.zeros(count, 3),
        notes=speech.notes,
        resting="zero",
    )


def mouth_weights(speech: Speech, times: Array, options: SpeakOptions) -> Array:
    """Weights [T,C] of CONTROLS at `times` [T] seconds, evenly spaced."""
    table = options.visemes or VisemeTable.load()
    style = options.style or SpeakingStyle()
    weights = blended(gestures_of(speech, table), times)
    factors = [options.jaw if name in JAW_CONTROLS else options.lips for name in CONTROLS]
    weights = weights * factors * [style.gain(name) for name in CONTROLS]
    if options.limits is not None:
        weights = _limited(weights, options.limits)
    return solved(weights, demands_of(speech, table), times, embedded_lips())


@cache
def embedded_lips() -> Lips:
    """The effect of the controls of the mouth on the lip gap of the embedded head."""
    head = load_head()
    gap = LipGap.of(head)
    assert gap is not None, "the embedded head has landmarks"
    effect = dict(zip(head.expression_names, gap.opening.double().tolist(), strict=True))
    sums = [sum(effect[ARKIT_52[column]] for column in columns) for columns in CONTROLS.values()]
    return Lips(float(gap.at_rest), np.array(sums))


def _limited(weights: Array, limits: Mapping[str, float]) -> Array:
    """`weights` [T,C] below the limit of each control: compressed above _KNEE of it, with a continuous slope."""
    most = np.array([min(limits.get(ARKIT_52[column], 1.0) for column in columns) for columns in CONTROLS.values()])
    most = most.clip(1e-3, 1)
    knee = _KNEE * most
    above = np.maximum(weights - knee, 0)
    return np.asarray(np.minimum(weights, knee) + (most - knee) * np.tanh(above / (most - knee)))
