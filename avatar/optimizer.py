"""Adam over an avatar's parameters, by the native steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from avatar import ops

BETAS = (0.9, 0.99)
EPS = 1e-15


@dataclass
class Group:
    """One parameter, its rate and its moments."""

    name: str
    param: Tensor
    rate: float
    per_gaussian: bool = False  # rows are Gaussians: those a step does not touch are left alone
    outer: bool = False  # a basis whose gradient arrives as an outer product

    def __post_init__(self) -> None:
        self.m = torch.zeros_like(self.param)
        self.v = torch.zeros_like(self.param)


class Optimizer:
    """Adam (Kingma and Ba 2015) that skips the Gaussians no picture of a step shows.

    Skipping keeps their moments as they are, so what is seen seldom does not drift on old momentum; it also saves most
    of the memory traffic of a large basis.
    """

    def __init__(self, groups: list[Group]) -> None:
        self.groups = groups
        self.steps = 0

    def step(self, factor: float, touched: Tensor, outer: tuple[Tensor, Tensor, Tensor] | None) -> None:
        """Apply the gradients at `factor` times each group's rate, then forget them.

        Args:
            touched: bool [N], the Gaussians this step's pictures show.
            outer: weights [B,K] and gradient [B,M,C] of what a basis [K,M,C] was blended into, and its pull to zero [M]
        """
        self.steps += 1
        for group in self.groups:
            param, rate = group.param, group.rate * factor
            if group.outer and outer is not None:
                rows = touched[: param.shape[1]]
                weights, grad, pull = outer
                ops.adam_outer_step(
                    param, weights, grad, group.m, group.v, rate, *BETAS, EPS, self.steps, touched=rows, pull=pull
                )
            elif param.grad is not None:
                rows_touched = touched if group.per_gaussian else None
                ops.adam_step(param, param.grad, group.m, group.v, rate, *BETAS, EPS, self.steps, rows_touched)
            param.grad = None

    def state(self) -> dict[str, Any]:
        """Everything `restore` needs."""
        return {"steps": self.steps, "moments": {group.name: (group.m, group.v) for group in self.groups}}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state()`."""
        self.steps = state["steps"]
        for group in self.groups:
            m, v = state["moments"][group.name]
            group.m.copy_(m)
            group.v.copy_(v)
