"""Hidden regions of a face: their expression stays as it was before something came before them.

The frames in which a hand slides in are wrong already, and a region is reported as hidden a little later: what is held
is older than the report. Held and measured expressions blend at both ends.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from avatar.driving.interpolation import smoothstep
from avatar.driving.live.samples import OwnFace, Sample
from avatar.head.arkit import HIDEABLE, region_columns
from avatar.types import JAW, LEFT_EYE, RIGHT_EYE

#: Seconds before the report from which the held expression is, and of the blends to it and back to the measured one.
LOOK_BACK = 0.25
HOLD_FADE = 0.1
RELEASE_FADE = 0.2
#: Joints of each region.
_JOINTS = {"eyes": (LEFT_EYE, RIGHT_EYE), "mouth": (JAW,)}

State = TypeVar("State", Sample, OwnFace)


@dataclass
class _Hold:
    """One region."""

    is_hidden: bool = False
    since: float = 0.0  # seconds, of the last change
    amount: float = 0.0  # 0..1 of the held expression at that time
    weights: np.ndarray | None = None  # [n]
    joints: np.ndarray | None = None  # [m,3]

    def amount_at(self, time: float) -> float:
        """0..1, share of the held expression at `time` seconds."""
        step = (time - self.since) / (HOLD_FADE if self.is_hidden else RELEASE_FADE)
        return min(self.amount + step, 1.0) if self.is_hidden else max(self.amount - step, 0.0)


class RegionHold:
    """Holds the expression of hidden regions, of one source or of one avatar as its own tracker."""

    def __init__(self, names: tuple[str, ...]) -> None:
        """Args: names of the expression weights [E]."""
        self._columns = {region: region_columns(names, region) for region in HIDEABLE}
        self.reset()

    def reset(self) -> None:
        """Forget all: the face is another."""
        self._past: deque[tuple[float, np.ndarray, np.ndarray]] = deque()  # time, weights, joint_rot of the results
        self._holds = {region: _Hold() for region in HIDEABLE}

    def __call__(self, state: State, hidden: tuple[str, ...], time: float) -> State:
        """The state at `time` seconds with what is held of the regions `hidden`."""
        while len(self._past) > 1 and self._past[1][0] <= time - LOOK_BACK:
            self._past.popleft()
        weights = state.weights.copy()
        joint_rot = state.joint_rot.copy()
        for region, hold in self._holds.items():
            columns = self._columns[region]
            joints = list(_JOINTS[region])
            if (region in hidden) != hold.is_hidden:
                hold.amount = hold.amount_at(time)
                hold.since = time
                hold.is_hidden = not hold.is_hidden
                if hold.is_hidden and self._past:
                    _, held, rotations = self._past[0]
                    hold.weights = held[columns]
                    hold.joints = rotations[joints]
            amount = smoothstep(hold.amount_at(time))
            if hold.weights is not None and hold.joints is not None and amount > 0:
                weights[columns] += amount * (hold.weights - weights[columns])
                joint_rot[joints] += amount * (hold.joints - joint_rot[joints])
        self._past.append((time, weights, joint_rot))
        return replace(state, weights=weights, joint_rot=joint_rot)
