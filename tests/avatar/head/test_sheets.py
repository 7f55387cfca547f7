"""The contact sheets of a head."""

from __future__ import annotations

import numpy as np
import torch

from avatar.head import load_head
from avatar.head.shading import openness, shade, vertex_normals
from avatar.head.sheets import View, add_label, arrange_tiles, pose_vertices, render


def test_a_face_is_rendered_in_skin_color_on_the_background() -> None:
    head = load_head()
    image = render(head, head.v_template, View(size=96)).astype(int)
    assert image[60, 48, 0] > image[60, 48, 2] + 20  # skin is redder than blue
    assert np.abs(image[2, 2] - [63, 68, 76]).max() <= 1


def test_an_expression_changes_only_its_area_of_the_image() -> None:
    head = load_head()
    view = View(center=(0, -0.035, 0), extent=0.24, size=96)
    change = render(head, pose_vertices(head, {"jawOpen": 1}), view).astype(int) - render(head, head.v_template, view)
    assert np.abs(change[60:]).max() > 60 and np.abs(change[:36]).max() < 30


def test_hollows_are_darker_than_open_skin() -> None:
    """The inside of the closed mouth is occluded, the top of the skull is open."""
    head = load_head()
    normals = vertex_normals(head.v_template, head.faces)
    sky = openness(head.v_template, normals, head.faces)
    assert sky[head.regions["mouth_interior"] & ~head.regions["lips_inner"]].mean() < 0.1
    assert sky[head.v_template[:, 1] > 0.11].mean() > 0.9


def test_diffuse_wrap_is_widest_in_red() -> None:
    away = torch.nn.functional.normalize(torch.tensor([[-0.42, -0.5, -0.66]]), dim=1)
    gray, none = torch.full((1, 3), 0.5), torch.zeros(1, 1)
    edge = torch.nn.functional.normalize(torch.tensor([[0.76, 0.0, -0.42]]), dim=1)
    lit, dark = (shade(gray, normal, torch.ones(1, 1), none)[0] for normal in (edge, away))
    assert (lit[0] - dark[0]) > (lit[2] - dark[2]) + 0.01


def test_the_last_row_of_tiles_is_padded() -> None:
    tile = add_label(np.full((10, 12, 3), 50, np.uint8), "x")
    assert arrange_tiles([tile] * 5, 3).shape == (20, 36, 3)
