"""Editing a motion: another frame rate, a part of it, less noise, more or less of an expression."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from avatar.errors import HeadsplatError
from avatar.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle, mean_rotation
from avatar.types import JAW, LEFT_EYE, NECK, RIGHT_EYE, ROOT, Motion

#: What `gain` takes for many names at once; joints of eyes, jaw and head go along.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "brows": ("brow",),
    "eyes": ("eye", "cheekSquint"),
    "mouth": ("mouth", "cheekPuff", "tongue", "noseSneer"),
    "jaw": ("jaw",),
    "head": (),
}
_GROUP_JOINTS: Mapping[str, tuple[int, ...]] = {"eyes": (LEFT_EYE, RIGHT_EYE), "jaw": (JAW,), "head": (NECK,)}
#: Full width at half maximum of a Gaussian, in standard deviations; beyond `_REACH` of them it counts as zero.
_FULL_WIDTH, _REACH = 2.3548, 3.0
#: Seconds: windows far below any frame's length, down to where their width underflows, smooth nothing.
_SHORTEST = 1e-6
#: Seconds: times closer than this are one, whatever sums they come from.
_SAME_TIME = 1e-6
#: Steps longer than this many typical ones, and than so many seconds, are gaps.
GAP_STEPS, GAP_SECONDS = 2.5, 0.1
#: Frames that may be made of one motion: a slip of the rate should not fill the memory.
_MOST_FRAMES = 5_000_000


@dataclass(frozen=True)
class Sampling:
    """Which two of T frames each of n wanted times lies between."""

    before: np.ndarray  # [n] int
    after: np.ndarray  # [n] int
    share: np.ndarray  # [n] 0..1, how far towards `after`

    @staticmethod
    def at(times: np.ndarray, wanted: np.ndarray) -> Sampling:
        """For `times` [T] and `wanted` [n] seconds; before the first and after the last time those frames stay."""
        after = np.searchsorted(times, wanted, side="right").clip(1 if len(times) > 1 else 0, len(times) - 1)
        before = np.maximum(after - 1, 0)
        step = times[after] - times[before]
        share = np.where(step > 0, (wanted - times[before]) / np.where(step > 0, step, 1), 0)
        return Sampling(before, after, share.clip(0, 1))

    def values(self, values: Tensor) -> Tensor:
        """`values` [T,...] at the wanted times, along straight lines."""
        share = torch.from_numpy(self.share).to(values).reshape(-1, *[1] * (values.ndim - 1))
        return torch.lerp(values[self.before], values[self.after], share)

    def rotations(self, rotvec: Tensor) -> Tensor:
        """Axis-angle `rotvec` [T,...,3] at the wanted times, along the shortest arc."""
        matrix = axis_angle_to_matrix(rotvec.double())
        share = torch.from_numpy(self.share).double().reshape(-1, *[1] * (rotvec.ndim - 1))
        step = matrix_to_axis_angle(matrix[self.before].mT @ matrix[self.after])
        return matrix_to_axis_angle(matrix[self.before] @ axis_angle_to_matrix(step * share)).to(rotvec)


def even_times(times: np.ndarray, fps: float) -> np.ndarray:
    """Times [n] at `fps` a second from the first of `times` [T] on, never past the last."""
    count = (times[-1] - times[0]) * fps + 1e-6
    if count >= _MOST_FRAMES:
        raise HeadsplatError(
            f"{times[-1] - times[0]:.0f} s at {fps:g} frames/s are {count:.0f} frames; give a lower rate or trim first"
        )
    return np.asarray(times[0] + np.arange(int(count) + 1) / fps)


def check_increasing(times: np.ndarray, what: str) -> None:
    """Raise HeadsplatError unless `times` [T] increase; `what` says whose they are and what to do."""
    if not (np.diff(times) > 0).all():
        raise HeadsplatError(what)


def resample(motion: Motion, fps: float, start: float | None = None, end: float | None = None) -> Motion:
    """The motion at constant intervals: frame k at start + k/fps seconds after the first, never past the last.

    Args:
        motion: any.
        fps: frames a second.
        start: seconds after the first frame.
        end: seconds after the first frame, where no frame lies any more.

    Weights and translations run straight between two frames, rotations along the shortest arc. Frames without a face
    (confidence 0) are bridged from those beside them and stay marked. Where a new frame lasts more than one and a half
    old ones the motion is smoothed before, over what it lasts longer: faster jitter would come out as slow drift.
    Gaps are bridged as well, and a note says so.
    """
    if not 0 < fps < float("inf"):
        raise HeadsplatError(f"resampling: expected a rate above 0 frames/s, got {fps:g}")
    times = motion.time.numpy()
    first, last = _span(motion, start, end)
    if len(motion) < 2:
        return motion
    check_increasing(times, "the motion's times do not increase; sort its frames by time, or read the file again")
    wanted = even_times(np.array([times[0] + first, times[-1]]), fps)
    wanted = wanted[wanted - times[0] < last - _SAME_TIME]
    step = float(np.median(np.diff(times)))
    if 1 / fps > 1.5 * step:
        motion = smooth(motion, 1 / fps - step)
    return noting_gaps(_sampled(motion, wanted), gaps(motion, first, last))


def noting_gaps(motion: Motion, found: Sequence[tuple[float, float]]) -> Motion:
    """The motion with a note that the gaps `found` (see `gaps`) are bridged, where there are any."""
    if not found:
        return motion
    longest = max(length for _, length in found)
    words = f"1 gap of {longest:.2f} s is" if len(found) == 1 else f"{len(found)} gaps of up to {longest:.2f} s are"
    return replace(motion, notes=(*motion.notes, f"{words} bridged"))


def filled(motion: Motion) -> Motion:
    """The motion with its frames without a face (confidence 0) bridged from those beside them, still marked."""
    seen = _seen(motion)
    return motion if seen.all() or not seen.any() else _sampled(motion, motion.time.numpy())


def trim(motion: Motion, start: float | None = None, end: float | None = None) -> Motion:
    """The frames from `start` to `end` seconds after the first, the end left out; their times stay as they are.

    Raises:
        HeadsplatError: no frame lies there.
    """
    first, last = _span(motion, start, end)
    since = motion.time - motion.time[0] if len(motion) else motion.time
    chosen = torch.nonzero((since >= first - _SAME_TIME) & (since < last - _SAME_TIME)).flatten()
    if not len(chosen):
        length = float(since[-1]) if len(since) else 0.0
        raise HeadsplatError(f"no frame between {first:g} and {last:g} s; the motion lasts {length:.3f} s")
    return motion[int(chosen[0]) : int(chosen[-1]) + 1]


def _span(motion: Motion, start: float | None, end: float | None) -> tuple[float, float]:
    """Seconds from which and up to which, once a motion can have frames there."""
    length = float(motion.time[-1] - motion.time[0]) if len(motion) else 0.0
    first, last = (0.0 if start is None else start), (float("inf") if end is None else end)
    if last <= first:
        raise HeadsplatError(
            f"no time from {first:g} to {last:g} s: the end does not lie after the start; give FROM:TO"
        )
    if first > length + _SAME_TIME:
        raise HeadsplatError(f"no frame from {first:g} s on; the motion lasts {length:.3f} s")
    return first, last


def smooth(motion: Motion, seconds: float) -> Motion:
    """The motion through a Gaussian window, `seconds` wide at half its height; nothing is delayed.

    At every frame a straight line is fitted to the frames around it, in time, so that uneven times and the ends of the
    motion bend nothing; rotations are averaged in the tangent space of the frame's own. No weight leaves the range it
    had. A blink longer than the window keeps its depth; a shorter one loses it. Frames without a face do not take part.
    """
    if not 0 <= seconds < float("inf"):
        raise HeadsplatError(f"--smooth: the window is 0 or more seconds wide, got {seconds:g}")
    if seconds < _SHORTEST or len(motion) < 3:
        return motion
    times = motion.time.double()
    count = len(motion)
    flat = torch.cat([motion.weights, motion.translation], 1).double()
    rotation = axis_angle_to_matrix(motion.joint_rot.double())
    sums, moments = torch.zeros_like(flat), torch.zeros(3, count, dtype=torch.float64)
    turns = torch.zeros(2, *motion.joint_rot.shape, dtype=torch.float64)
    first = torch.zeros_like(flat)
    for rows, others, away, weight in _neighbors(times, _cells(times) * _seen(motion), seconds):
        moments[:, rows] += torch.stack([weight, weight * away, weight * away**2])
        sums[rows] += weight[:, None] * flat[others]
        first[rows] += (weight * away)[:, None] * flat[others]
        turn = matrix_to_axis_angle(rotation[rows].mT @ rotation[others])
        turns[0, rows] += weight[:, None, None] * turn
        turns[1, rows] += (weight * away)[:, None, None] * turn
    level = _line(moments)
    moved = level[0, :, None] * sums + level[1, :, None] * first
    moved = torch.where(moments[0, :, None] > 0, moved, flat)
    moved = torch.minimum(torch.maximum(moved, flat.amin(0)), flat.amax(0))
    turn = level[0, :, None, None] * turns[0] + level[1, :, None, None] * turns[1]
    wide = len(motion.names)
    return replace(
        motion,
        weights=moved[:, :wide].to(motion.weights),
        translation=moved[:, wide:].to(motion.translation),
        joint_rot=matrix_to_axis_angle(rotation @ axis_angle_to_matrix(turn)).to(motion.joint_rot),
    )


def gain(motion: Motion, factors: Mapping[str, float]) -> Motion:
    """The motion with expressions made stronger or weaker.

    Args:
        motion: any.
        factors: by the name of an expression or of a group (`GROUPS`); both for one expression multiply. Groups take
            their joints along; "head" turns and moves the head more or less about its mean pose.

    Raises:
        HeadsplatError: an unknown name, or a factor that is no number.
    """
    weights, joint_rot, translation = motion.weights.clone(), motion.joint_rot.clone(), motion.translation
    for name, factor in factors.items():
        _check_factor(motion, name, factor)
        prefixes = GROUPS.get(name, ())
        columns = [i for i, known in enumerate(motion.names) if known == name or known.startswith(prefixes or "\0")]
        weights[:, columns] *= factor
        for joint in _GROUP_JOINTS.get(name, ()):
            joint_rot[:, joint] *= factor
        if name == "head" and len(motion):
            rotation = axis_angle_to_matrix(joint_rot[:, ROOT].double())
            middle = mean_rotation(rotation)
            away = factor * matrix_to_axis_angle(rotation @ middle.T)
            joint_rot[:, ROOT] = matrix_to_axis_angle(axis_angle_to_matrix(away) @ middle).to(joint_rot)
            center = translation.mean(0)
            translation = center + factor * (translation - center)
    return replace(motion, weights=weights, joint_rot=joint_rot, translation=translation)


def head_rotation(joint_rot: Tensor) -> Tensor:
    """Rotations [T,3,3] of the head in the world, of joints [T,J,3]: a file may share it between root and neck."""
    root, neck = axis_angle_to_matrix(joint_rot[:, ROOT : NECK + 1]).unbind(1)
    return root @ neck


def gaps(motion: Motion, start: float = 0.0, end: float = float("inf")) -> list[tuple[float, float]]:
    """Where frames are missing: (seconds after the first frame, seconds long), in their order.

    Args:
        motion: any.
        start: gaps that are over by then are left out.
        end: so are those that begin then or later.
    """
    times = motion.time.numpy()
    if len(times) < 3:
        return []
    steps = np.diff(times)
    long = steps > max(GAP_STEPS * float(np.median(steps)), GAP_SECONDS)
    found = [(float(times[row] - times[0]), float(steps[row])) for row in np.flatnonzero(long)]
    return [(since, length) for since, length in found if since < end and since + length > start]


def _seen(motion: Motion) -> Tensor:
    """Whether each frame [T] shows a face."""
    return torch.ones(len(motion), dtype=torch.bool) if motion.confidence is None else motion.confidence > 0


def _sampled(motion: Motion, wanted: np.ndarray) -> Motion:
    """The motion at the times `wanted` [n], from the frames that show a face."""
    times, seen = motion.time.numpy(), _seen(motion)
    known = motion[seen] if seen.any() else motion
    between = Sampling.at(known.time.numpy(), wanted)
    confidence = None
    if motion.confidence is not None:
        every = Sampling.at(times, wanted)
        nearest = np.where(every.share < 0.5, every.before, every.after)
        confidence = torch.where(seen[nearest], between.values(known.confidence), torch.zeros(()))  # type: ignore[arg-type]
        confidence = confidence.to(motion.confidence)
    return replace(
        motion,
        time=torch.from_numpy(np.asarray(wanted, np.float64)),
        weights=between.values(known.weights),
        joint_rot=between.rotations(known.joint_rot),
        translation=between.values(known.translation),
        confidence=confidence,
    )


def _cells(times: Tensor) -> Tensor:
    """How much time [T] each frame stands for: half of what lies between it and its neighbors, on either side."""
    steps = times.diff()
    cells = torch.cat([steps[:1], steps[1:] + steps[:-1], steps[-1:]]) / 2
    return cells.clamp_max(2 * float(steps.median()))  # the frame before a gap says nothing about the gap


def _neighbors(times: Tensor, cells: Tensor, seconds: float) -> Iterator[tuple[slice, slice, Tensor, Tensor]]:
    """Pairs of frames the window reaches, one distance in frames after the other.

    Yields:
        Rows (slice), the other rows (slice), how far away they are [m] in windows, and their weights [m].
    """
    sigma = seconds / _FULL_WIDTH
    for distance in range(len(times)):
        reached = False
        for sign in (1, -1) if distance else (1,):
            early, late = slice(0, len(times) - distance), slice(distance, len(times))
            rows, others = (early, late) if sign > 0 else (late, early)
            away = (times[others] - times[rows]) / sigma
            weight = cells[others] * torch.exp(-(away**2) / 2) * (away.abs() <= _REACH)
            reached |= bool((away.abs() <= _REACH).any())
            yield rows, others, away, weight
        if not reached:
            return


def _line(moments: Tensor) -> Tensor:
    """Factors [2,T] of the zeroth and first sums that give a fitted line's value at the frame itself."""
    zeroth, first, second = moments
    spread = zeroth * second - first**2
    straight = spread > 1e-6 * zeroth**2  # else all that is seen lies at one time: its mean
    spread, safe = torch.where(straight, spread, 1.0), torch.where(zeroth > 0, zeroth, 1.0)
    level = torch.stack([second / spread, -first / spread])
    return torch.where(straight, level, torch.stack([1 / safe, torch.zeros_like(safe)]))


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
