"""The contact sheets show the head."""

from __future__ import annotations

import numpy as np
import torch

from avatar.head import load_head
from avatar.head.shading import openness, shade, vertex_normals
from avatar.head.sheets import View, labeled, posed, render, tiled


def test_a_face_is_drawn_in_skin_color_on_the_background() -> None:
    head = load_head()
    picture = render(head, head.v_template, View(size=96)).astype(int)
    assert picture[60, 48, 0] > picture[60, 48, 2] + 20  # skin is redder than blue
    assert np.abs(picture[2, 2] - [63, 68, 76]).max() <= 1


def test_an_expression_changes_the_picture_where_it_acts() -> None:
    head = load_head()
    view = View(center=(0, -0.035, 0), extent=0.24, size=96)
    change = render(head, posed(head, {"jawOpen": 1}), view).astype(int) - render(head, head.v_template, view)
    assert np.abs(change[60:]).max() > 60 and np.abs(change[:36]).max() < 30


def test_hollows_are_darker_than_open_skin() -> None:
    """The inside of the closed mouth sees no sky, the skull's top nearly all of it."""
    head = load_head()
    normals = vertex_normals(head.v_template, head.faces)
    sky = openness(head.v_template, normals, head.faces)
    assert sky[head.regions["mouth_interior"] & ~head.regions["lips_inner"]].mean() < 0.1
    assert sky[head.v_template[:, 1] > 0.11].mean() > 0.9


def test_light_reaches_round_the_terminator_in_red_first() -> None:
    away = torch.nn.functional.normalize(torch.tensor([[-0.42, -0.5, -0.66]]), dim=1)
    gray, none = torch.full((1, 3), 0.5), torch.zeros(1, 1)
    edge = torch.nn.functional.normalize(torch.tensor([[0.76, 0.0, -0.42]]), dim=1)
    lit, dark = (shade(gray, normal, torch.ones(1, 1), none)[0] for normal in (edge, away))
    assert (lit[0] - dark[0]) > (lit[2] - dark[2]) + 0.01


def test_tiles_fill_up_the_last_row() -> None:
    tile = labeled(np.full((10, 12, 3), 50, np.uint8), "x")
    assert tiled([tile] * 5, 3).shape == (20, 36, 3)
