"""Frame rates that people give: the one limit of all of them."""

from __future__ import annotations

from avatar.errors import HeadsplatError

MOST_FPS = 1000.0


def check_fps(fps: float | None, what: str = "fps") -> None:
    """Raise HeadsplatError unless `fps`, which `what` names, is none or a rate that makes sense."""
    if fps is not None and not 0 < fps <= MOST_FPS:
        raise HeadsplatError(f"{what}: expected more than 0 and at most {MOST_FPS:g} frames a second, got {fps:g}")
