"""What can be drawn, and the sentence where something cannot."""

from __future__ import annotations

from typing import Any

import pytest

from avatar.errors import HeadsplatError
from viewer.render.view_settings import KINDS, Look


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("kind", "normals", "kind: 'normals' is no picture of an avatar; give one of rgb, alpha, depth, mesh, binding"),
        ("mesh_overlay", 1.5, "mesh_overlay: 1.5 cannot be drawn; give 0 to 1"),
        ("mesh_overlay", float("nan"), "mesh_overlay: nan cannot be drawn; give 0 to 1"),
        ("background", (1.0, 1.0), "background: expected red, green and blue, got 2 values"),
        ("background", (0.0, 0.5, 255.0), "background: 255 cannot be drawn; give 0 to 1"),
        ("splat_scale", 0.0, "splat_scale: 0 cannot be drawn; give 0.05 to 2"),
        ("sh_degree", 4, "sh_degree: 4 cannot be drawn; give 0 to 3"),
        ("count", 0, "count: 0 cannot be drawn; give 1 or more"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_a_sentence(field: str, value: Any, sentence: str) -> None:
    with pytest.raises(HeadsplatError) as error:
        Look(**{field: value})
    assert str(error.value) == sentence


@pytest.mark.parametrize("kind", KINDS)
def test_the_ends_of_every_range_can_be_drawn(kind: Any) -> None:
    for look in (Look(kind, 0, (0.0, 0.0, 0.0), 0.05, 0, 1), Look(kind, 1, (1.0, 1.0, 1.0), 2, 3, 10**6)):
        assert look.kind == kind
