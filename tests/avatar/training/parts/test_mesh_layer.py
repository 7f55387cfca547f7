"""Anchors and limits of the texture of the mesh layer in training."""

from __future__ import annotations

import pytest
import torch

from avatar.head import load_head
from avatar.model.avatar import bake_identity
from avatar.model.parts.mesh_layer import MeshLayer, Part
from avatar.training.parts.mesh_layer import (
    DEEP_GAIN_LOW,
    EYE_GAIN_LIMITS,
    GAIN_HIGH,
    GAIN_LOW,
    REFLECTION_WEIGHT,
    TexelAnchors,
    TexelLimits,
)


@pytest.fixture
def layer() -> MeshLayer:
    head = load_head()
    return MeshLayer(bake_identity(head, torch.zeros(head.shapedirs.shape[2])))


def test_irises_may_have_any_color_the_mouth_may_be_dark_and_teeth_may_not(layer: MeshLayer) -> None:
    with torch.no_grad():
        layer.gains.fill_(-1.8)
    TexelLimits(layer)()
    low = {part: float(layer.gains[part].max()) for part in (Part.IRIS, Part.SCLERA, Part.CROWN, Part.TONGUE)}
    assert low == {
        Part.IRIS: pytest.approx(-1.8),
        Part.SCLERA: EYE_GAIN_LIMITS[Part.SCLERA][0],
        Part.CROWN: GAIN_LOW,
        Part.TONGUE: DEEP_GAIN_LOW,
    }
    with torch.no_grad():
        layer.gains.fill_(3.0)
    TexelLimits(layer)()
    assert float(layer.gains[Part.IRIS].min()) == EYE_GAIN_LIMITS[Part.IRIS][1] and float(
        layer.gains[Part.TONGUE].max()
    ) == (pytest.approx(GAIN_HIGH))


def test_gains_of_eyes_and_of_the_depth_of_the_mouth_are_anchored_less_than_others(layer: MeshLayer) -> None:
    with torch.no_grad():
        layer.gains.fill_(0.2)
    for value in (layer.gains, layer.delta):
        value.grad = torch.zeros_like(value)
    TexelAnchors(layer, 2).add_gradients()
    assert layer.gains.grad is not None
    of_iris, of_cavity, of_teeth = layer.gains.grad[[Part.IRIS, Part.CAVITY, Part.CROWN], 0].tolist()
    assert 0 < of_iris < 0.1 * of_teeth and 0 < of_cavity < 0.2 * of_teeth


def test_reflections_are_sparse_and_never_dark(layer: MeshLayer) -> None:
    reflections = layer.eye_light.reflections
    for value in (layer.gains, layer.delta, reflections):
        value.grad = torch.zeros_like(value)
    TexelAnchors(layer, 2).add_gradients()
    assert reflections.grad is not None
    torch.testing.assert_close(reflections.grad, torch.full_like(reflections, 2 * REFLECTION_WEIGHT))
    with torch.no_grad():
        reflections.copy_(torch.linspace(-1, 2, reflections.numel()).view_as(reflections))
    TexelLimits(layer)()
    assert float(reflections.detach().min()) == 0 and float(reflections.detach().max()) == 1
