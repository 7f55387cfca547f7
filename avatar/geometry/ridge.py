"""Ridge regression whose damping is chosen by blocked cross-validation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

#: Candidates for the damping, relative to the number of samples.
DAMPINGS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)
#: Contiguous blocks of samples; neighboring frames are alike, so single frames must not be left out.
_BLOCKS = 5
#: Explained variance up to which an output may be noise, and from which on it counts as predictable.
_NOISE = 0.05
_EXPLAINED = 0.2


@dataclass(frozen=True)
class CrossValidation:
    """The best damping of each of K outputs and how well left-out blocks are predicted with it."""

    damping: Tensor  # [K]
    predicted: Tensor  # [n,K] of each sample while its block was left out
    target: Tensor  # [n,K]

    @property
    def squares(self) -> Tensor:
        """Sum [K] of squared errors over all left-out blocks."""
        return (self.predicted - self.target).square().sum(0)

    @property
    def explained(self) -> Tensor:
        """1 - squared error over the square of the target [K]: 1 for perfect predictions, 0 for none."""
        return 1 - self.squares / self.target.square().sum(0).clamp_min(1e-30)

    @property
    def gate(self) -> Tensor:
        """Factor 0..1 of each output [K] that fits the predictions to the target best; 0 where nothing is predicted."""
        slope = (self.predicted * self.target).sum(0) / self.predicted.square().sum(0).clamp_min(1e-30)
        return slope.clamp(0, 1) * ((self.explained - _NOISE) / (_EXPLAINED - _NOISE)).clamp(0, 1)


def ridge(features: Tensor, target: Tensor, damping: Tensor) -> Tensor:
    """Weights [D,K] that map `features` [n,D] to `target` [n,K]; the first feature, a constant, is not damped.

    Args:
        features: float64.
        target: float64.
        damping: [K] of each output, relative to the number of samples.
    """
    matrix = features.T @ features
    product = features.T @ target
    free = torch.ones_like(matrix[0])
    free[0] = 0
    weights = torch.empty_like(product)
    for value in damping.unique():
        columns = damping == value
        damped = matrix + torch.diag(free * value * len(features) + 1e-9)
        weights[:, columns] = torch.linalg.solve(damped, product[:, columns])
    return weights


def cross_validate(features: Tensor, target: Tensor, slack: float = 0.0) -> CrossValidation:
    """Leave out each contiguous block of samples in turn; each output gets that of DAMPINGS with its smallest error.

    Args:
        features: [n,D] float64, in the order of time; the first is a constant.
        target: [n,K] float64.
        slack: an output gets a smaller damping if its squared error is larger by this fraction at most: where samples
            beyond those of the fit are to be predicted, damping biases and errors within the fit hardly tell.
    """
    block = torch.arange(len(features)) * _BLOCKS // max(1, len(features))
    every = torch.stack([_predict(features, target, block, damping) for damping in DAMPINGS])
    squares = (every - target).square().sum(1)  # [D,K]
    best = (squares <= (1 + slack) * squares.amin(0)).int().argmax(0)  # [K], the first
    predicted = every.gather(0, best.expand(1, len(target), -1))[0]
    return CrossValidation(target.new_tensor(DAMPINGS)[best], predicted, target)


def _predict(features: Tensor, target: Tensor, block: Tensor, damping: float) -> Tensor:
    """Predictions [n,K] of each block [n] from the others."""
    predicted = torch.zeros_like(target)
    for left_out in block.unique():
        known = block != left_out
        unknown = block == left_out
        weights = ridge(features[known], target[known], target.new_full((target.shape[1],), damping))
        predicted[unknown] = features[unknown] @ weights
    return predicted
