"""Light on the eyeballs of a mesh layer: the shadow of the lids, and reflections that stay with the view."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from avatar import ops
from avatar.head import load_head
from avatar.head.model import HeadModel
from avatar.model.avatar import bake_identity
from avatar.model.parts.eye_light import SIDE, EyeLight
from avatar.ops import LayerImages
from avatar.rendering.layer import with_reflections
from avatar.types import HeadParams, PosedReflections


@pytest.fixture(scope="module")
def head() -> HeadModel:
    full = load_head()
    return bake_identity(full, torch.zeros(full.shapedirs.shape[2]))


def vertices(head: HeadModel, **weights: float) -> torch.Tensor:
    expression = torch.zeros(1, len(head.expression_names))
    for name, weight in weights.items():
        expression[0, head.expression_index(name)] = weight
    return head.skull_vertices(HeadParams(torch.zeros(0), expression, torch.zeros(1, 5, 3), torch.zeros(1, 3)))


def shade(head: HeadModel, points: torch.Tensor, strength: tuple[float, float] | None = None) -> torch.Tensor:
    light = EyeLight(head)
    if strength is not None:
        light.shadow.copy_(torch.tensor(strength))
    return ops.layer_shade(points, None, light.surface())[0]


def test_each_lid_darkens_its_side_of_the_eyes_only(head: HeadModel) -> None:
    eyes = head.regions["left_eyeball"] | head.regions["right_eyeball"]
    upper, lower = (shade(head, vertices(head), strength) for strength in ((0.5, 0.0), (0.0, 0.5)))
    height = head.v_template[:, 1]
    for found, sign in ((upper, 1), (lower, -1)):
        assert bool((found[~eyes] == 1).all()) and bool((found[eyes] <= 1).all())
        for name in ("left_eyeball", "right_eyeball"):
            depth = head.v_template[:, 2]
            front = head.regions[name] & (depth > depth[head.regions[name]].quantile(0.5))
            near, far = (front & (height * side > (height[front] * side).quantile(0.85)) for side in (sign, -sign))
            assert found[near].mean() < found[far].mean() - 0.1


def test_the_shadow_of_a_lid_decays_with_the_distance_from_its_edge(head: HeadModel) -> None:
    # A vertex at a known height below the edge at its place: moving it down by 2.5 mm divides the depth by e.
    points = vertices(head)
    light = EyeLight(head)
    vertex = int(light.irises[1][0])
    edge = (points[0, light.corners] * light.bary[..., None]).sum(1).reshape(2, 2, -1, 3)[1, 0]
    at = edge[4]
    depths = []
    for below in (0.001, 0.0035):
        points[0, vertex] = at - torch.tensor([0.0, below, 0.0])
        depths.append(1 - shade(head, points, (0.5, 0.0))[vertex])
    assert float(depths[0]) == pytest.approx(0.5 * 2.718 ** (-0.4), rel=0.15)
    assert float(depths[1] / depths[0]) == pytest.approx(1 / 2.718, rel=1e-2)


def test_closing_lids_darken_the_eyes(head: HeadModel) -> None:
    eyes = head.regions["left_eyeball"]
    opened, narrow = (shade(head, vertices(head, eyeBlinkLeft=weight))[eyes].mean() for weight in (0.0, 0.6))
    assert narrow < opened - 0.05


def test_reflections_follow_the_irises(head: HeadModel) -> None:
    light = EyeLight(head)
    straight, turned = (light.posed(vertices(head, **look)) for look in ({}, {"eyeLookInLeft": 1.0}))
    assert straight is not None and turned is not None
    iris = head.v_template[head.regions["iris"] & head.regions["left_eyeball"]]
    assert bool(((straight.centers[0, 0] - iris.mean(0)).abs() < 1e-6).all())
    moved = (turned.centers - straight.centers)[0]
    assert moved[0, 0] < -0.003 and float(moved[1].abs().max()) < 1e-6
    assert 0.005 < float(straight.radii.detach().min()) < 0.008


def test_a_head_without_irises_has_no_light_of_its_own(head: HeadModel) -> None:
    regions = {name: mask for name, mask in head.regions.items() if name != "iris"}
    light = EyeLight(replace(head, regions=regions))
    assert light.posed(head.v_template[None]) is None and light.surface() is None


def images(height: int = 20, width: int = 30, origin: tuple[int, int] = (5, 3)) -> LayerImages:
    coverage = torch.full((1, height, width), 0.5)
    zero = torch.zeros(1, height, width)
    return LayerImages(
        torch.zeros(1, height, width, 3), coverage, zero, zero, torch.tensor([origin], dtype=torch.int32)
    )


K = torch.tensor([[[100.0, 0.0, 16.0], [0.0, 100.0, 16.0], [0.0, 0.0, 1.0]]])


def test_a_reflection_is_a_disc_of_its_texture_times_the_coverage() -> None:
    found = images()
    centers = torch.tensor([[[0.0, -0.02, 1.0], [0.0, 0.0, -1.0]]])
    textures = torch.zeros(2, SIDE, SIDE)
    textures[0] = 0.4
    found = with_reflections(found, PosedReflections(centers, torch.tensor([[0.05, 0.05]]), textures), centers, K)
    # The center is at pixel (16, 14) of the image, (11, 11) of the window, and the side is 10 pixels long.
    assert found.color[0, 10, 10].tolist() == pytest.approx([0.2, 0.2, 0.2])
    rows, columns = found.color[0, ..., 0].nonzero().unbind(1)
    assert (int(rows.min()), int(rows.max())) == (6, 15) and (int(columns.min()), int(columns.max())) == (6, 15)


def test_reflections_at_the_border_are_cut_and_have_gradients() -> None:
    found = images(origin=(14, 0))
    centers = torch.tensor([[[0.0, 0.0, 1.0], [5.0, 0.0, 1.0]]])
    textures = torch.rand(2, SIDE, SIDE, requires_grad=True)
    found = with_reflections(found, PosedReflections(centers, torch.tensor([[0.05, 0.05]]), textures), centers, K)
    found.color.sum().backward()
    assert textures.grad is not None
    assert float(textures.grad[0].sum()) > 0 and not textures.grad[1].any()
    assert not textures.grad[0, :, : SIDE // 4].any()
