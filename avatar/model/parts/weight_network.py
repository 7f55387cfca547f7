"""A small network that adds to the blendshape weights what is not linear in the expression (RGBAvatar, CVPR 2025)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from avatar import ops
from avatar.model.avatar import Avatar, AvatarPart, BlendSource
from avatar.model.layout import Layout, TensorLayout


class WeightNetwork(AvatarPart):
    """One hidden layer: standardized features [B,F] -> what is added to the weights [B,K]."""

    key = "weight_network"
    title = "the network of the blendshape weights"
    prefix = "avatar.blendshapes.network."
    entry = None
    layout: ClassVar[Layout] = {
        "hidden": TensorLayout("F32", "F H"),
        "hidden_bias": TensorLayout("F32", "H"),
        "output": TensorLayout("F32", "H K"),
        "output_bias": TensorLayout("F32", "K"),
    }
    version = 5

    def __init__(self, features: int, bases: int, hidden: int) -> None:
        """Start with zeros.

        Args:
            features: F.
            bases: K.
            hidden: H, units of the hidden layer.
        """
        super().__init__()
        self.hidden = nn.Parameter(torch.zeros(features, hidden))
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))
        self.output = nn.Parameter(torch.zeros(hidden, bases))
        self.output_bias = nn.Parameter(torch.zeros(bases))

    @torch.no_grad()
    def randomize(self, seed: int) -> None:
        """Values before training: uniform, both layers within one over the root of the number of their inputs."""
        generator = torch.Generator().manual_seed(seed)
        for inputs, layer in ((self.hidden, "hidden"), (self.output, "output")):
            limit = len(inputs) ** -0.5
            for name in (layer, f"{layer}_bias"):
                value = getattr(self, name)
                value.copy_(torch.rand(value.shape, generator=generator) * 2 * limit - limit)

    def forward(self, standardized: Tensor) -> Tensor:
        """What is added to the weights [B,K]; the bits of a row do not depend on the others.

        Args:
            standardized: [B,F] from `Blendshapes.standardized`.
        """
        hidden = ops.batch_invariant_matmul(standardized, self.hidden) + self.hidden_bias
        return ops.batch_invariant_matmul(hidden.relu(), self.output) + self.output_bias

    def add_weights(self, weights: Tensor, standardized: Tensor) -> Tensor:
        """See `AvatarPart.add_weights`."""
        return weights + self(standardized)

    @classmethod
    def is_stored(cls, header: Mapping[str, Any], names: Collection[str]) -> bool:
        """See `AvatarPart.is_stored`."""
        return bool(header["version"] >= cls.version)

    @classmethod
    def restore(cls, avatar: Avatar, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> WeightNetwork:
        """See `AvatarPart.restore`."""
        (features, hidden), bases = tensors["hidden"].shape, len(tensors["output_bias"])
        network = cls(features, bases, hidden)
        network.load_state_dict(tensors)
        return network

    @classmethod
    def blend(cls, sources: Sequence[BlendSource], mixed: Avatar) -> WeightNetwork | None:
        """See `AvatarPart.blend`: the networks side by side, each for its own bases."""
        networks = [source.avatar.part(cls) for source in sources]
        lines = [source.line for source in sources if source.line is not None]
        return joined_networks(networks, lines, [len(source.avatar.blendshapes.basis) for source in sources])


@torch.no_grad()
def joined_networks(
    networks: Sequence[WeightNetwork | None], lines: Sequence[tuple[Tensor, Tensor]], bases: Sequence[int]
) -> WeightNetwork | None:
    """One network in the place of several side by side, each for its own bases; None if there are none.

    Args:
        networks: of the avatars; None where one has none.
        lines: of each avatar, its standardized features as a line over those of the result: [F] at zero, and slope [F].
        bases: numbers of bases of the avatars; the result has their sum, in this order.
    """
    given = [network for network in networks if network is not None]
    if not given:
        return None
    features = len(lines[0][0])
    units = sum(len(network.hidden_bias) for network in given)
    joined = WeightNetwork(features, sum(bases), units)
    unit = 0
    base = 0
    for network, (start, slope), size in zip(networks, lines, bases, strict=True):
        if network is not None:
            rows = slice(unit, unit + len(network.hidden_bias))
            columns = slice(base, base + size)
            joined.hidden[:, rows] = network.hidden * slope[:, None]
            joined.hidden_bias[rows] = network.hidden_bias + start @ network.hidden
            joined.output[rows, columns] = network.output
            joined.output_bias[columns] = network.output_bias
            unit = rows.stop
        base += size
    return joined
