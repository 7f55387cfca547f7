"""View settings: valid ranges and error messages."""

from __future__ import annotations

from typing import Any

import pytest

from avatar.errors import HeadsplatError
from viewer.render.view_settings import VIEW_KINDS, ViewSettings


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("kind", "normals", "kind: unknown kind of image 'normals'; give one of rgb, alpha, depth, mesh, binding"),
        ("mesh_overlay", 1.5, "mesh_overlay: expected 0 to 1, got 1.5"),
        ("mesh_overlay", float("nan"), "mesh_overlay: expected 0 to 1, got nan"),
        ("background", (1.0, 1.0), "background: expected red, green and blue, got 2 values"),
        ("background", (0.0, 0.5, 255.0), "background: expected 0 to 1, got 255"),
        ("splat_scale", 0.0, "splat_scale: expected 0.05 to 2, got 0"),
        ("sh_degree", 4, "sh_degree: expected 0 to 3, got 4"),
        ("count", 0, "count: expected 1 or more, got 0"),
    ],
)
def test_invalid_values_are_a_one_line_error(field: str, value: Any, message: str) -> None:
    with pytest.raises(HeadsplatError) as error:
        ViewSettings(**{field: value})
    assert str(error.value) == message


@pytest.mark.parametrize("kind", VIEW_KINDS)
def test_the_limits_of_every_range_are_valid(kind: Any) -> None:
    for view in (
        ViewSettings(kind, 0, (0.0, 0.0, 0.0), 0.05, 0, 1),
        ViewSettings(kind, 1, (1.0, 1.0, 1.0), 2, 3, 10**6),
    ):
        assert view.kind == kind
