"""The motion of a capture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from avatar.data.capture_folder import Capture
from avatar.head import load_head
from avatar.motion.from_capture import motion_of


def changed(capture: Capture, change: float) -> Capture:
    """The capture with the same change of every expression in its first row."""
    changes = np.zeros(np.shape(capture.track["expression"]))
    changes[0] = change
    return replace(capture, track={**capture.track, "expression_change": changes})


def test_expressions_are_changed_by_what_the_pixels_show_within_their_limits(tiny: Capture) -> None:
    head = load_head()
    before = tiny.params(np.arange(len(tiny))).expression
    for change in (0.3, -0.3):
        found = motion_of(changed(tiny, change), head, pixels=True).weights
        low, high = head.expression_limits
        torch.testing.assert_close(found[0], (before[0] + change).maximum(low).minimum(high))
        torch.testing.assert_close(found[1:], before[1:])


def test_an_avatar_follows_the_landmarks_alone(tiny: Capture) -> None:
    before = tiny.params(np.arange(len(tiny))).expression
    torch.testing.assert_close(motion_of(changed(tiny, 0.3), load_head()).weights, before)


def test_a_capture_without_changes_is_read_as_tracked(tiny: Capture) -> None:
    found = motion_of(tiny, load_head(), pixels=True).weights
    torch.testing.assert_close(found, tiny.params(np.arange(len(tiny))).expression)
