"""Learning a linear bridge from paired frames: ridge regression, its strength and its error from held-out blocks.

Frames are paired by time. The two programs may be late by different times: the lag that predicts best is found first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from avatar.errors import HeadsplatError
from avatar.head.model import HeadModel
from avatar.motion.files.assemble import DEFAULT_FPS
from avatar.types import JOINT_NAMES, NECK, ROOT, Motion

from .learned_bridge import POSE, LearnedBridge, bounded
from .table import Coefficients

Floats = NDArray[np.floating]

#: Fewer paired frames show nothing; fewer than the second deserve a note.
MIN_FRAMES = 20
FEW_FRAMES = 100
#: Strengths of the ridge that are tried, relative to the variance of one standardized coefficient.
_STRENGTHS = np.logspace(-5, 2, 15)
#: Blocks of consecutive frames that are held out in turn: neighbors are alike, so that single frames would be easy.
_BLOCKS = 5
#: Explained share of the variance under which the pose of a joint, or an expression, is not predicted.
_POSE_SHARE = 0.5
_SHARE = 0.0
#: Directions of coefficients and motion, and frames, by which a lag is found; what it must gain to be believed.
_LAG_INPUTS, _LAG_OUTPUTS, _LAG_FRAMES = 40, 10, 1500
_LAG_GAIN = 0.02
#: Error beside that with coefficients of another moment, from which it is doubtful that both are of the same film.
_SAME_FILM = 0.85
_CONSTANT = 1e-8
#: Frames whose vertices are compared.
_POSED = 200


@dataclass(frozen=True)
class Pair:
    """A film in both: the coefficients of the other program, and the motion that is to be predicted."""

    coefficients: Coefficients
    motion: Motion
    label: str  # of the motion


def learn_bridge(
    pairs: Sequence[Pair], keys: Sequence[str], max_lag: float, head: HeadModel | None = None
) -> tuple[LearnedBridge, tuple[str, ...]]:
    """Learn a bridge.

    Args:
        pairs: all with the same coefficients and the same expressions.
        keys: arrays or columns by which the coefficients were read, for the file.
        max_lag: largest time in seconds by which the coefficients may be late or early.
        head: the head model of the expressions; None: no error in millimeters.

    Returns:
        The bridge with its held-out error, and a note for each thing that the user should know.

    Raises:
        HeadsplatError: too few paired frames, or pairs of different coefficients or expressions.
    """
    _check_same(pairs)
    notes: list[str] = []
    inputs, outputs, records = [], [], []
    for pair in pairs:
        time = _times(pair, notes)
        lag = _lag(pair, time, max_lag)
        x, y = paired(pair, time, lag)
        if abs(lag) > 5e-4:
            early = "late" if lag > 0 else "early"
            notes.append(f"{pair.coefficients.path.name} is {abs(lag):.3f} s {early}: shifted to {pair.label}")
        if (note := _doubt(x, y)) is not None:
            notes.append(f"{pair.coefficients.path.name}, {pair.label}: {note}")
        inputs.append(x)
        outputs.append(y)
        record = {"coefficients": pair.coefficients.path.name, "motion": pair.label, "frames": len(x), "lag": lag}
        records.append(record)
    x, y = np.concatenate(inputs), np.concatenate(outputs)
    if len(x) < MIN_FRAMES:
        raise HeadsplatError(
            f"{pairs[0].coefficients.path}: {len(x)} frames at the same times as {pairs[0].label}, at least "
            f"{MIN_FRAMES} are needed; give files of the same film, or its rate with --fps"
        )
    if len(x) < FEW_FRAMES:
        notes.append(f"only {len(x)} paired frames: expressions that they do not show are guesses; 200 are enough")
    names = pairs[0].motion.names
    held = bounded(_held_out(x, y), names)
    error, spread = np.sqrt(np.square(held - y).mean(0)), y.std(0)
    steady = _unpredicted(error, spread, names, notes)
    matrix, offset = _ridge(x, y)
    matrix[:, steady], offset[steady] = 0, y[:, steady].mean(0)
    error[steady] = spread[steady]
    bridge = LearnedBridge(
        tuple(keys), pairs[0].coefficients.names, names, pairs[0].motion.space, matrix, offset, error, spread,
        x.mean(0), np.where(x.std(0) > _CONSTANT, x.std(0), 1.0), tuple(records), len(x),
    )  # fmt: skip
    if head is not None:
        held[:, steady] = offset[steady]
        bridge = replace(bridge, millimeters=millimeters(head, names, held, y))
    return bridge, tuple(notes)


def _check_same(pairs: Sequence[Pair]) -> None:
    first = pairs[0]
    for pair in pairs[1:]:
        if pair.coefficients.names != first.coefficients.names:
            raise HeadsplatError(
                f"{pair.coefficients.path}: other coefficients than {first.coefficients.path.name}; give files of one "
                "program"
            )
        if (pair.motion.names, pair.motion.space) != (first.motion.names, first.motion.space):
            raise HeadsplatError(f"{pair.label}: other expressions than {first.label}; give motions of one head model")


def _times(pair: Pair, notes: list[str]) -> Floats:
    """Seconds [T] of the coefficients."""
    found, motion = pair.coefficients, pair.motion
    if found.time is not None:
        return found.time
    count = len(found.values)
    if found.fps is None and count == len(motion):
        notes.append(f"{found.path.name} has no times and as many frames as {pair.label}: paired row by row")
        return np.asarray(motion.time.numpy(), np.float64)
    rate = found.fps or DEFAULT_FPS
    if found.fps is None:
        notes.append(f"{found.path.name} has no times: {rate:g} fps, assumed; give another with --fps")
    return np.arange(count) / rate


def paired(pair: Pair, time: Floats, lag: float) -> tuple[Floats, Floats]:
    """Coefficients [N,D] at the times of the motion's frames with a face, and these frames [N,M].

    Args:
        pair: the film.
        time: [T] seconds of the coefficients.
        lag: seconds by which the coefficients are late.
    """
    y, at = _frames(pair.motion)
    values = np.where(pair.coefficients.has_face[:, None], pair.coefficients.values, np.nan)
    x = _interpolated(time, values, at + lag)
    chosen = np.isfinite(x).all(1)
    return x[chosen], y[chosen]


def _frames(motion: Motion) -> tuple[Floats, Floats]:
    """Outputs [N,M] and times [N] of the frames with a face."""
    parts = [motion.weights, motion.joint_rot.reshape(len(motion), -1), motion.translation]
    y = np.concatenate([part.double().numpy() for part in parts], 1)
    face = np.ones(len(y), bool) if motion.confidence is None else motion.confidence.numpy() > 0
    return y[face], motion.time.numpy()[face]


def _interpolated(time: Floats, values: Floats, at: Floats) -> Floats:
    """Values [T,D] at times [N], linearly; not a number outside, in gaps, and beside frames without numbers."""
    if len(time) < 2:
        return np.full((len(at), values.shape[1]), np.nan)
    after = np.searchsorted(time, at, side="left").clip(1, len(time) - 1)
    step = time[after] - time[after - 1]
    part = (at - time[after - 1]) / step
    part = np.where(
        np.abs(part - np.round(part)) < 1e-3, np.round(part), part
    )  # a frame itself: its neighbor is not asked
    low, high = values[after - 1], values[after]
    found = np.where(part[:, None] == 0, low, np.where(part[:, None] == 1, high, low + part[:, None] * (high - low)))
    beyond = (part < 0) | (part > 1) | (step > 4 * np.median(np.diff(time)))
    found[beyond] = np.nan
    return found


def _lag(pair: Pair, time: Floats, most: float) -> float:
    """Seconds by which the coefficients are late: the shift at which they predict the motion best."""
    y, at = _frames(pair.motion)
    if most <= 0 or len(at) < 2 * MIN_FRAMES or len(time) < 2:
        return 0.0
    rows = slice(None, None, -(-len(at) // _LAG_FRAMES))
    y, at = _directions(y[rows], _LAG_OUTPUTS), at[rows]
    face = pair.coefficients.has_face
    values = np.full((len(time), min(_LAG_INPUTS, pair.coefficients.values.shape[1], int(face.sum()))), np.nan)
    values[face] = _directions(pair.coefficients.values[face], values.shape[1])
    step = max(float(np.median(np.diff(time))), 2 * most / 120)
    lags = step * np.arange(-int(most / step), int(most / step) + 1)
    shifted = np.stack([_interpolated(time, values, at + lag) for lag in lags])
    common = np.isfinite(shifted).all((0, 2))
    if common.sum() < 2 * MIN_FRAMES:
        return 0.0
    errors = np.array([_error(x[common], y[common]) for x in shifted])
    best = int(errors.argmin())
    if errors[best] > (1 - _LAG_GAIN) * errors[len(lags) // 2]:
        return 0.0
    if not 0 < best < len(lags) - 1:
        return float(lags[best])
    low, middle, high = errors[best - 1 : best + 2]  # the lowest point of a parabola
    return float(lags[best] + step * (low - high) / max(2 * (low - 2 * middle + high), 1e-12))


def _doubt(x: Floats, y: Floats) -> str | None:
    """A note where coefficients of other moments predict the frames nearly as well as those of the same moment."""
    if len(x) < MIN_FRAMES:
        return None
    x, y = _directions(x, _LAG_INPUTS), _directions(y, _LAG_OUTPUTS)
    others = min(_error(np.roll(x, len(x) * quarter // 4, 0), y) for quarter in (1, 2, 3))
    if _error(x, y) < _SAME_FILM * others:
        return None
    return "other moments of the film predict its frames nearly as well: are both of the same film, at the same rate?"


def _directions(values: Floats, count: int) -> Floats:
    """The first principal components [N,count] of standardized columns."""
    scaled = (values - values.mean(0)) / np.maximum(values.std(0), _CONSTANT) * (values.std(0) > _CONSTANT)
    left, sizes, _ = np.linalg.svd(scaled, full_matrices=False)
    return np.asarray((left * sizes)[:, :count])


def _error(x: Floats, y: Floats) -> float:
    """Mean squared error of the best ridge on held-out blocks."""
    return float(_block_errors(x, y, _STRENGTHS[4:11]).mean(1).min())


def _blocks(count: int) -> list[NDArray[np.int64]]:
    return np.array_split(np.arange(count), _BLOCKS)


def _held_out(x: Floats, y: Floats) -> Floats:
    """Predictions [N,M] of each block by what the other blocks show, the strength of the ridge included."""
    found = np.empty_like(y)
    for block in _blocks(len(x)):
        matrix, offset = _ridge(np.delete(x, block, 0), np.delete(y, block, 0))
        found[block] = x[block] @ matrix + offset
    return found


def _ridge(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Matrix [D,M] and offset [M], each output with the strength at which held-out blocks are predicted best."""
    errors = _block_errors(x, y, _STRENGTHS)
    solve = _Ridge(x, y)
    matrix = np.zeros((x.shape[1], y.shape[1]))
    for place in np.unique(best := errors.argmin(0)):
        matrix[:, best == place] = solve(_STRENGTHS[place])[:, best == place]
    return matrix, y.mean(0) - x.mean(0) @ matrix


