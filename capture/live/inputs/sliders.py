"""Expressions set by hand."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np

from avatar.arkit import ARKIT_52
from avatar.errors import HeadsplatError
from avatar.motion.files.names import ARKIT
from avatar.records import JOINT_NAMES
from capture.live.sample import Sample

from .traffic import Rate


class SliderInput:
    """A face that stays as it was set; a sample comes at the start and whenever something has changed."""

    name = "sliders"

    def __init__(
        self,
        names: Sequence[str] = ARKIT_52,
        space: str = ARKIT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            names: of the expressions, a slider each.
            space: of the names.
            clock: seconds; what a Sample's time is measured with.
        """
        self.names, self.space, self._clock = tuple(names), space, clock
        self._places = {name: place for place, name in enumerate(self.names)}
        self._lock = threading.Lock()
        self._weights = np.zeros(len(self.names), np.float32)
        self._joints = np.zeros((len(JOINT_NAMES), 3), np.float32)
        self._changed: float | None = None
        self._running, self._set, self._given = False, 0, 0
        self._rate = Rate()

    def start(self) -> None:
        """Give the face as it is, and from now on each change."""
        with self._lock:
            self._running, self._changed = True, self._clock()

    def earlier(self) -> Sequence[Sample]:
        """Nothing: what came first was given."""
        return ()

    def stop(self) -> None:
        """Give nothing more."""
        with self._lock:
            self._running = False

    def set(self, values: Mapping[str, float], joint_rot: Mapping[str, Sequence[float]] | None = None) -> None:
        """Move sliders; those that are not named stay.

        Args:
            values: expression -> weight.
            joint_rot: joint of JOINT_NAMES -> axis-angle [3], radians.

        Raises:
            HeadsplatError: no such expression or joint, or a value that is no number.
        """
        turns = joint_rot or {}
        for name in values:
            _check_name(name, self.names, "expression")
        for name in turns:
            _check_name(name, JOINT_NAMES, "joint")
        numbers = np.array([*values.values(), *(number for turn in turns.values() for number in turn)], np.float64)
        if not np.isfinite(numbers).all() or any(len(turn) != 3 for turn in turns.values()):
            raise HeadsplatError("sliders: a weight is a number, a joint's turn three (radians); set them again")
        with self._lock:
            for name, value in values.items():
                self._weights[self._places[name]] = value
            for name, turn in turns.items():
                self._joints[JOINT_NAMES.index(name)] = turn
            self._changed = self._clock()
            self._set += 1

    def reset(self) -> None:
        """All at rest."""
        with self._lock:
            self._weights[:] = 0
            self._joints[:] = 0
            self._changed = self._clock()
            self._set += 1

    def values(self) -> dict[str, float]:
        """Where the sliders stand."""
        with self._lock:
            return dict(zip(self.names, self._weights.tolist(), strict=True))

    def latest(self) -> Sample | None:
        """The face, once after each change."""
        with self._lock:
            if not self._running or self._changed is None:
                return None
            changed, self._changed = self._changed, None
            self._given += 1
            self._rate.add(changed)
            place, stamps = np.zeros(3, np.float32), {"set": changed}
            face = self._weights.copy(), self._joints.copy(), place
            return Sample(changed, self.names, self.space, *face, confidence=1.0, stamps=stamps)

    def facts(self) -> dict[str, Any]:
        """Counts: `received` changes, `samples` given."""
        with self._lock:
            rate = self._rate.of(self._clock())
            counts = {"received": self._set, "samples": self._given, "dropped": 0, "malformed": 0}
            return {"input": self.name, **counts, "rate": rate}


def _check_name(name: str, names: Sequence[str], what: str) -> None:
    if name not in names:
        close = get_close_matches(name, names, 1)
        hint = (
            f"did you mean {close[0]}?" if close else f"the first of them is {names[0]}" if names else "there is none"
        )
        raise HeadsplatError(f"sliders: no {what} is called {name[:60]!r}; {hint}")
