"""How one person speaks: sizes of mouth shapes, blinks, brows and head motion, from a tracked sequence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from avatar.errors import HeadsplatError
from avatar.geometry.rotations import matrix_to_axis_angle, mean_rotation
from avatar.motion.edit import head_rotation, resample
from avatar.motion.files.names import ARKIT
from avatar.types import Motion

Array = NDArray[np.float64]

#: Groups of controls that share a gain, and the spread (95th minus 20th percentile) of their mean weight when the
#: default style speaks.
GROUPS: Mapping[str, tuple[tuple[str, ...], float]] = {
    "jaw": (("jawOpen",), 0.20),
    "rounding": (("mouthFunnel", "mouthPucker"), 0.32),
    "spreading": (("mouthSmile", "mouthStretch", "mouthDimple"), 0.078),
    "opening": (("mouthLowerDown", "mouthUpperUp"), 0.12),
}
#: Limits of the gain of a group, of the blinks per minute, of one blink's seconds, and of the head's degrees and
#: degrees per second: what a short or noisy sequence may not exceed.
_GAIN = (0.6, 1.5)
_BLINKS = (4.0, 35.0)
_BLINK_SECONDS = (0.2, 0.5)
_DEGREES = (0.3, 3.5)
_SPEED = (0.5, 15.0)
#: Limits of the share of one side in the sum of both.
_SIDE = (0.35, 0.65)
#: Seconds that a sequence must last.
_SHORTEST = 3.0
#: Weight from rest at which a lid counts as blinking.
_BLINKING = 0.4
#: The mean head pose is used up to this, in degrees.
_MEAN_POSE = 4.0
#: Seconds; a longer closure of the lids is no blink.
_LONGEST_BLINK = 0.6
_RATE = 60.0


@dataclass(frozen=True)
class SpeakingStyle:
    """Statistics of a person's face and head while speaking; the defaults are those of nobody in particular."""

    gains: Mapping[str, float] = field(default_factory=dict)  # of GROUPS; 1 where missing
    left: Mapping[str, float] = field(default_factory=dict)  # group -> share of the left side, .5 where missing
    blink_rate: float = 18.0  # per minute
    blink_seconds: float = 0.3  # from open to open
    brows: float = 1.0  # factor of their motion
    head_degrees: tuple[float, float, float] = (1.4, 1.8, 0.9)  # standard deviation of pitch, yaw and roll
    head_speed: float = 5.0  # degrees per second, RMS
    head_mean: tuple[float, float, float] = (0.0, 0.0, 0.0)  # degrees of pitch, yaw and roll
    notes: tuple[str, ...] = ()

    def gain(self, control: str) -> float:
        """The factor of a control's weights."""
        return self.gains.get(_group(control), 1.0)

    def side(self, control: str, name: str) -> float:
        """The factor of the weights of `name`, which is the left or the right side of `control`, or all of it."""
        left = self.left.get(_group(control), 0.5)
        return 1.0 if name == control else 2 * (left if name.endswith("Left") else 1 - left)

    @staticmethod
    def of(motion: Motion) -> SpeakingStyle:
        """Measure the style of a tracked sequence.

        Args:
            motion: ARKit weights of a person who speaks, at least 3 seconds; ten are enough.

        Raises:
            HeadsplatError: other expressions than ARKit's, or too short.
        """
        if motion.space != ARKIT:
            raise HeadsplatError(
                f"--style: the sequence has expressions of {motion.space}, not ARKit's; convert it with "
                "`headsplat motion convert --to-head embedded`"
            )
        has_face = motion if motion.confidence is None else motion[motion.confidence > 0]
        seconds = float(has_face.time[-1] - has_face.time[0]) if len(has_face) > 1 else 0.0
        if seconds < _SHORTEST:
            raise HeadsplatError(
                f"--style: the sequence shows a face for {seconds:.1f} s, at least {_SHORTEST:g} s are needed; ten "
                "seconds of speech are enough"
            )
        even = resample(has_face, _RATE)
        weights = dict(zip(even.names, even.weights.double().numpy().T, strict=True))
        gains, silent = _gains(weights)
        rate, length = _blinks(weights, seconds)
        degrees, speed, mean = _head(even)
        notes = (f"the style's sequence hardly moves: {', '.join(silent)}",) if silent else ()
        return SpeakingStyle(gains, _lefts(weights), rate, length, _brows(weights), degrees, speed, mean, notes)


