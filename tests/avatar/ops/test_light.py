"""Light on a layer: the native functions against the reference."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from avatar import ops, reference
from avatar.head import load_head
from avatar.head.model import HeadModel
from avatar.model.avatar import bake_identity
from avatar.model.parts.mesh_layer import MeshLayer
from avatar.ops import EyeSurface, MouthSurface
from avatar.types import HeadParams
from tests.avatar.ops.splat_scenes import largest


@pytest.fixture(scope="module")
def head() -> HeadModel:
    full = load_head()
    return bake_identity(full, torch.zeros(full.shapedirs.shape[2]))


def surfaces(head: HeadModel) -> tuple[MouthSurface, EyeSurface]:
    layer = MeshLayer(head)
    eyes = layer.eye_light.surface()
    assert eyes is not None
    return MouthSurface(layer.mouth, layer.mouth_normals, layer.lip_corners, layer.lip_bary), eyes


def poses(head: HeadModel) -> Tensor:
    """Vertices [3,V,3]: at rest, laughing, and squinting to a side."""
    expression = torch.zeros(3, len(head.expression_names))
    for row, name in ((1, "jawOpen"), (1, "mouthSmileLeft"), (2, "eyeBlinkLeft"), (2, "eyeLookInLeft")):
        expression[row, head.expression_index(name)] = 0.7
    return head.skull_vertices(HeadParams(torch.zeros(0), expression, torch.zeros(3, 5, 3), torch.zeros(3, 3)))


def doubled(surface: MouthSurface | EyeSurface) -> MouthSurface | EyeSurface:
    return replace(surface, **{name: v.double() for name, v in vars(surface).items() if v.is_floating_point()})


def test_the_shade_matches_the_reference(head: HeadModel) -> None:
    mouth, eyes = surfaces(head)
    found = ops.layer_shade(poses(head), mouth, eyes)
    expected = reference.layer_shade(poses(head).double(), doubled(mouth), doubled(eyes))  # type: ignore[arg-type]
    assert largest(found, expected) < 1e-5
    assert float(expected[0, mouth.vertices].min()) < 0.3 and float(expected[2, eyes.vertices[0]].min()) < 0.7


def test_a_shade_of_nothing_is_one(head: HeadModel) -> None:
    assert bool((ops.layer_shade(poses(head), None, None) == 1).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_vertices_that_the_mesh_lacks_are_refused(head: HeadModel, dtype: torch.dtype) -> None:
    mouth, eyes = surfaces(head)
    if dtype == torch.float64:
        mouth, eyes = doubled(mouth), doubled(eyes)  # type: ignore[assignment]
    points = poses(head).to(dtype)
    lower, upper = -torch.ones(1, dtype=torch.int64), torch.full((1,), points.shape[1])
    for bad in (lower, upper):
        rows = torch.cat([mouth.vertices[:-1], bad])
        with pytest.raises(ValueError, match="expected indices in 0"):
            ops.layer_shade(points, replace(mouth, vertices=rows), None)
        corners = eyes.corners.clone()
        corners[3, 1] = bad
        with pytest.raises(ValueError, match="expected indices in 0"):
            ops.layer_shade(points, None, replace(eyes, corners=corners))


def test_wrong_shapes_are_refused_by_name(head: HeadModel) -> None:
    mouth, eyes = surfaces(head)
    with pytest.raises(ValueError, match=r"^mouth\.normals: "):
        ops.layer_shade(poses(head), replace(mouth, normals=mouth.normals[:-1]), None)
    with pytest.raises(ValueError, match=r"^eyes\.fit: expected 1 to 16 coefficients"):
        ops.layer_shade(poses(head), None, replace(eyes, fit=torch.zeros(2, 2, 17, 9)))


def reflected(function: object, dtype: torch.dtype, places: Tensor) -> list[Tensor]:
    generator = torch.Generator().manual_seed(2)
    color, coverage = torch.rand(2, 20, 30, 3, generator=generator), torch.rand(2, 20, 30, generator=generator)
    textures, weights = torch.rand(2, 16, 16, generator=generator), torch.rand(2, 20, 30, 3, generator=generator)
    learned = [value.to(dtype).requires_grad_() for value in (color, textures)]
    added = function(  # type: ignore[operator]
        learned[0] * 1, coverage.to(dtype), learned[1], places[..., :2].to(dtype), places[..., 2].to(dtype)
    )
    return [added.detach(), *torch.autograd.grad((added * weights).sum(), learned)]


def test_reflections_and_their_gradients_match_the_reference() -> None:
    places = torch.tensor([[[10.3, 8.6, 5.2], [28.0, -1.0, 6.0]], [[-40.0, 3.0, 4.0], [15.0, 10.0, 90.0]]])
    found = reflected(ops.add_reflections, torch.float32, places)
    for value, expected in zip(found, reflected(reference.add_reflections, torch.float64, places), strict=True):
        assert largest(value, expected) < 2e-4
    assert found[2].any()


@pytest.mark.parametrize("place", [(float("nan"), 5, 3), (5, float("inf"), 3), (5, 5, float("nan")), (5, 5, 1e-30)])
def test_a_reflection_at_no_place_is_not_seen(place: tuple[float, float, float]) -> None:
    off = (-100.0, -100.0, 1.0)
    with_bad, without = (
        reflected(ops.add_reflections, torch.float32, torch.tensor([[other, off]] * 2)) for other in (place, off)
    )
    assert torch.equal(with_bad[0], without[0]) and not with_bad[2].any()
