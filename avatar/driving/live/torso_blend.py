"""The avatar's torso while the performer's is measured: gradual changes between the measurement and the torso map."""

from __future__ import annotations

from torch import Tensor

from avatar.model.torso import MeasuredTorso

#: Confidence of a measurement up to which it does not count, and from which on the torso map does not count.
_DISTRUST = 0.5
_TRUST = 0.8
#: Seconds from one to the other.
_FADE = 0.4


class TorsoBlend:
    """Keeps the last certain measurement, and how much it counts."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Return to the torso map."""
        self._moved: Tensor | None = None
        self._trust = self._goal = 0.0
        self._time = float("-inf")  # seconds, of the last measurement

    def update(self, moved: Tensor | None, confidence: float, time: float) -> None:
        """Set the motion [1,3] of the torso from the performer's neutral at `time` seconds; None: not measured."""
        self._trust = self.trust_at(time)
        self._time = time
        self._goal = 0.0 if moved is None else min(max((confidence - _DISTRUST) / (_TRUST - _DISTRUST), 0.0), 1.0)
        if moved is not None and self._goal > 0:
            self._moved = moved

    def trust_at(self, time: float) -> float:
        """0..1 at `time` seconds."""
        step = min((time - self._time) / _FADE, 1.0)
        return self._trust + min(max(self._goal - self._trust, -step), step)

    def at(self, time: float) -> MeasuredTorso | None:
        """The torso at `time` seconds; None: that of the torso map."""
        trust = self.trust_at(time)
        return None if self._moved is None or trust <= 0 else MeasuredTorso(self._moved, trust)
