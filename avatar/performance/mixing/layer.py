"""One layer: its source on the clock of a stack, and how it combines with the layers below."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from avatar.errors import HeadsplatError
from avatar.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle, mean_rotation
from avatar.motion.edit import Interpolation, gaps, sampled, smooth, with_gap_note
from avatar.performance.mixing.envelope import faded
from avatar.performance.mixing.mouth import mouth_model
from avatar.performance.mixing.regions import NAMES, TRANSLATION, Mask
from avatar.performance.mixing.sources import STATIC, Source
from avatar.performance.mixing.stack_file import LayerSpec
from avatar.types import NECK, ROOT

#: Seconds: times closer than this are equal up to rounding.
_SAME_TIME = 1e-6


@dataclass(eq=False)
class Canvas:
    """What the layers so far have made of T frames."""

    weights: np.ndarray  # [T,len(NAMES)]
    joint_rot: Tensor  # [T,J,3] axis-angle, radians, float64
    translation: np.ndarray  # [T,3] meters
    touched: np.ndarray  # [len(NAMES)] int, number of layers


@dataclass(frozen=True, eq=False)
class Frames:
    """A layer's source at T frames of the stack."""

    weights: np.ndarray  # [T,len(NAMES)], with gain
    joint_rot: Tensor  # [T,J,3] axis-angle, radians, float64
    translation: np.ndarray  # [T,3] meters
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer with its source."""

    spec: LayerSpec
    source: Source

    @property
    def mode(self) -> Literal["replace", "add", "max"]:
        """How it combines with what is below."""
        if self.spec.mode != "auto":
            return self.spec.mode
        face = self.source.kind in STATIC or (self.source.is_static and self.spec.frame is not None)
        return "add" if face else "replace"

    @property
    def mask(self) -> Mask:
        """Where it acts: only where its source has something."""
        default = "mouth" if self.source.kind == "speech" else "all"
        mask = Mask.of(self.spec.regions if self.spec.regions is not None else default)
        names = np.array([name in self.source.motion.names for name in NAMES])
        return Mask(mask.names * names, mask.joints * self.source.has_pose)

    @property
    def span(self) -> tuple[float, float]:
        """First and last second of the source that is shown.

        Raises:
            HeadsplatError: the trim leaves nothing.
        """
        time = self.source.motion.time
        length = float(time[-1] - time[0])
        first = self.spec.trim[0] if self.spec.trim else 0.0
        last = min(self.spec.trim[1], length) if len(self.spec.trim) == 2 else length
        if first > length + _SAME_TIME:
            raise HeadsplatError(f"{self.spec.label}: `trim` starts at {first:g} s; the source lasts {length:.3f} s")
        return first, last

    @property
    def end(self) -> float:
        """Second of the stack at which the layer ends; infinite for a face that stays, a loop, or a held frame."""
        first, last = self.span
        if self.source.is_static or self.spec.loop or self.spec.hold:
            return math.inf
        return self.spec.start + (last - first) / self.spec.speed

    @property
    def natural_end(self) -> float:
        """`end`, or for a face that stays the end of its pulses; infinite without any."""
        pulse = self.spec.pulse
        if math.isinf(self.end) and pulse is not None and pulse.every == 0:
            return self.spec.start + pulse.end
        return self.end

    def strength(self, times: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Strength [T] 0..1 at `times` [T] seconds of the stack."""
        spec = self.spec
        end = min(self.end, float(times[-1]) if math.isinf(self.end) and spec.fade_out else self.end)
        total = spec.strength * faded(times, spec.start, end, spec.fade_in, spec.fade_out)
        return total if spec.pulse is None else total * spec.pulse.strength(times - spec.start, random)

    def frames(self, times: np.ndarray, step: float) -> Frames:
        """The source at `times` [T] seconds of the stack, `step` seconds apart."""
        motion = self.source.motion
        spec = self.spec
        own_step = float(motion.time.diff().median()) if len(motion) > 1 else 0.0
        if own_step and step * spec.speed > 1.5 * own_step:  # as in `edit.resample`, against aliasing
            motion = smooth(motion, step * spec.speed - own_step)
        first, last = self.span
        noted = with_gap_note(motion, gaps(motion, first, last) if len(motion) > 1 else [])
        moments = self._moments(times)
        if self.source.has_pose:
            found = sampled(motion, moments)
            pose = found.joint_rot.double(), found.translation.double().numpy()
            return Frames(self._padded(found.weights), *pose, noted.notes)
        weights = Interpolation.at(motion.time.numpy(), moments).values(motion.weights)
        still = torch.zeros(()).double().expand(len(times), *motion.joint_rot.shape[1:])
        return Frames(self._padded(weights), still, np.broadcast_to(0.0, (len(times), 3)), noted.notes)

    def smallest_gap(self, times: np.ndarray, step: float) -> np.ndarray:
        """Smallest lip gap [T] in mm of the source within each frame: a lower rate must not lose a short closure."""
        motion = self.source.motion
        known = motion if motion.confidence is None else motion[motion.confidence > 0]
        gap = mouth_model().gap(np.where(self.mask.names > 0, self._padded(known.weights), 0))
        moments = (self._moments(times + offset * step) for offset in (-0.4, -0.2, 0, 0.2, 0.4))
        return np.minimum.reduce([np.interp(moment, known.time.numpy(), gap) for moment in moments])

    def _moments(self, times: np.ndarray) -> np.ndarray:
        """Times [T] on the clock of the source at `times` [T] seconds of the stack."""
        motion = self.source.motion
        spec = self.spec
        first, last = self.span
        at = (times - spec.start) * spec.speed
        if spec.loop and last > first:
            at = np.mod(at, last - first + float(motion.time.diff().median()))
        return np.asarray(float(motion.time[0]) + np.clip(first + at, first, last))

    def _padded(self, weights: Tensor) -> np.ndarray:
        """Weights [T,len(NAMES)] with gain of the source's own weights [T,E]."""
        motion = self.source.motion
        padded = np.zeros((len(weights), len(NAMES)))
        for column, name in enumerate(motion.names):
            if name in NAMES:
                padded[:, NAMES.index(name)] = weights[:, column].double().numpy()
        for selector, factor in self.spec.gain.items():
            padded *= np.where(Mask.of(selector).names > 0, factor, 1.0)
        return padded