def _group(control: str) -> str:
    return next((group for group, (controls, _) in GROUPS.items() if control in controls), "")


def _sided(weights: Mapping[str, Array], control: str) -> list[Array]:
    return [weights[name] for name in (control, f"{control}Left", f"{control}Right") if name in weights]


def _spread(values: Array) -> float:
    low, high = np.quantile(values, (0.2, 0.95))
    return float(high - low)


def _gains(weights: Mapping[str, Array]) -> tuple[dict[str, float], list[str]]:
    """The gain of each group, and the groups that do not move."""
    gains = {}
    silent = []
    for group, (controls, reference) in GROUPS.items():
        columns = [values for control in controls for values in _sided(weights, control)]
        spread = _spread(np.mean(columns, 0)) if columns else 0.0
        if spread < 0.1 * reference:
            silent.append(group)
        else:
            gains[group] = float(np.clip(spread / reference, *_GAIN))
    return gains, silent


def _lefts(weights: Mapping[str, Array]) -> dict[str, float]:
    """The share of the left side in the motion of each group with two sides."""
    found = {}
    for group, (controls, _) in GROUPS.items():
        pairs = [name for name in controls if f"{name}Left" in weights and f"{name}Right" in weights]
        left = sum(_spread(weights[name + "Left"]) for name in pairs)
        right = sum(_spread(weights[name + "Right"]) for name in pairs)
        if left + right > 0.02:
            found[group] = float(np.clip(left / (left + right), *_SIDE))
    return found


def _blinks(weights: Mapping[str, Array], seconds: float) -> tuple[float, float]:
    """Blinks per minute and the median seconds of one; the defaults where there are fewer than two."""
    default = SpeakingStyle()
    lids = _sided(weights, "eyeBlink")
    if not lids:
        return default.blink_rate, default.blink_seconds
    closing = np.mean(lids, 0)
    high = closing - np.median(closing) > _BLINKING
    edges = np.diff(np.concatenate(([False], high, [False])).astype(int))
    lengths = (np.flatnonzero(edges < 0) - np.flatnonzero(edges > 0)) / _RATE
    lengths = lengths[lengths < _LONGEST_BLINK]
    if len(lengths) < 2:
        return default.blink_rate, default.blink_seconds
    rate = float(np.clip(60 * len(lengths) / seconds, *_BLINKS))
    return rate, float(np.clip(1.8 * np.median(lengths), *_BLINK_SECONDS))  # from the width at that height


def _brows(weights: Mapping[str, Array]) -> float:
    raised = [values for name, values in weights.items() if name.startswith(("browInnerUp", "browOuterUp"))]
    return float(np.clip(_spread(np.mean(raised, 0)) / 0.12, 0.3, 1.6)) if raised else 1.0


def _head(motion: Motion) -> tuple[tuple[float, float, float], float, tuple[float, float, float]]:
    """Standard deviation in degrees about each axis, RMS speed in degrees per second, mean in degrees."""
    rotation = head_rotation(motion.joint_rot.double())
    center = mean_rotation(rotation)
    angles = np.rad2deg(matrix_to_axis_angle(rotation @ center.T).numpy())
    smoothed = np.stack([np.convolve(column, np.ones(7) / 7, "valid") for column in angles.T], 1)
    speed = float(np.sqrt((np.diff(smoothed, axis=0) ** 2).sum(1).mean())) * _RATE
    pitch, yaw, roll = np.clip(angles.std(0), *_DEGREES).tolist()
    mean = np.rad2deg(matrix_to_axis_angle(center[None])[0].numpy()).clip(-_MEAN_POSE, _MEAN_POSE).tolist()
    return (pitch, yaw, roll), float(np.clip(speed, *_SPEED)), (mean[0], mean[1], mean[2])
