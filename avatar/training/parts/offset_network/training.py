"""Training of offsets by a network, from which linear bases are compiled: what file, player and later steps need."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from avatar.data.training_frames import HeadStates, pick
from avatar.model.avatar import Avatar
from avatar.training.adam import Group
from avatar.training.config import TrainConfig
from avatar.training.parts.offset_network.hash_grid import HashGrid
from avatar.training.parts.offset_network.network import OffsetNetwork
from avatar.training.parts.offset_network.uv_network import UVNetwork
from avatar.training.parts.part import PartTraining, Step, Training

#: Evenly spread states from which the bases are compiled, and the ridge of the regression relative to the features.
STATES = 96
RIDGE = 1e-3
_CHUNK = 4  # states at a time


class OffsetNetworkTraining(PartTraining):
    """A network in place of the blendshapes of an avatar, until they are compiled from it for the last time."""

    key = "network"

    def __init__(self, training: Training, network: OffsetNetwork) -> None:
        """
        Args:
            training: see `PartTraining`.
            network: untrained.
        """
        super().__init__(training)
        self.network: OffsetNetwork | None = network  # None once its bases are trained on
        self._reproduced: float | None = None  # what the compiled bases reproduce of its squared offsets

    @classmethod
    def of(cls, training: Training) -> OffsetNetworkTraining | None:
        """None for offsets that are learned per Gaussian."""
        network = offset_network(training.config, training.avatar, training.full.states)
        return None if network is None else cls(training, network)

    def to(self, device: torch.device) -> None:
        """Move the network."""
        assert self.network is not None
        self.network.to(device)

    def groups(self) -> list[Group]:
        """The parameters of the network."""
        assert self.network is not None
        rate = self.training.config.rates.network
        return [Group(f"{self.key}.{name}", value, rate) for name, value in self.network.named_parameters()]

    def offsets(self, step: Step) -> Tensor | None:
        """Those of the network."""
        if self.network is None:
            return None
        states = step.frames.states
        row = pick(step.frames.step, step.indices)
        soft = self.training.avatar.blendshapes.standardized(pick(states.features, row))
        offsets: Tensor = self.network(soft, pick(states.vertices, row))
        return offsets

    def after_step(self, step: Step) -> None:
        """Train on the compiled bases from `compile_at` on."""
        if self.network is not None and step.fraction >= self.training.config.compile_at:
            self.bake()
            self.network = None

    def bake(self) -> None:
        """Compile the bases of the avatar from the network."""
        if self.network is not None:
            self.network.bind(self.training.avatar)
            self._reproduced = compile_bases(self.network, self.training.avatar, self.training.full.states)

    def after_relocation(self) -> None:
        """Follow the Gaussians to their new places."""
        if self.network is not None:
            self.network.bind(self.training.avatar)

    def figures(self) -> dict[str, Any]:
        """Kind of the network, and what of its offsets is left."""
        if self._reproduced is None:
            return {}
        return {"network": {"kind": self.training.config.offsets, "kept": round(self._reproduced, 4)}}

    def state(self) -> dict[str, Any]:
        """The parameters of the network, None if it is no longer trained, and the figure of the compiled bases."""
        return {"network": None if self.network is None else self.network.state_dict(), "kept": self._reproduced}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state()`."""
        self._reproduced = state["kept"]
        if state["network"] is None:
            self.network = None
        elif self.network is not None:
            self.network.load_state_dict(state["network"])
            self.network.bind(self.training.avatar)


def offset_network(config: TrainConfig, avatar: Avatar, states: HeadStates) -> OffsetNetwork | None:
    """The network of `config`, untrained; None for offsets that are learned per Gaussian.

    Args:
        config: the settings of the training.
        avatar: untrained.
        states: [S] of the training frames.
    """
    if config.offsets == "bases":
        return None
    if config.offsets == "hash":
        return HashGrid(avatar, config.seed)
    return UVNetwork(avatar, states.vertices, config.seed)


@torch.no_grad()
def compile_bases(network: OffsetNetwork, avatar: Avatar, states: HeadStates) -> float:
    """Replace the bases of `avatar` by the best ones whose weights are linear in the soft-clamped features.

    Reduced-rank regression: the offsets of the states are projected onto the features, and the bases are the principal
    components of that projection.

    Args:
        network: predicts the offsets.
        avatar: with reduced blendshapes; components, mixing matrix and basis are changed in place.
        states: [S] of the training frames.

    Returns:
        The part of the sum of squared offsets that the bases reproduce, at most 1; 1 where there are none.
    """
    shapes = avatar.blendshapes
    rows = torch.linspace(0, len(states) - 1, min(STATES, len(states))).round().to(torch.int64)
    rows = rows.to(states.features.device)
    soft = shapes.standardized(states.features[rows])
    parts = zip(soft.split(_CHUNK), states.vertices[rows].split(_CHUNK), strict=True)
    offsets = torch.cat([network(*part).flatten(1) for part in parts])  # [T,M*C]
    inputs = soft.double()
    ridge = RIDGE * len(rows) * torch.eye(inputs.shape[1], dtype=inputs.dtype, device=inputs.device)
    solve = torch.linalg.solve(inputs.T @ inputs + ridge, inputs.T)  # [F,T]
    projected = inputs @ solve
    gram = projected @ (offsets @ offsets.T).double() @ projected.T
    bases = shapes.basis.shape[0]
    directions = torch.linalg.eigh((gram + gram.T) / 2).eigenvectors.flip(1)[:, :bases]  # [T,K]
    components = torch.zeros_like(shapes.components)
    components[:, : directions.shape[1]] = (solve @ directions * len(rows) ** 0.5).to(components)
    shapes.components.copy_(components)
    shapes.mix.copy_(torch.eye(bases))
    basis, reproduced = _fit_basis(avatar.weights(states.features[rows]), offsets)
    shapes.basis.copy_(basis.view_as(shapes.basis))
    return reproduced


def _fit_basis(weights: Tensor, offsets: Tensor) -> tuple[Tensor, float]:
    """The basis [K,n] for weights [T,K] nearest to `offsets` [T,n], and the part of their square that it reproduces."""
    exact = weights.double()
    ridge = 1e-4 * len(exact) * torch.eye(exact.shape[1], dtype=exact.dtype, device=exact.device)
    basis = torch.linalg.solve(exact.T @ exact + ridge, exact.T).to(offsets) @ offsets
    total = offsets.square().sum()
    if total == 0:
        return basis, 1.0
    return basis, float(1 - (offsets - weights @ basis).square().sum() / total)
