"""Linear bases compiled from an offset network: what the file, the player and all later steps of a training need."""

from __future__ import annotations

import torch
from torch import Tensor

from avatar.data.training_frames import HeadStates
from avatar.model.avatar import Avatar
from avatar.training.networks.offset_network import OffsetNetwork

#: Evenly spread states from which the bases are compiled, and the ridge of the regression relative to the features.
STATES, RIDGE = 96, 1e-3
_CHUNK = 4  # states at a time


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
    basis, kept = _fitted(avatar.weights(states.features[rows]), offsets)
    shapes.basis.copy_(basis.view_as(shapes.basis))
    return kept


def _fitted(weights: Tensor, offsets: Tensor) -> tuple[Tensor, float]:
    """The basis [K,n] for weights [T,K] nearest to `offsets` [T,n], and the part of their square that it reproduces."""
    exact = weights.double()
    ridge = 1e-4 * len(exact) * torch.eye(exact.shape[1], dtype=exact.dtype, device=exact.device)
    basis = torch.linalg.solve(exact.T @ exact + ridge, exact.T).to(offsets) @ offsets
    total = offsets.square().sum()
    if total == 0:
        return basis, 1.0
    return basis, float(1 - (offsets - weights @ basis).square().sum() / total)
