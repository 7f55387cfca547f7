"""Offset networks, and the linear bases that are compiled from them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Literal

import pytest
import torch
from torch import Tensor

from avatar.data.capture_folder import Capture
from avatar.data.training_frames import TrainingFrames
from avatar.head import load_head
from avatar.model.avatar import Avatar
from avatar.training.config import TrainConfig
from avatar.training.fit import fit
from avatar.training.initialization import build_avatar
from avatar.training.parts.offset_network.network import OffsetNetwork
from avatar.training.parts.offset_network.training import compile_bases, offset_network
from avatar.training.prepared_frames import prepared_frames
from tests.support.stop_after import StopAfter

Kind = Literal["hash", "uv"]
KINDS: tuple[Kind, ...] = ("hash", "uv")
CONFIG = TrainConfig(size=64, steps=16, gaussians=500, offsets="hash", refine_at=0.25)


@pytest.fixture(scope="module")
def start(tiny: Capture) -> tuple[Avatar, TrainingFrames]:
    """An untrained avatar and its frames. Read only."""
    person, frames = prepared_frames(tiny, load_head(), CONFIG)
    return build_avatar(person, frames, CONFIG), frames


def built(start: tuple[Avatar, TrainingFrames], kind: Kind, seed: int = 0) -> OffsetNetwork:
    """An untrained network with a last layer of usual size, so that its offsets are not near zero."""
    network = offset_network(replace(CONFIG, offsets=kind, seed=seed), start[0], start[1].states)
    assert network is not None
    last = "last.weight" if kind == "uv" else "decode.4.weight"
    with torch.no_grad():
        network.get_parameter(last).mul_(100)
    return network


def inputs(start: tuple[Avatar, TrainingFrames], factor: float) -> tuple[Tensor, Tensor]:
    """Features and vertices [S] of the frames, their differences from the mean multiplied by `factor`."""
    avatar, frames = start
    soft = avatar.blendshapes.standardized(frames.states.features)
    mean = frames.states.vertices.mean(0)
    return factor * soft, mean + factor * (frames.states.vertices - mean)


def test_bases_need_no_network(start: tuple[Avatar, TrainingFrames]) -> None:
    assert offset_network(replace(CONFIG, offsets="bases"), start[0], start[1].states) is None


@pytest.mark.parametrize("kind", KINDS)
def test_no_expression_adds_nothing_and_offsets_grow_along_straight_lines(
    start: tuple[Avatar, TrainingFrames], kind: Kind
) -> None:
    network = built(start, kind)
    nothing, once, twice = (network(*inputs(start, factor)) for factor in (0.0, 1.0, 2.0))
    assert once.shape == (len(start[1].states), start[0].blendshapes.count, 11)
    assert (nothing == 0).all() and once.abs().max() > 1e-4
    torch.testing.assert_close(twice, 2 * once, rtol=2e-3, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_has_a_gradient(start: tuple[Avatar, TrainingFrames], kind: Kind) -> None:
    network = built(start, kind)
    network(*inputs(start, 1.0)).square().sum().backward()
    assert all(value.grad is not None and bool((value.grad != 0).any()) for value in network.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_gaussians_at_one_place_have_the_same_offsets(start: tuple[Avatar, TrainingFrames], kind: Kind) -> None:
    avatar = build_avatar(start[0].head, start[1], CONFIG)
    for name in ("triangles", "bary"):
        values = getattr(avatar.rig, name)
        values[1] = values[0]
    network = built(start, kind)
    network.bind(avatar)
    offsets = network(*inputs(start, 1.0))
    assert torch.equal(offsets[:, 0], offsets[:, 1]) and not torch.equal(offsets[:, 0], offsets[:, 2])


class Linear(OffsetNetwork):
    """Offsets that are linear in the first two features: two bases are all they need."""

    def __init__(self, count: int, scale: float = 1.0) -> None:
        super().__init__()
        self.basis = scale * torch.randn(2, count * 11, generator=torch.Generator().manual_seed(3))

    def bind(self, avatar: Avatar) -> None:
        """Nothing depends on the places."""

    def forward(self, soft: Tensor, vertices: Tensor) -> Tensor:
        """As of the base class."""
        return (soft[:, :2] @ self.basis).view(len(soft), -1, 11)


def test_bases_compiled_from_linear_offsets_reproduce_them(start: tuple[Avatar, TrainingFrames]) -> None:
    avatar, (_, frames) = build_avatar(start[0].head, start[1], CONFIG), start
    varied = torch.randn(len(frames.states), 2, generator=torch.Generator().manual_seed(5))
    features = frames.states.features.clone()
    features[:, :2] = avatar.blendshapes.mean[:2] + 0.5 * avatar.blendshapes.spread[:2] * varied
    states = replace(frames.states, features=features)
    network = Linear(avatar.blendshapes.count)
    assert compile_bases(network, avatar, states) > 0.999
    expected = network(avatar.blendshapes.standardized(states.features), states.vertices)
    found = avatar.blendshapes(avatar.weights(states.features))
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0.02)


def test_bases_compiled_from_no_offsets_are_zero(start: tuple[Avatar, TrainingFrames]) -> None:
    avatar = build_avatar(start[0].head, start[1], CONFIG)
    assert compile_bases(Linear(avatar.blendshapes.count, 0.0), avatar, start[1].states) == 1.0
    assert (avatar.blendshapes.basis == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_ends_with_ordinary_bases(tiny: Capture, kind: Kind) -> None:
    avatar = fit(tiny, load_head(), replace(CONFIG, offsets=kind, compile_at=0.5)).avatar
    assert avatar.provenance["network"]["kind"] == kind and 0 <= avatar.provenance["network"]["kept"] <= 1
    assert avatar.blendshapes.mode == "reduced" and bool((avatar.blendshapes.basis != 0).any())
    last = fit(tiny, load_head(), replace(CONFIG, offsets=kind, compile_at=1.0)).avatar
    assert bool((last.blendshapes.basis != 0).any())


@pytest.mark.parametrize("checks", [3, 15])
def test_an_interrupted_training_gives_the_same_bits(tiny: Capture, tmp_path: Path, checks: int) -> None:
    config = replace(CONFIG, refine_at=1.0, compile_at=0.6)
    whole = fit(tiny, load_head(), config).avatar
    checkpoint = tmp_path / "run.ckpt"
    fit(tiny, load_head(), config, checkpoint=checkpoint, stop=StopAfter(checks))  # type: ignore[arg-type]
    rest = fit(tiny, load_head(), config, checkpoint=checkpoint, resume=True, stop=Event()).avatar
    for name, value in whole.state_dict().items():
        assert torch.equal(value, rest.state_dict()[name]), name


@pytest.mark.parametrize("settings", [{"mode": "expression"}, {"mode": "local"}, {"bases": 0}])
def test_a_network_needs_reduced_bases(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r'offsets: .* set mode = "reduced" and bases above 0'):
        replace(CONFIG, **settings)  # type: ignore[arg-type]
