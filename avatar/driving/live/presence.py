"""The avatar's pose while no face is tracked: hold the last pose, return to neutral, and blend back to the driver."""

from __future__ import annotations

from dataclasses import dataclass

from avatar.driving.interpolation import interpolate_params, smoothstep
from avatar.types import HeadParams


@dataclass(frozen=True)
class PresenceOptions:
    """Durations in seconds."""

    hold: float = 0.3
    """after the face is lost the avatar keeps its pose: many losses are shorter"""
    to_neutral: float = 0.5
    """blend from there to the avatar's neutral"""
    to_driver: float = 0.25
    """blend from the current pose to the performer's once the face is tracked again"""


class Presence:
    """Blends the performer's pose with the avatar's neutral as the face is lost and found."""

    def __init__(self, neutral: HeadParams, options: PresenceOptions) -> None:
        """Args: parameters [1] of the avatar at rest; durations."""
        self.neutral = neutral
        self._options = options
        self.reset()

    def reset(self) -> None:
        """Return to the state before the first face: at rest."""
        self._last = self._blend_from = self.neutral
        self._lost_at: float | None = float("-inf")
        self._found_at = float("-inf")

    @property
    def is_lost(self) -> bool:
        """Whether no face is tracked."""
        return self._lost_at is not None

    def update(self, params: HeadParams, time: float) -> None:
        """Set the performer's pose of a face tracked at `time` seconds."""
        if self._lost_at is not None:
            self._blend_from = self.params_at(time)
            # After a loss shorter than the hold the pose still jumps a little, hence the same blend.
            self._found_at = time
            self._lost_at = None
        self._last = params

    def mark_lost(self, time: float) -> None:
        """Record that no face was found at `time` seconds."""
        if self._lost_at is None:
            self._last = self.params_at(time)
            self._lost_at = time

    def params_at(self, time: float) -> HeadParams:
        """The avatar's parameters [1] at `time` seconds."""
        options = self._options
        if self._lost_at is None:
            return interpolate_params(
                self._blend_from, self._last, smoothstep((time - self._found_at) / options.to_driver)
            )
        elapsed = (time - self._lost_at - options.hold) / options.to_neutral
        return interpolate_params(self._last, self.neutral, smoothstep(elapsed))
