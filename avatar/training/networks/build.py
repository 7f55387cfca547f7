"""The offset network that a configuration names."""

from __future__ import annotations

from avatar.data.training_frames import HeadStates
from avatar.model.avatar import Avatar
from avatar.training.config import TrainConfig
from avatar.training.networks.hash_grid import HashGrid
from avatar.training.networks.offset_network import OffsetNetwork
from avatar.training.networks.uv_network import UVNetwork


def offset_network(config: TrainConfig, avatar: Avatar, states: HeadStates) -> OffsetNetwork | None:
    """The network of `config` on the device of `avatar`, untrained; None for offsets that are learned per Gaussian.

    Args:
        config: the settings of the training.
        avatar: untrained.
        states: [S] of the training frames.
    """
    if config.offsets == "bases":
        return None
    network = (
        HashGrid(avatar, config.seed) if config.offsets == "hash" else UVNetwork(avatar, states.vertices, config.seed)
    )
    return network.to(avatar.offsets.device)
