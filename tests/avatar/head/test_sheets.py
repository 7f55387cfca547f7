"""The contact sheets show the head."""

from __future__ import annotations

import numpy as np

from avatar.head import load_head
from avatar.head.sheets import View, labelled, posed, render, tiled


def test_a_face_is_drawn_in_skin_colour_on_the_background() -> None:
    head = load_head()
    picture = render(head, head.v_template, View(size=96)).astype(int)
    assert picture[60, 48, 0] > picture[60, 48, 2] + 20  # skin is redder than blue
    assert np.abs(picture[2, 2] - [63, 68, 76]).max() <= 1


def test_an_expression_changes_the_picture_where_it_acts() -> None:
    head = load_head()
    view = View(centre=(0, -0.035, 0), extent=0.24, size=96)
    change = render(head, posed(head, {"jawOpen": 1}), view).astype(int) - render(head, head.v_template, view)
    assert np.abs(change[60:]).max() > 60 and np.abs(change[:36]).max() < 30


def test_tiles_fill_up_the_last_row() -> None:
    tile = labelled(np.full((10, 12, 3), 50, np.uint8), "x")
    assert tiled([tile] * 5, 3).shape == (20, 36, 3)
