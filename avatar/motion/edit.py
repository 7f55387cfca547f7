"""Editing a motion: resampling, trimming, smoothing, expression gain."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from avatar.errors import HeadsplatError
from avatar.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle, mean_rotation
from avatar.motion.arrays import gaps_between
from avatar.types import JAW, LEFT_EYE, NECK, RIGHT_EYE, ROOT, Motion

#: Groups of names for `gain`, by prefix; the joints of eyes, jaw and head belong to their groups.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "brows": ("brow",),
    "eyes": ("eye", "cheekSquint"),
    "mouth": ("mouth", "cheekPuff", "tongue", "noseSneer"),
    "jaw": ("jaw",),
    "head": (),
}
_GROUP_JOINTS: Mapping[str, tuple[int, ...]] = {"eyes": (LEFT_EYE, RIGHT_EYE), "jaw": (JAW,), "head": (NECK,)}
#: Full width at half maximum of a Gaussian, and where it is cut off, in standard deviations.
_FULL_WIDTH = 2.3548
_CUTOFF = 3.0
#: Seconds: shorter windows do not smooth (their width may underflow).
_MIN_WINDOW = 1e-6
#: Seconds: times closer than this are equal up to rounding.
_SAME_TIME = 1e-6
#: Upper limit of the frames on one side that a window covers: the work is their number times that of all frames.
_MAX_NEIGHBORS = 2000
#: Upper limit of the frames of a resampled motion, against a mistyped rate.
_MAX_FRAMES = 5_000_000


@dataclass(frozen=True)
class Interpolation:
    """Frame pairs and weights that interpolate T frames at n new times."""

    before: np.ndarray  # [n] int
    after: np.ndarray  # [n] int
    fraction: np.ndarray  # [n] 0..1, weight of `after`

    @staticmethod
    def at(times: np.ndarray, new_times: np.ndarray) -> Interpolation:
        """For frames at `times` [T] and `new_times` [n], seconds; constant before the first and after the last."""
        after = np.searchsorted(times, new_times, side="right").clip(1 if len(times) > 1 else 0, len(times) - 1)
        before = np.maximum(after - 1, 0)
        step = times[after] - times[before]
        fraction = np.where(step > 0, (new_times - times[before]) / np.where(step > 0, step, 1), 0)
        return Interpolation(before, after, fraction.clip(0, 1))

    def values(self, values: Tensor) -> Tensor:
        """`values` [T,...] interpolated linearly, [n,...]."""
        fraction = torch.from_numpy(self.fraction).to(values).reshape(-1, *[1] * (values.ndim - 1))
        return torch.lerp(values[self.before], values[self.after], fraction)

    def rotations(self, rotvec: Tensor) -> Tensor:
        """Axis-angle `rotvec` [T,...,3] interpolated along the shortest arc, [n,...,3]."""
        matrix = axis_angle_to_matrix(rotvec.double())
        fraction = torch.from_numpy(self.fraction).double().reshape(-1, *[1] * (rotvec.ndim - 1))
        step = matrix_to_axis_angle(matrix[self.before].mT @ matrix[self.after])
        return matrix_to_axis_angle(matrix[self.before] @ axis_angle_to_matrix(step * fraction)).to(rotvec)


def even_times(times: np.ndarray, fps: float) -> np.ndarray:
    """Times [n] in seconds at `fps` frames per second from the first of `times` [T], never after the last."""
    count = (times[-1] - times[0]) * fps + 1e-6
    if count >= _MAX_FRAMES:
        raise HeadsplatError(
            f"{times[-1] - times[0]:.0f} s at {fps:g} fps are {count:.0f} frames; give a lower rate or trim first"
        )
    return np.asarray(times[0] + np.arange(int(count) + 1) / fps)


def check_increasing(times: np.ndarray, message: str) -> None:
    """Raise HeadsplatError with the text `message` unless `times` [T] increase."""
    if not (np.diff(times) > 0).all():
        raise HeadsplatError(message)


def resample(motion: Motion, fps: float, start: float | None = None, end: float | None = None) -> Motion:
    """The motion at constant intervals: frame k at start + k/fps seconds after the first, never after the last.

    Weights and translations are interpolated linearly, rotations along the shortest arc. Frames without a face
    (confidence 0) are interpolated from their neighbors and keep confidence 0. If a new frame interval is longer than
    1.5 old ones, the motion is smoothed first to avoid aliasing. Gaps are interpolated as well, with a note.

    Args:
        motion: the motion.
        fps: frames per second.
        start: seconds after the first frame; None: 0.
        end: seconds after the first frame, exclusive; None: the last frame.

    Returns:
        The resampled motion.

    Raises:
        HeadsplatError: an invalid rate or range, or times that do not increase.
    """
    if not 0 < fps < float("inf"):
        raise HeadsplatError(f"resampling: expected a rate above 0 fps, got {fps:g}")
    times = motion.time.numpy()
    first, last = _span(motion, start, end)
    if len(motion) < 2:
        return motion
    check_increasing(times, "the motion's times do not increase; sort its frames by time, or read the file again")
    new_times = even_times(np.array([times[0] + first, times[-1]]), fps)
    new_times = new_times[new_times - times[0] < last - _SAME_TIME]
    step = float(np.median(np.diff(times)))
    if 1 / fps > 1.5 * step:
        motion = smooth(motion, 1 / fps - step)
    return with_gap_note(sampled(motion, new_times), gaps(motion, first, last))


def with_gap_note(motion: Motion, found: Sequence[tuple[float, float]]) -> Motion:
    """The motion with a note that the gaps `found` (see `gaps`) are interpolated, if there are any."""
    if not found:
        return motion
    longest = max(length for _, length in found)
    text = f"1 gap of {longest:.2f} s is" if len(found) == 1 else f"{len(found)} gaps of up to {longest:.2f} s are"
    return replace(motion, notes=(*motion.notes, f"{text} interpolated"))


def interpolate_lost_frames(motion: Motion) -> Motion:
    """The motion with frames without a face (confidence 0) interpolated from their neighbors; confidence stays 0."""
    has_face = _has_face(motion)
    return motion if has_face.all() or not has_face.any() else sampled(motion, motion.time.numpy())


def trim(motion: Motion, start: float | None = None, end: float | None = None) -> Motion:
    """The frames from `start` to `end` (exclusive) seconds after the first; their times do not change.

    Raises:
        HeadsplatError: the range contains no frame.
    """
    first, last = _span(motion, start, end)
    elapsed = motion.time - motion.time[0] if len(motion) else motion.time
    chosen = torch.nonzero((elapsed >= first - _SAME_TIME) & (elapsed < last - _SAME_TIME)).flatten()
    if not len(chosen):
        length = float(elapsed[-1]) if len(elapsed) else 0.0
        raise HeadsplatError(f"no frame between {first:g} and {last:g} s; the motion lasts {length:.3f} s")
    return motion[int(chosen[0]) : int(chosen[-1]) + 1]


def _span(motion: Motion, start: float | None, end: float | None) -> tuple[float, float]:
    """Start and end of a range in seconds, checked against the motion."""
    length = float(motion.time[-1] - motion.time[0]) if len(motion) else 0.0
    first = 0.0 if start is None else start
    last = float("inf") if end is None else end
    if last <= first:
        raise HeadsplatError(f"no time from {first:g} to {last:g} s: the end is not after the start; give FROM:TO")
    if first > length + _SAME_TIME:
        raise HeadsplatError(f"no frame from {first:g} s on; the motion lasts {length:.3f} s")
    return first, last


def smooth(motion: Motion, seconds: float) -> Motion:
    """Smooth with a Gaussian window, `seconds` wide at half its height, without delay.

    At every frame a straight line over time is fitted to the frames around it (local linear regression), so uneven
    times and the ends of the motion cause no bias; rotations are averaged in the tangent space of the frame's rotation.
    Weights stay within their previous range. A blink longer than the window keeps its depth; a shorter one becomes
    shallower. Frames without a face have no weight.
    """
    if not 0 <= seconds < float("inf"):
        raise HeadsplatError(f"--smooth: expected a window of 0 or more seconds, got {seconds:g}")
    if seconds < _MIN_WINDOW or len(motion) < 3:
        return motion
    times = motion.time.double()
    count = len(motion)
    flat = torch.cat([motion.weights, motion.translation], 1).double()
    rotation = axis_angle_to_matrix(motion.joint_rot.double())
    zeroth = torch.zeros_like(flat)
    moments = torch.zeros(3, count, dtype=torch.float64)
    first = torch.zeros_like(flat)
    rotation_sums = torch.zeros(2, *motion.joint_rot.shape, dtype=torch.float64)
    for rows, others, offset, weight in _neighbors(times, _durations(times) * _has_face(motion), seconds):
        moments[:, rows] += torch.stack([weight, weight * offset, weight * offset**2])
        zeroth[rows] += weight[:, None] * flat[others]
        first[rows] += (weight * offset)[:, None] * flat[others]
        relative = matrix_to_axis_angle(rotation[rows].mT @ rotation[others])
        rotation_sums[0, rows] += weight[:, None, None] * relative
        rotation_sums[1, rows] += (weight * offset)[:, None, None] * relative
    factors = _line_fit(moments)
    smoothed = factors[0, :, None] * zeroth + factors[1, :, None] * first
    smoothed = torch.where(moments[0, :, None] > 0, smoothed, flat)
    smoothed = torch.minimum(torch.maximum(smoothed, flat.amin(0)), flat.amax(0))
    relative = factors[0, :, None, None] * rotation_sums[0] + factors[1, :, None, None] * rotation_sums[1]
    expressions = len(motion.names)
    return replace(
        motion,
        weights=smoothed[:, :expressions].to(motion.weights),
        translation=smoothed[:, expressions:].to(motion.translation),
        joint_rot=matrix_to_axis_angle(rotation @ axis_angle_to_matrix(relative)).to(motion.joint_rot),
    )


def gain(motion: Motion, factors: Mapping[str, float]) -> Motion:
    """Scale expressions.

    Args:
        motion: the motion.
        factors: factor by name of an expression or of a group (`GROUPS`); both for one expression multiply. Groups
            include their joints; "head" scales the head's rotation and translation about its mean pose.

    Returns:
        The scaled motion.

    Raises:
        HeadsplatError: an unknown name, or a factor out of range.
    """
    weights = motion.weights.clone()
    joint_rot = motion.joint_rot.clone()
    translation = motion.translation
    for name, factor in factors.items():
        _check_factor(motion, name, factor)
        prefixes = GROUPS.get(name, ())
        columns = [i for i, known in enumerate(motion.names) if known == name or known.startswith(prefixes or "\0")]
        weights[:, columns] *= factor
        for joint in _GROUP_JOINTS.get(name, ()):
            joint_rot[:, joint] *= factor
        if name == "head" and len(motion):
            rotation = axis_angle_to_matrix(joint_rot[:, ROOT].double())
            mean = mean_rotation(rotation)
            scaled = factor * matrix_to_axis_angle(rotation @ mean.T)
            joint_rot[:, ROOT] = matrix_to_axis_angle(axis_angle_to_matrix(scaled) @ mean).to(joint_rot)
            center = translation.mean(0)
            translation = center + factor * (translation - center)
    return replace(motion, weights=weights, joint_rot=joint_rot, translation=translation)


def head_rotation(joint_rot: Tensor) -> Tensor:
    """Rotations [T,3,3] of the head in the world from joints [T,J,3]: a file may split it between root and neck."""
    root, neck = axis_angle_to_matrix(joint_rot[:, ROOT : NECK + 1]).unbind(1)
    return root @ neck


def gaps(motion: Motion, start: float = 0.0, end: float = float("inf")) -> list[tuple[float, float]]:
    """The gaps between frames of `motion`; see `gaps_between`."""
    return gaps_between(motion.time.numpy(), start, end)


def _has_face(motion: Motion) -> Tensor:
    """Mask [T] of the frames with a face."""
    return torch.ones(len(motion), dtype=torch.bool) if motion.confidence is None else motion.confidence > 0


def sampled(motion: Motion, new_times: np.ndarray) -> Motion:
    """The motion at `new_times` [n] seconds, in any order, interpolated from frames with a face."""
    times = motion.time.numpy()
    has_face = _has_face(motion)
    known = motion[has_face] if has_face.any() else motion
    between = Interpolation.at(known.time.numpy(), new_times)
    confidence = None
    if motion.confidence is not None and known.confidence is not None:
        every = Interpolation.at(times, new_times)
        nearest = np.where(every.fraction < 0.5, every.before, every.after)
        confidence = torch.where(has_face[nearest], between.values(known.confidence), torch.zeros(()))
        confidence = confidence.to(motion.confidence)
    return replace(
        motion,
        time=torch.from_numpy(np.asarray(new_times, np.float64)),
        weights=between.values(known.weights),
        joint_rot=between.rotations(known.joint_rot),
        translation=between.values(known.translation),
        confidence=confidence,
    )


def _durations(times: Tensor) -> Tensor:
    """Seconds [T] that each frame represents: half of the intervals on both sides, limited at gaps."""
    steps = times.diff()
    durations = torch.cat([steps[:1], steps[1:] + steps[:-1], steps[-1:]]) / 2
    return durations.clamp_max(2 * float(steps.median()))


def _neighbors(times: Tensor, durations: Tensor, seconds: float) -> Iterator[tuple[slice, slice, Tensor, Tensor]]:
    """Pairs of frames within the window, by increasing distance in frames.

    Yields:
        Rows (slice), the rows of their neighbors (slice), the neighbors' time offsets [m] in standard deviations, and
        their weights [m].
    """
    sigma = seconds / _FULL_WIDTH
    widest = int((torch.searchsorted(times, times + _CUTOFF * sigma) - torch.arange(len(times))).max())
    if widest > _MAX_NEIGHBORS:
        raise HeadsplatError(
            f"smoothing over {seconds:g} s: {widest} frames are in a window, at most {_MAX_NEIGHBORS} are averaged; "
            "give a shorter window or a higher rate"
        )
    for distance in range(len(times)):
        any_inside = False
        for sign in (1, -1) if distance else (1,):
            early = slice(0, len(times) - distance)
            late = slice(distance, len(times))
            rows, others = (early, late) if sign > 0 else (late, early)
            offset = (times[others] - times[rows]) / sigma
            weight = durations[others] * torch.exp(-(offset**2) / 2) * (offset.abs() <= _CUTOFF)
            any_inside |= bool((offset.abs() <= _CUTOFF).any())
            yield rows, others, offset, weight
        if not any_inside:
            return


def _line_fit(moments: Tensor) -> Tensor:
    """Factors [2,T] of the zeroth and first sums for the fitted line's value at each frame, from moments [3,T]."""
    zeroth, first, second = moments
    spread = zeroth * second - first**2
    well_posed = spread > 1e-6 * zeroth**2  # otherwise all frames are at one time: use their mean
    spread = torch.where(well_posed, spread, 1.0)
    safe = torch.where(zeroth > 0, zeroth, 1.0)
    line = torch.stack([second / spread, -first / spread])
    return torch.where(well_posed, line, torch.stack([1 / safe, torch.zeros_like(safe)]))


def _check_factor(motion: Motion, name: str, factor: float) -> None:
    known = [*motion.names, *GROUPS]
    if name not in known:
        lower = {other.lower(): other for other in known}
        near = difflib.get_close_matches(name.lower(), lower, 1)
        near = near or [other for other in lower if name.lower() in other][:2]
        hint = (
            f"did you mean {' or '.join(lower[other] for other in near)}?" if near else f"groups: {', '.join(GROUPS)}"
        )
        raise HeadsplatError(f"gain: the motion has no expression or group {name!r}; {hint}")
    if not -100 <= factor <= 100:
        raise HeadsplatError(f"gain: {name}: expected a factor between -100 and 100, got {factor:g}")
