"""Motions that were made, not recorded: zero weights are the resting face."""

from __future__ import annotations

from dataclasses import replace

from avatar.types import Motion

#: The note of a made motion. Only `.motion.npz` stores notes.
MADE = "made, not recorded: zero weights are the resting face"


def is_made(motion: Motion) -> bool:
    """Whether zero weights of a motion are the resting face, so that none has to be found in it."""
    return MADE in motion.notes


def as_made(motion: Motion, notes: tuple[str, ...] = ()) -> Motion:
    """The motion with `notes` and the note of a made one, instead of the notes that it has."""
    return replace(motion, notes=(*notes, MADE))
