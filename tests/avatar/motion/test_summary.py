"""The summary of a motion."""

from __future__ import annotations

import torch

from avatar.motion.summary import MotionSummary
from avatar.types import Motion


def motion(names: tuple[str, ...], peaks: list[float]) -> Motion:
    weights = torch.tensor([[0.0] * len(peaks), peaks])
    return Motion(torch.tensor([0.0, 1.0]).double(), names, weights, "x", torch.zeros(2, 5, 3), torch.zeros(2, 3))


def test_only_the_most_active_numbered_coefficients_are_listed() -> None:
    names = tuple(f"expr{k}" for k in range(100))
    text = MotionSummary.of(motion(names, [0.1 + k / 10 for k in range(100)]), "take").to_text().splitlines()
    rows = [line for line in text if line.startswith("expr") and not line.startswith("expression")]
    assert [row.split()[0] for row in rows] == [f"expr{99 - k}" for k in range(12)]
    assert text[-1] == "and 88 more (--json has all)"


def test_weights_outside_0_to_1_are_named() -> None:
    text = MotionSummary.of(motion(("jawOpen", "eyeBlinkRight", "jawLeft"), [1.0, 5.7, -0.5]), "take").to_text()
    assert "2 expressions outside 0 to 1: eyeBlinkRight reaches 5.70, jawLeft reaches -0.50" in text
