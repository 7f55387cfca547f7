"""Eyes that are closed in the frames: lids of the head model that meet there.

The prior on expressions, and landmarks of closed lids that keep some distance, leave the lids of the head model open by
10 to 30 % where the frames show closed eyes. An avatar trained so shows closed eyes at those weights, and has no
right place for its lids when a blink really closes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from avatar.motion.correspondence import closures
from capture.tracker.indices import FACE_COUNT
from capture.tracker.problem import FrameProblem, State

#: Landmarks of the upper and of the lower lid, of the right and of the left eye.
LID_PAIRS = (((159, 158, 160), (145, 153, 144)), ((386, 385, 387), (374, 380, 373)))
#: Openings in the landmarks, as fractions of the person's usual one: eyes are closed up to the first, and the head
#: model is not changed from the second on.
CLOSED = 0.15
OPEN = 0.33
#: Opening of closed lids, as a fraction of that of the neutral head: their rims overlap.
OVERLAP = -0.05
#: The person's usual opening is this quantile over the training frames.
USUAL_QUANTILE = 0.7
_BLINK = ("eyeBlinkRight", "eyeBlinkLeft")
_WIDE = ("eyeWideRight", "eyeWideLeft")


def lid_openings(problem: FrameProblem, states: Sequence[State], points: np.ndarray) -> np.ndarray:
    """Opening [T,2] of the right and of the left eye in landmarks, as fractions of that of the neutral head.

    NaN where landmarks of the lids are missing.

    Args:
        problem: identity and camera.
        states: [T] poses.
        points: landmarks [T,L,2 or 3] pixels.
    """
    openings = np.empty((len(states), 2))
    for frame, state in enumerate(states):
        neutral = problem.reproject(replace(state, expression=np.zeros_like(state.expression)))
        for eye, pairs in enumerate(LID_PAIRS):
            upper, lower = (list(side) for side in pairs)
            opening = (neutral[upper] - neutral[lower]).mean(0)
            seen = (points[frame, upper, :2] - points[frame, lower, :2]).mean(0)
            openings[frame, eye] = seen @ opening / max(float(opening @ opening), 1e-12)
    return openings


def usual_openings(problem: FrameProblem, states: Sequence[State], points: np.ndarray) -> np.ndarray:
    """The person's usual openings [2] over training frames; arguments as for `lid_openings`."""
    openings = lid_openings(problem, states, points)
    return np.array(
        [
            np.quantile(each[np.isfinite(each)], USUAL_QUANTILE) if np.isfinite(each).any() else 1.0
            for each in openings.T
        ]
    )


def with_closed_lids(
    problem: FrameProblem, states: Sequence[State], points: np.ndarray, usual: np.ndarray
) -> list[State]:
    """`states` [T] with more blink, and without eyeWide, where the landmarks show closed eyes.

    Args:
        problem: identity and camera.
        states: [T]; returned unchanged for a head without blinks.
        points: landmarks [T,L,2 or 3] pixels.
        usual: [2], from `usual_openings`.
    """
    names = problem.model.names
    if not set(_BLINK) <= set(names) or not len(states):
        return list(states)
    relative = lid_openings(problem, states, points) / np.maximum(usual, 1e-6)
    closedness = np.nan_to_num(np.clip((OPEN - relative) / (OPEN - CLOSED), 0, 1))
    closedness = closedness * closedness * (3 - 2 * closedness)
    closing = closures(problem.neutral, problem.model.expression_basis.reshape(FACE_COUNT, 3, -1))
    expression = np.stack([state.expression for state in states])
    opening = 1 - expression @ closing.T
    for eye, (blink, wide) in enumerate(zip(_BLINK, _WIDE, strict=True)):
        target = opening[:, eye] + closedness[:, eye] * (np.minimum(opening[:, eye], OVERLAP) - opening[:, eye])
        if wide in names:
            expression[:, names.index(wide)] *= 1 - closedness[:, eye]
        column = names.index(blink)
        missing = 1 - expression @ closing[eye] - target
        weight = expression[:, column] + missing / max(closing[eye, column], 0.1)
        closed = np.clip(weight, expression[:, column], problem.model.limits[1, column])
        expression[:, column] = np.where(closedness[:, eye] > 0, closed, expression[:, column])
    return [replace(state, expression=row) for state, row in zip(states, expression, strict=True)]
