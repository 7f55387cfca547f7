"""The valid range of frame rates given by users."""

from __future__ import annotations

from avatar.errors import HeadsplatError

MAX_FPS = 1000.0


def check_fps(fps: float | None) -> None:
    """Raise HeadsplatError unless `fps` is None or within the valid range."""
    if fps is not None and not 0 < fps <= MAX_FPS:
        raise HeadsplatError(f"fps: expected more than 0 and at most {MAX_FPS:g} frames per second, got {fps:g}")
