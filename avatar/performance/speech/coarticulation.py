"""Coarticulation: gestures blended by dominance functions, then what lips and teeth must do, solved exactly.

A gesture has a dominance that is full in its core and falls exponentially before and after it; a weight is the mean of
the targets weighted by the dominance of all gestures (Cohen and Massaro 1993, equations 1 to 4), for the opening and
the shape of the lips separately (JALI). The distance from the core is rounded at its ends, so that weights are smooth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avatar.performance.speech.gestures import Array, Demand, Gestures
from avatar.performance.speech.visemes import CONTROLS, OPENING_CONTROLS

#: Seconds beyond the core at which a dominance is 0, and of the rounding at the ends of the core.
_WINDOW = 0.6
_ROUNDING = 0.012
#: Dominance of the resting mouth everywhere.
_REST = 1e-4
#: Gestures blended at a time.
_BLOCK = 2048
#: Seconds in which lips or jaw reach what is required, and leave it.
_CLOSING = {"closure": 0.07, "labiodental": 0.07, "sibilant": 0.06}
_OPENING = {"closure": 0.035, "labiodental": 0.06, "sibilant": 0.06}
#: Meters between the lips in a closure: pressed.
PRESSED = -0.0004
#: Of neighboring demands: part of the time between them that both together may use.
_BETWEEN = 0.8
#: Seconds in which lips can close or open at least.
_FASTEST = 0.015
#: Seconds around a demand that it can change.
_NEAR = 0.2
#: Controls that would hold the lips apart in a contact.
_OPENERS = ("mouthLowerDown", "mouthUpperUp", "tongueOut")


@dataclass(frozen=True, eq=False)
class Lips:
    """The effect of the controls of the mouth on the lip gap (`avatar.motion.lip_gap`)."""

    at_rest: float  # meters
    opening: Array  # [C] meters that a weight of 1 adds

    def gap(self, weights: Array) -> Array:
        """The lip gap [T] in meters for weights [T,C]."""
        return np.asarray(self.at_rest + weights @ self.opening)


def blended(gestures: Gestures, times: Array) -> Array:
    """Weights [T,C] of CONTROLS at `times` [T] seconds, evenly spaced."""
    jaw = np.array([name in OPENING_CONTROLS for name in CONTROLS])
    sums = np.full((2, len(times)), _REST)
    weights = np.zeros((len(CONTROLS), len(times)))
    for first in range(0, len(gestures.attack), _BLOCK):
        block = slice(first, first + _BLOCK)
        for part, core in enumerate((gestures.jaw_core[block], gestures.lip_core[block])):
            rows, frames = _frames_near(core, times)
            strength = gestures.strength[block, part][rows] * _falloff(gestures, block, core, rows, times[frames])
            sums[part] += np.bincount(frames, strength, len(times))
            for column in np.flatnonzero(jaw if part == 0 else ~jaw):
                targets = gestures.targets[block, column]
                if targets.any():
                    weights[column] += np.bincount(frames, strength * targets[rows], len(times))
    return np.asarray((weights / np.where(jaw[:, None], sums[0], sums[1])).T)


def _frames_near(core: Array, times: Array) -> tuple[np.ndarray, np.ndarray]:
    """Rows [m] of gestures and numbers [m] of frames within the window of each other."""
    first = np.searchsorted(times, core[:, 0] - _WINDOW)
    count = np.searchsorted(times, core[:, 1] + _WINDOW) - first
    rows = np.repeat(np.arange(len(core)), count)
    return rows, np.arange(len(rows)) - np.repeat(count.cumsum() - count, count) + first[rows]


def _falloff(gestures: Gestures, block: slice, core: Array, rows: np.ndarray, times: Array) -> Array:
    """Dominance [m], 0..1, of gestures `rows` of a block at `times` [m]."""
    before = core[rows, 0] - times
    after = times - core[rows, 1]
    outside = np.maximum(np.maximum(before, after), 0)
    distance = np.hypot(outside, _ROUNDING) - _ROUNDING
    constant = np.where(before > 0, gestures.attack[block][rows], gestures.decay[block][rows])
    return np.asarray(np.exp(-distance / constant) * (1 - (outside / _WINDOW).clip(0, 1) ** 2) ** 2)


def envelope(demands: Sequence[Demand], row: int, times: Array) -> Array:
    """How far demand `row` is met at `times` [T] seconds, evenly spaced: 0..1.

    It is 1 in the time span of the demand, and at least in the frame nearest to its middle, so that no demand falls
    between two frames. In the middle of the vowels around it, it is 0: the lips open in every vowel.
    """
    demand = demands[row]
    nearest = float(times[np.abs(times - (demand.start + demand.end) / 2).argmin()])
    start = min(demand.start, nearest)
    end = max(demand.end, nearest)
    before = _neighbor(demands, row, -1)
    after = _neighbor(demands, row, 1)
    rise = min(_CLOSING[demand.kind], demand.before, max(_BETWEEN / 2 * (start - before), 0))
    fall = min(_OPENING[demand.kind], demand.after, max(_BETWEEN / 2 * (after - end), 0))
    rise = max(rise, _FASTEST)
    fall = max(fall, _FASTEST)
    return _smooth(((times - start) / rise + 1).clip(0, 1)) * _smooth(((end - times) / fall + 1).clip(0, 1))


def solved(weights: Array, demands: Sequence[Demand], times: Array, lips: Lips) -> Array:
    """Weights [T,C] in which all demands are met.

    The jaw is limited first, then contact weights are blended in, then mouthClose closes what jaw and lips still open,
    never more: where the upper lip is raised to show the teeth, the gap that remains is what it was raised by.
    """
    columns = {name: column for column, name in enumerate(CONTROLS)}
    weights = weights.clip(0, 1)
    touching = np.zeros_like(weights)
    shut = np.zeros(len(times))
    dental = np.zeros(len(times))
    for row, demand in enumerate(demands):  # in the frames around each: memory does not grow with their number
        near = slice(*np.searchsorted(times, (demand.start - _NEAR, demand.end + _NEAR)))
        if near.start == near.stop:
            continue
        amount = envelope(demands, row, times[near])
        jaw = weights[near, columns["jawOpen"]]
        weights[near, columns["jawOpen"]] = jaw - amount * np.maximum(jaw - demand.jaw_most, 0)
        for control, weight in demand.contact:
            touching[near, columns[control]] = np.maximum(touching[near, columns[control]], amount * weight)
        if demand.kind != "sibilant":
            reached = shut if demand.kind == "closure" else dental
            reached[near] = np.maximum(reached[near], amount)
    return closed(weights, touching, shut, dental * (1 - shut), lips)


def closed(weights: Array, touching: Array, shut: Array, dental: Array, lips: Lips) -> Array:
    """Weights in which the lips touch as far as they should.

    Args:
        weights: [T,C] of CONTROLS.
        touching: [T,C] weights of the contact, as far as it is reached.
        shut: [T] 0..1, how far a closure is reached.
        dental: [T] 0..1, how far a labiodental contact is reached; with `shut` at most 1.
        lips: effect of the controls on the lip gap.
    """
    columns = list(CONTROLS)
    close = columns.index("mouthClose")
    upper = columns.index("mouthUpperUp")
    contact = shut + dental
    weights = weights.copy()
    for name in _OPENERS:
        weights[:, columns.index(name)] *= 1 - contact
    weights = np.maximum(weights, touching).clip(0, 1)
    target = (shut * PRESSED + dental * weights[:, upper] * lips.opening[upper]) / np.maximum(contact, 1e-9)
    excess = np.maximum(lips.gap(weights) - target, 0)
    weights[:, close] += contact * excess / -lips.opening[close]
    return weights.clip(0, 1)


def _smooth(values: Array) -> Array:
    """Smoothstep of values in 0..1."""
    return values * values * (3 - 2 * values)


def _neighbor(demands: Sequence[Demand], row: int, step: int) -> float:
    """The end of the demand of the same kind before (-1), or the start of the one after (1)."""
    other = row + step
    while 0 <= other < len(demands) and demands[other].kind != demands[row].kind:
        other += step
    if not 0 <= other < len(demands):
        return -np.inf if step < 0 else np.inf
    return demands[other].end if step < 0 else demands[other].start
