"""Multiresolution hash tables (Mueller et al. 2022) looked up at fixed places, and small networks without biases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from avatar.types import check_shape

from .checks import check_floats
from .packages import attempted

#: Of the hash of the lattice points (equation 4 there).
PRIMES = (1, 2654435761, 805459861)


@dataclass(frozen=True)
class HashLattice:
    """The eight lattice points around each of M places, on L levels."""

    unit: Tensor  # [M,3] the places, 0..1
    cells: tuple[int, ...]  # of each level along an axis
    entries: int  # of the table of a level
    rows: Tensor  # [M,L*8] entries of the points, counted through all levels
    share: Tensor  # [M,L*8] their trilinear weights


def hash_lattice(unit: Tensor, cells: Sequence[int], entries: int) -> HashLattice:
    """The lattice points around `unit` [M,3], 0..1."""
    levels = [_level(unit, number, entries) for number in cells]
    rows = torch.cat([rows + level * entries for level, (rows, _) in enumerate(levels)], 1)
    return HashLattice(unit, tuple(cells), entries, rows, torch.cat([share for _, share in levels], 1))


def _level(unit: Tensor, cells: int, entries: int) -> tuple[Tensor, Tensor]:
    """Entries [M,8] of the lattice points around places [M,3] in 0..1, and their trilinear weights [M,8]."""
    scaled = unit * cells
    base = scaled.floor()
    part = scaled - base
    corner = torch.cartesian_prod(*[torch.arange(2, device=unit.device)] * 3)  # [8,3]
    points = base.to(torch.int64)[:, None] + corner
    mixed = points * torch.tensor(PRIMES, device=unit.device)
    entry = mixed[..., 0] ^ mixed[..., 1] ^ mixed[..., 2]
    weight = torch.where(corner.bool(), part[:, None], 1 - part[:, None]).prod(-1)
    return entry % entries, weight


def hash_features(tables: Tensor, lattice: HashLattice) -> Tensor:
    """Features of the places from tables of B images, differentiable in the tables.

    Args:
        tables: [B,L*entries*C], level by level.
        lattice: of the places.

    Returns:
        [B,M,L*C].

    Raises:
        ValueError: a wrong shape, dtype or device; the text names the argument.
    """
    check_shape("tables", tables, ("B", "L*entries*C"))
    check_floats(tables, share=lattice.share)
    found = attempted("tinycudann", tables, lambda package: package.hash_features(tables, lattice))
    if found is not None:
        return found
    count = len(lattice.rows)
    levels = len(lattice.cells)
    features = tables.shape[1] // (levels * lattice.entries)
    encodings = []
    for table in tables:
        entries = table.view(-1, features)[lattice.rows.flatten()].view(count, levels, 8, features)
        encodings.append((entries * lattice.share.view(count, levels, 8, 1)).sum(2).flatten(1))
    return torch.stack(encodings)


def leaky_network(values: Tensor, weights: Sequence[Tensor], slope: float) -> Tensor:
    """Layers without biases, with `leaky_relu` between them, differentiable in all tensors.

    Args:
        values: [...,I] inputs.
        weights: of each layer, [outputs, inputs].
        slope: of the activation below zero.

    Returns:
        [...,O].

    Raises:
        ValueError: a wrong dtype or device; the text names the argument.
    """
    check_floats(values, **{f"weights {number}": weight for number, weight in enumerate(weights)})
    found = attempted("tinycudann", values, lambda package: package.leaky_network(values, weights, slope))
    if found is not None:
        return found
    for number, weight in enumerate(weights):
        values = torch.nn.functional.leaky_relu(values, slope) if number else values
        values = torch.nn.functional.linear(values, weight)
    return values
