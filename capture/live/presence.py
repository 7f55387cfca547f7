"""What an avatar does while its driver cannot be seen: it waits, comes to rest, and takes up again without a jump."""

from __future__ import annotations

from dataclasses import dataclass

from avatar.driving.interpolation import interpolate_params, smoothstep
from avatar.types import HeadParams


@dataclass(frozen=True)
class PresenceOptions:
    """Seconds."""

    hold: float = 0.3
    """after the face is lost the avatar stays as it is: many losses are shorter"""
    ease: float = 0.5
    """from there to its neutral"""
    back: float = 0.25
    """from wherever it is to the driver's face once that is seen again"""


class Presence:
    """Blends the tracked face with the avatar's neutral."""

    def __init__(self, neutral: HeadParams, options: PresenceOptions) -> None:
        """Args: the avatar at rest [1]; how long things take."""
        self.neutral, self._options = neutral, options
        self.reset()

    def reset(self) -> None:
        """At rest, nobody seen yet."""
        self._held = self._from = self.neutral
        self._lost_at: float | None = float("-inf")
        self._back_at = float("-inf")

    @property
    def lost(self) -> bool:
        """Whether nobody is seen."""
        return self._lost_at is not None

    def seen(self, params: HeadParams, time: float) -> None:
        """The face was tracked at `time` seconds."""
        if self._lost_at is not None:
            self._from = self.shown(time)
            # After a loss shorter than the hold there is still a small step, hence the same way back.
            self._back_at, self._lost_at = time, None
        self._held = params

    def missed(self, time: float) -> None:
        """A picture at `time` seconds shows no face."""
        if self._lost_at is None:
            self._held = self.shown(time)
            self._lost_at = time

    def shown(self, time: float) -> HeadParams:
        """What the avatar does at `time` seconds."""
        options = self._options
        if self._lost_at is None:
            return interpolate_params(self._from, self._held, smoothstep((time - self._back_at) / options.back))
        away = (time - self._lost_at - options.hold) / options.ease
        return interpolate_params(self._held, self.neutral, smoothstep(away))