def _block_errors(x: Floats, y: Floats, strengths: Floats) -> Floats:
    """Mean squared error [strengths,M] on held-out blocks."""
    errors = np.zeros((len(strengths), y.shape[1]))
    for block in _blocks(len(x)):
        rest_x, rest_y = np.delete(x, block, 0), np.delete(y, block, 0)
        solve, center = _Ridge(rest_x, rest_y), rest_y.mean(0)
        for place, strength in enumerate(strengths):
            predicted = (x[block] - rest_x.mean(0)) @ solve(strength) + center
            errors[place] += np.square(predicted - y[block]).sum(0)
    return errors / len(x)


class _Ridge:
    """Ridge regressions of centered outputs on standardized coefficients; decomposed once for all strengths."""

    def __init__(self, x: Floats, y: Floats) -> None:
        spread = x.std(0)
        self._scale = np.where(spread > _CONSTANT, 1 / np.maximum(spread, _CONSTANT), 0.0)
        left, self._sizes, self._right = np.linalg.svd((x - x.mean(0)) * self._scale, full_matrices=False)
        self._targets = left.T @ (y - y.mean(0))
        self._count = len(x)

    def __call__(self, strength: float) -> Floats:
        """The matrix [D,M]."""
        factors = self._sizes / (np.square(self._sizes) + strength * self._count)
        return np.asarray(self._scale[:, None] * (self._right.T @ (factors[:, None] * self._targets)))


