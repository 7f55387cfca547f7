"""The smooth color of the lips."""

from __future__ import annotations

import copy

import pytest
import torch

from avatar.model.avatar import Avatar
from avatar.training.parts.mouth_limits import LipTone


@pytest.fixture
def avatar(tiny_avatar: Avatar) -> Avatar:
    """One that a test may change."""
    return copy.deepcopy(tiny_avatar)


def on_lips(avatar: Avatar) -> tuple[torch.Tensor, torch.Tensor]:
    """Mask [V] of the lips, and Gaussians [M] that are moved onto as many of their faces."""
    lips = avatar.head.mask("lips", "lips_inner")
    faces = avatar.head.faces[lips[avatar.head.faces].all(1)]
    count = min(len(faces), len(avatar))
    rows = torch.arange(count)
    avatar.rig.triangles[rows] = faces[torch.linspace(0, len(faces) - 1, count).long()]
    return lips, rows


def test_one_color_stays_that_color_everywhere(avatar: Avatar) -> None:
    lips, rows = on_lips(avatar)
    color = torch.tensor([0.7, 0.4, 0.3])
    found = LipTone(avatar.head, lips).at(avatar, rows[:5], color.repeat(5, 1), rows)
    torch.testing.assert_close(found, color.expand(len(rows), 3))


def test_upper_and_lower_lip_have_their_own_color(avatar: Avatar) -> None:
    lips, rows = on_lips(avatar)
    head = avatar.head
    height = head.v_template[:, 1]
    middle = float(height[lips].median())
    upper = height[avatar.rig.triangles[rows]].mean(1) > middle
    away = (height[avatar.rig.triangles[rows]].mean(1) - middle).abs() > 0.004
    colors = torch.where(upper[:, None], torch.tensor([0.8, 0.4, 0.4]), torch.tensor([0.4, 0.2, 0.2]))
    found = LipTone(head, lips).at(avatar, rows, colors, rows)
    assert upper.any() and away.any()
    assert float((found - colors)[away].abs().max()) < 0.1


def test_an_odd_gaussian_hardly_changes_the_color_around_it(avatar: Avatar) -> None:
    lips, rows = on_lips(avatar)
    colors = torch.full((len(rows), 3), 0.5)
    colors[7] = torch.tensor([1.0, 0.0, 0.0])
    found = LipTone(avatar.head, lips).at(avatar, rows, colors, rows)
    assert 0 < float((found - 0.5).abs().max()) < 0.25
