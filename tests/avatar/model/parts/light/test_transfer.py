"""Baked shadows: of a known occluder, and on a head."""

from __future__ import annotations

import torch

from avatar.head import load_head
from avatar.model.avatar import Avatar
from avatar.model.parts.light.harmonics import TERMS, directional, open_transfer, sphere
from avatar.model.parts.light.head_light import HeadLight
from avatar.model.parts.light.transfer import BOUNCE, Shadows
from tests.support.parts import required


def test_a_wall_hides_its_side_of_the_sky() -> None:
    """A wall 20 cm wide and 40 cm high stands 2 cm to the right of a point on the floor."""
    wall = torch.tensor([[0.02, -0.1, -0.1], [0.02, 0.3, -0.1], [0.02, 0.3, 0.1], [0.02, -0.1, 0.1]])
    shadows = Shadows(wall, torch.tensor([[0, 1, 2], [0, 2, 3], [0, 2, 1], [0, 3, 2]]))
    point, up = torch.zeros(1, 3), torch.tensor([[0.0, 1.0, 0.0]])
    hidden = shadows.hidden(point, up)[:, 0] > 0
    directions = sphere(len(hidden)).float()
    at = directions * (0.02 / directions[:, :1].clamp_min(1e-6))  # where each direction meets the wall's plane
    inside = (directions[:, 0] > 0.1) & (at[:, 2].abs() < 0.09) & (at[:, 1] > -0.09) & (at[:, 1] < 0.28)
    outside = (directions[:, 0] < 0) | (at[:, 2].abs() > 0.12) | (at[:, 1] > 0.33)
    assert bool(hidden[inside].all()) and not bool(hidden[outside].any())


def test_light_from_behind_the_wall_is_lost_and_from_the_other_side_stays() -> None:
    wall = torch.tensor([[0.02, -0.1, -0.1], [0.02, 0.3, -0.1], [0.02, 0.3, 0.1], [0.02, -0.1, 0.1]])
    shadows = Shadows(wall, torch.tensor([[0, 1, 2], [0, 2, 3], [0, 2, 1], [0, 3, 2]]))
    up = torch.tensor([[0.0, 1.0, 0.0]])
    bare = open_transfer(up)
    shaded = bare - shadows.taken(torch.zeros(1, 3), up)
    right, left = (directional(torch.tensor([x, 0.5, 0.0]), torch.ones(3)) for x in (1.0, -1.0))
    assert float((shaded @ right)[0, 0]) < 0.5 * float((bare @ right)[0, 0])
    assert float((shaded @ left)[0, 0]) > 0.8 * float((bare @ left)[0, 0])
    assert BOUNCE * float(bare[0, 0]) < float(shaded[0, 0]) < float(bare[0, 0])


def test_the_chin_shades_the_neck_and_the_nose_is_open(bright_avatar: Avatar) -> None:
    assert bright_avatar.part(HeadLight) is not None
    surface, head = required(bright_avatar, HeadLight).surface, bright_avatar.head
    above = directional(torch.tensor([0.0, 1.0, 0.3]), torch.ones(3))
    vertices = load_head().v_template
    neck = head.mask("neck") & (vertices[:, 2] > vertices[:, 2].max() - 0.10)
    nose = head.mask("nose")
    lit = (surface @ above)[:, 0]
    assert float(lit[nose].mean()) > 1.5 * float(lit[neck].mean())


def test_every_gaussian_has_a_finite_transfer_of_at_most_an_open_surface(bright_avatar: Avatar) -> None:
    assert bright_avatar.part(HeadLight) is not None
    transfer = required(bright_avatar, HeadLight).transfer
    assert transfer.shape == (len(bright_avatar), TERMS) and bool(transfer.isfinite().all())
    assert float(transfer[:, 0].min()) > 0 and float(transfer[:, 0].max()) <= 0.2821
