"""Turns by which the frames of a video can be set upright."""

from __future__ import annotations

#: Degrees counter-clockwise.
TURNS = (0, 90, 180, 270)


def turn_sentence(turn: int) -> str:
    """What was done about a video whose frames were turned by `turn` degrees counter-clockwise."""
    how = "upside down" if turn == 180 else "on its side"
    return f"the face is {how} in the video; the frames were turned by {turn} degrees counter-clockwise"
