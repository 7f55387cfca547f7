"""`ops.sampled_normal`: native compared with the reference, the reference with the derivatives of a known image."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import cuda_ext
from avatar import ops, reference
from avatar.geometry.rotations import axis_angle_to_matrix
from tests.avatar.ops.splat_scenes import largest

#: float32 sums over some thousand values against float64, relative to the largest entry.
ROUNDING = 5e-6
NAMES = ("slopes", "residual", "weight", "points", "K", "pivots", "turn", "motion", "tint")


def noise(count: int, controls: int = 5, batch: int = 2) -> dict[str, Tensor]:
    """Arguments in float64: random colors half a meter in front of the camera; a third of the points has no weight."""
    source = torch.Generator().manual_seed(100 * count + controls)

    def random(*shape: int) -> Tensor:
        return torch.rand(shape, generator=source, dtype=torch.float64) - 0.5

    K = torch.tensor([[200.0, 0.0, 56.0], [0.0, 210.0, 55.0], [0.0, 0.0, 1.0]]).double()
    away = torch.tensor([0.0, 0.0, 0.6], dtype=torch.float64)
    return {
        "slopes": random(batch, 2, 3, count),
        "residual": random(batch, 3, count),
        "weight": (random(batch, count) + 0.2).clamp_min(0),
        "points": 0.2 * random(batch, 3, count) + away[:, None],
        "K": K.repeat(batch, 1, 1),
        "pivots": 0.1 * random(batch, 3) + away,
        "turn": axis_angle_to_matrix(random(batch, 3)),
        "motion": 0.02 * random(controls, 3, count),
        "tint": 0.1 * random(controls, 3, count),
    }


def normal(given: dict[str, Tensor], dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    return ops.sampled_normal(**{name: value.to(dtype) for name, value in given.items()})


@pytest.mark.parametrize(("count", "controls"), [(1, 1), (7, 0), (16, 23), (203, 64)])
def test_native_matches_reference(level: str, count: int, controls: int) -> None:
    given = noise(count, controls)
    expected = reference.sampled_normal(*(given[name] for name in NAMES))
    for name, value, truth in zip(("matrix", "gradient"), normal(given), expected, strict=True):
        assert value.shape == truth.shape
        assert largest(value, truth) < ROUNDING, name


def test_native_gives_the_same_bits_for_any_number_of_threads() -> None:
    if not cuda_ext.available("cpu"):
        pytest.skip(cuda_ext.reason("cpu"))
    given, before = noise(97, batch=5), cuda_ext.threads()
    try:
        found = []
        for threads in (1, 2, 3):
            cuda_ext.set_threads(threads)
            found.append(normal(given))
    finally:
        cuda_ext.set_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_points_without_weight_do_not_count() -> None:
    given = noise(64)
    chosen = given["weight"][0] > 0
    alone = {name: value if name in ("K", "pivots", "turn") else value[..., chosen] for name, value in given.items()}
    alone["weight"] = given["weight"][:1, chosen]
    one = {name: value if name in ("motion", "tint", "weight") else value[:1] for name, value in alone.items()}
    for found, expected in zip(normal(given, torch.float64), normal(one, torch.float64), strict=True):
        torch.testing.assert_close(found[:1], expected)


def test_the_matrix_is_that_of_the_derivatives_of_the_colors() -> None:
    # An image whose colors are linear in the pixel: its slopes are the same everywhere, and derivatives by finite
    # differences of the projected points are exact up to the square of the step.
    given = noise(40, 4, 1)
    slopes = given["slopes"] = (
        torch.tensor([[0.3, -0.2, 0.5], [0.1, 0.4, -0.6]]).double()[None, ..., None].expand(1, 2, 3, 40)
    )

    def colors(unknowns: Tensor) -> Tensor:
        arm = given["points"][0] - given["pivots"][0][:, None]
        moved = given["turn"][0] @ torch.einsum("p,pkm->km", unknowns[6:], given["motion"])
        place = axis_angle_to_matrix(unknowns[:3]) @ arm + given["pivots"][0][:, None] + unknowns[3:6, None] + moved
        pixels = (given["K"][0] @ place)[:2] / place[2]
        # The image moves with the points, so that the color at a fixed pixel changes by minus its slope times the flow.
        return torch.einsum("p,pcm->cm", unknowns[6:], given["tint"]) - torch.einsum("kcm,km->cm", slopes[0], pixels)

    rest, step = torch.zeros(10, dtype=torch.float64), 1e-5
    columns = [(colors(rest + step * way) - colors(rest - step * way)) / (2 * step) for way in torch.eye(10).double()]
    jacobian = torch.stack([column.flatten() for column in columns], 1)
    weight = given["weight"].expand(3, 40).flatten()[:, None]
    matrix, gradient = normal(given, torch.float64)
    torch.testing.assert_close(matrix[0], jacobian.T @ (weight * jacobian), rtol=1e-6, atol=1e-6)
    expected = jacobian.T @ (weight[:, 0] * given["residual"][0].flatten())
    torch.testing.assert_close(gradient[0], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "shape", "sentence"),
    [
        ("weight", (6,), r"weight: expected \[B,M\], got \[6\]"),
        ("slopes", (2, 3, 6), r"slopes: expected \[2,2,3,6\], got \[2,3,6\]"),
        ("residual", (2, 6), r"residual: expected \[2,3,6\], got \[2,6\]"),
        ("points", (2, 6, 3), r"points: expected \[2,3,6\], got \[2,6,3\]"),
        ("K", (3, 3), r"K: expected \[2,3,3\], got \[3,3\]"),
        ("pivots", (2, 1, 3), r"pivots: expected \[2,3\], got \[2,1,3\]"),
        ("turn", (3, 3), r"turn: expected \[2,3,3\], got \[3,3\]"),
        ("motion", (5, 6, 3), r"motion: expected \[P,3,6\], got \[5,6,3\]"),
        ("tint", (4, 3, 6), r"tint: expected \[5,3,6\], got \[4,3,6\]"),
    ],
)
def test_a_wrong_shape_is_named(name: str, shape: tuple[int, ...], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        normal(noise(6) | {name: torch.zeros(shape)})


def test_too_many_controls_are_named() -> None:
    with pytest.raises(ValueError, match="motion: expected at most 64 controls, got 65"):
        normal(noise(3, 65))
