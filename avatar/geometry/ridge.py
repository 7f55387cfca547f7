"""Ridge regression whose damping is chosen by blocked cross-validation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

#: Candidates for the damping, relative to the number of samples.
DAMPINGS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 3e-2, 1e-1)
#: Contiguous blocks of samples; neighboring frames are alike, so single frames must not be left out.
_BLOCKS = 5


@dataclass(frozen=True)
class CrossValidation:
    """The best damping and how well left-out blocks are predicted with it."""

    damping: float
    squares: Tensor  # [K] sum of squared errors of each output over all left-out blocks
    explained: Tensor  # [K] 1 - squared error over the square of the target: above 0 where it is predictable


def ridge(features: Tensor, target: Tensor, damping: float) -> Tensor:
    """Weights [D,K] that map `features` [n,D] to `target` [n,K]; the first feature, a constant, is not damped."""
    matrix = features.T @ features
    diagonal = features.new_full((features.shape[1],), damping * len(features))
    diagonal[0] = 1e-9
    return torch.linalg.solve(matrix + torch.diag(diagonal), features.T @ target)


def cross_validate(features: Tensor, target: Tensor, dampings: tuple[float, ...] = DAMPINGS) -> CrossValidation:
    """Leave out each contiguous block of samples in turn.

    Args:
        features: [n,D] float64, in the order of time; the first is a constant.
        target: [n,K] float64.
        dampings: the candidates; that of the smallest error is chosen.
    """
    block = torch.arange(len(features)) * _BLOCKS // max(1, len(features))
    results = []
    for damping in dampings:
        squares = target.new_zeros(target.shape[1])
        for left_out in block.unique():
            known, unknown = block != left_out, block == left_out
            weights = ridge(features[known], target[known], damping)
            squares += (features[unknown] @ weights - target[unknown]).square().sum(0)
        results.append((damping, squares))
    damping, squares = min(results, key=lambda result: float(result[1].sum()))
    return CrossValidation(damping, squares, 1 - squares / target.square().sum(0).clamp_min(1e-30))