def _unpredicted(error: Floats, spread: Floats, names: tuple[str, ...], notes: list[str]) -> NDArray[np.bool_]:
    """Which outputs [M] stay at their mean, because held-out frames are not predicted better by anything else."""
    share = 1 - np.square(error) / np.maximum(np.square(spread), 1e-12)
    steady = share <= _SHARE
    parts = {name: slice(3 * joint, 3 * joint + 3) for joint, name in enumerate(JOINT_NAMES)}
    for name, part in {**parts, "translation": slice(POSE - 3, POSE)}.items():
        chosen = np.arange(len(names), len(error))[part]
        variance = np.square(spread[chosen]).sum()
        explained = 1 - np.square(error[chosen]).sum() / max(variance, 1e-12)
        steady[chosen] = explained < _POSE_SHARE
        if explained < _POSE_SHARE and variance > 1e-8:
            shown = "where the head is" if name == "translation" else f"how the {name} turns"
            notes.append(f"the coefficients do not show {shown}: it stays at its mean")
    lost = [name for name, is_lost, moved in zip(names, steady, spread, strict=False) if is_lost and moved > 0.01]
    if lost:
        notes.append(f"not predicted on held-out frames, and kept at their mean: {', '.join(lost)}")
    return steady


def millimeters(head: HeadModel, names: tuple[str, ...], found: Floats, true: Floats) -> tuple[float, float] | None:
    """Root mean square distance of the face's vertices, and how far they move from their mean, in millimeters.

    Args:
        head: the head model of the expressions.
        names: [E] expressions.
        found: [N,M] predicted outputs.
        true: [N,M] outputs of the motion.

    Returns:
        Both; None where the head has none of the expressions.
    """
    import torch

    shared = [name for name in names if name in head.expression_names]
    if not shared:
        return None
    rows = np.linspace(0, len(true) - 1, min(len(true), _POSED)).astype(int)

    def posed(outputs: Floats) -> Floats:
        params = head.neutral_params(len(rows))
        expression, turns = params.expression.clone(), params.joint_rot.clone()
        for name in shared:
            expression[:, head.expression_index(name)] = torch.from_numpy(outputs[rows, names.index(name)]).float()
        joints = outputs[rows, len(names) : -3].reshape(len(rows), -1, 3)
        turns[:] = torch.from_numpy(joints).float()
        turns[:, [ROOT, NECK]] = 0
        vertices = head.vertices(replace(params, expression=expression, joint_rot=turns))
        return np.asarray(vertices[:, head.mask("face")].double().numpy())

    one, other = posed(found), posed(true)
    distance = np.sqrt(np.square(one - other).sum(2).mean())
    moved = np.sqrt(np.square(other - other.mean(0)).sum(2).mean())
    return 1000 * float(distance), 1000 * float(moved)