def combine(canvas: Canvas, layer: Layer, frames: Frames, strength: np.ndarray) -> None:
    """Put a layer on the canvas. Where strength or mask are 0, no bit changes.

    Args:
        canvas: changed in place.
        layer: its mode and mask.
        frames: of the layer.
        strength: [T] 0..1.
    """
    weights = frames.weights
    joint_rot = frames.joint_rot
    translation = frames.translation
    mask = layer.mask
    share = strength[:, None] * mask.names
    below = canvas.weights
    if layer.mode == "replace":
        mixed = below * (1 - share) + weights * share
    elif layer.mode == "add":
        mixed = below + share * weights
    else:
        mixed = np.maximum(below, share * weights)
    canvas.weights = np.where(share > 0, mixed, below)
    canvas.touched += mask.names > 0
    for joint in np.flatnonzero(mask.joints[:TRANSLATION]):
        part = torch.from_numpy(strength * mask.joints[joint])
        above = joint_rot[:, joint]
        if layer.mode == "add" and joint in (ROOT, NECK):
            above = _about_mean(above)
        canvas.joint_rot[:, joint] = _turned(canvas.joint_rot[:, joint], above, part, layer.mode)
    part = (strength * mask.joints[TRANSLATION])[:, None]
    if layer.mode == "replace":
        canvas.translation = np.where(
            part > 0, canvas.translation * (1 - part) + translation * part, canvas.translation
        )
    elif layer.mode == "add":
        canvas.translation = canvas.translation + part * (translation - translation.mean(0))


def _about_mean(rotvec: Tensor) -> Tensor:
    """Rotations [T,3] relative to their mean."""
    rotation = axis_angle_to_matrix(rotvec)
    return matrix_to_axis_angle(rotation @ mean_rotation(rotation).T)


def _turned(below: Tensor, above: Tensor, share: Tensor, mode: str) -> Tensor:
    """Rotations [T,3] of two layers combined, along the shortest arc."""
    share = share[:, None]
    if mode == "max":
        return torch.where(
            (above * share).norm(dim=1, keepdim=True) > below.norm(dim=1, keepdim=True), above * share, below
        )
    base = axis_angle_to_matrix(below)
    if mode == "add":
        mixed = matrix_to_axis_angle(axis_angle_to_matrix(above * share) @ base)
    else:
        step = matrix_to_axis_angle(base.mT @ axis_angle_to_matrix(above))
        mixed = matrix_to_axis_angle(base @ axis_angle_to_matrix(step * share))
        mixed = torch.where(share == 1, above, mixed)
    return torch.where(share > 0, mixed, below)
