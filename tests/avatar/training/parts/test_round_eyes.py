"""Textures of eyes become rings around the pupil, as far as frames determine them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from avatar.head import load_head
from avatar.head.model import HeadModel
from avatar.model.avatar import bake_identity
from avatar.model.parts.mesh_layer import MeshLayer, Part
from avatar.training.parts.mesh_layer import RINGS, ROUNDING, SPACING, RoundEyes


@pytest.fixture(scope="module")
def layer() -> MeshLayer:
    return MeshLayer(_head())


@pytest.fixture(scope="module")
def eyes(layer: MeshLayer) -> RoundEyes:
    return RoundEyes(_head(), layer)


def _head() -> HeadModel:
    head = load_head()
    return bake_identity(head, torch.zeros(head.shapedirs.shape[2]))


def distances(eyes: RoundEyes) -> Tensor:
    return eyes.places * SPACING


def applied(eyes: RoundEyes, layer: MeshLayer, delta: Tensor, seen: Tensor, times: int) -> Tensor:
    full, weight = torch.zeros_like(layer.delta), torch.zeros_like(layer.delta)
    full[eyes.texels], weight[eyes.texels] = delta, seen
    for _ in range(times):
        eyes(full, weight.square())
    assert not full[(layer.part != Part.SCLERA) & (layer.part != Part.IRIS)].any()
    return full[eyes.texels]


def test_all_texels_of_eyes_are_of_rings_that_grow_from_the_pupil(layer: MeshLayer, eyes: RoundEyes) -> None:
    own = torch.zeros(len(layer.start), dtype=torch.bool)
    own[eyes.texels] = True
    assert torch.equal(own, (layer.part == Part.SCLERA) | (layer.part == Part.IRIS))
    assert float(eyes.places.min()) >= 0 and float(eyes.places.max()) < RINGS - 1
    away = distances(eyes)
    iris = layer.part[eyes.texels] == Part.IRIS
    assert float(away[iris].max()) < 0.0065 and float(away[~iris].min()) > 0.005 and float(away.min()) < 2e-4


def test_noise_becomes_round_and_smooth_rings_stay(layer: MeshLayer, eyes: RoundEyes) -> None:
    generator = torch.Generator().manual_seed(0)
    ring = torch.stack([300 * distances(eyes)] * 3, 1) * torch.tensor([0.1, 0.0, -0.1])
    noise = 0.2 * torch.randn(ring.shape, generator=generator)
    found = applied(eyes, layer, ring + noise, torch.ones_like(ring), 1)
    assert float((found - ring).std() / noise.std()) == pytest.approx(1 - ROUNDING, abs=0.02)
    found = applied(eyes, layer, ring + noise, torch.ones_like(ring), 40)
    assert float((found - ring).std()) < 0.1 * float(noise.std())


def test_texels_without_evidence_take_the_color_of_those_with(layer: MeshLayer, eyes: RoundEyes) -> None:
    half = torch.arange(len(eyes.texels)) % 2 == 0
    inner = half & (distances(eyes) < 0.009)
    delta = torch.where(inner[:, None], -0.3, 0.5).expand(-1, 3)
    found = applied(eyes, layer, delta, inner[:, None].float().expand(-1, 3), 60)
    assert bool((found < -0.2).all())


def test_without_any_evidence_nothing_changes(layer: MeshLayer, eyes: RoundEyes) -> None:
    delta = torch.rand(len(eyes.texels), 3)
    torch.testing.assert_close(applied(eyes, layer, delta, torch.zeros_like(delta), 3), delta)
