"""The network that adds to the weights of blendshapes: what it computes, its file, and blends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from avatar.errors import HeadsplatError
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import load_avatar, read_header, save_avatar
from avatar.model.layout import checksum
from avatar.model.parts.weight_network import WeightNetwork, joined_networks
from tests.support.sample_avatar import small_avatar

FEATURES, BASES = 11, 3


def network(hidden: int = 5, seed: int = 0, bases: int = BASES) -> WeightNetwork:
    """A random network."""
    found = WeightNetwork(FEATURES, bases, hidden)
    found.randomize(seed)
    return found.requires_grad_(False)


def plain() -> Avatar:
    """The sample without a network."""
    avatar = small_avatar("reduced")
    avatar.remove_part(WeightNetwork)
    return avatar


def with_network() -> Avatar:
    avatar = plain()
    avatar.add_part(network())
    return avatar


def features(rows: int) -> torch.Tensor:
    return torch.randn(rows, FEATURES, generator=torch.Generator().manual_seed(2))


def test_a_network_of_zeros_adds_nothing() -> None:
    avatar = plain()
    expected = avatar.weights(features(4))
    avatar.add_part(WeightNetwork(FEATURES, BASES, 5))
    assert torch.equal(avatar.weights(features(4)), expected)


def test_it_is_a_layer_of_rectified_units() -> None:
    found, rows = network(), features(3)
    hidden = (rows.double() @ found.hidden.double() + found.hidden_bias.double()).clamp_min(0)
    expected = hidden @ found.output.double() + found.output_bias.double()
    torch.testing.assert_close(found(rows).double(), expected, atol=1e-5, rtol=1e-5)


def test_the_bits_of_a_row_do_not_depend_on_the_others() -> None:
    found, rows = network(hidden=32), features(9)
    assert torch.equal(found(rows)[4:5], found(rows[4:5].clone()))


def test_a_file_keeps_it_bit_for_bit(tmp_path: Path) -> None:
    avatar = with_network()
    save_avatar(tmp_path / "me.avatar", avatar)
    assert read_header(tmp_path / "me.avatar")["version"] == 5
    loaded = load_avatar(tmp_path / "me.avatar")
    assert torch.equal(loaded.weights(features(4)), avatar.weights(features(4)))


def test_an_avatar_without_one_is_written_for_earlier_programs(tmp_path: Path) -> None:
    save_avatar(tmp_path / "me.avatar", plain())
    assert read_header(tmp_path / "me.avatar")["version"] == 4


def rewritten(path: Path, changes: dict[str, torch.Tensor | None]) -> None:
    """Replace tensors of a file; None removes one. The checksum is that of the new tensors."""
    header = read_header(path)
    tensors = load_file(path)
    for name, value in changes.items():
        tensors.pop(f"avatar.blendshapes.network.{name}")
        if value is not None:
            tensors[f"avatar.blendshapes.network.{name}"] = value
    header["tensors_sha256"] = checksum(tensors)
    save_file(tensors, path, metadata={"headsplat": json.dumps(header)})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"output": None}, "network.output: this tensor is missing"),
        ({"hidden": torch.zeros(FEATURES + 1, 5)}, "network.hidden: expected .11,H."),
        ({"output": torch.zeros(4, BASES)}, "network.output: expected .5,3."),
        ({"output_bias": torch.full((BASES,), torch.nan)}, "network.output_bias: expected numbers in"),
        ({"hidden_bias": torch.zeros(5, dtype=torch.float16)}, "network.hidden_bias: expected torch.float32"),
    ],
)
def test_damage_is_one_sentence(tmp_path: Path, changes: dict[str, torch.Tensor | None], reason: str) -> None:
    path = tmp_path / "me.avatar"
    save_avatar(path, with_network())
    rewritten(path, changes)
    with pytest.raises(HeadsplatError, match=f"damaged avatar file .avatar.blendshapes.{reason}"):
        load_avatar(path)


def test_side_by_side_each_has_its_own_bases_and_line() -> None:
    parts = [network(3, 0), None, network(4, 1, bases=3)]
    lines = [(0.1 * features(6)[k], features(6)[k + 3].abs()) for k in range(3)]
    joined = joined_networks(parts, lines, [BASES, 1, 3])
    assert joined is not None
    rows = features(5)
    own = [start + slope * rows for start, slope in lines]
    assert parts[0] is not None and parts[2] is not None
    expected = torch.cat([parts[0](own[0]), torch.zeros(5, 1), parts[2](own[2])], 1)
    torch.testing.assert_close(joined(rows), expected, atol=1e-5, rtol=1e-5)
    assert joined_networks([None, None], lines[:2], [1, 1]) is None


def test_a_training_moves_it(tiny_avatar: Avatar) -> None:
    trained = tiny_avatar.part(WeightNetwork)
    assert trained is not None
    inputs, hidden = trained.hidden.shape
    before = WeightNetwork(inputs, trained.output.shape[1], hidden)
    before.randomize(0)
    for name, value in trained.named_parameters():
        assert float((value - before.get_parameter(name)).abs().max()) > 1e-3, name
    rows = tiny_avatar.blendshapes.mean + 0.1
    weights = tiny_avatar.weights(rows[None])
    assert float((weights - tiny_avatar.blendshapes.weights(rows[None], ())).abs().max()) > 1e-3
