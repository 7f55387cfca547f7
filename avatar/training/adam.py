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
        brief = self.outer and self.param.device.type == "cpu"  # memory is what the step of a large basis takes
        kept = torch.bfloat16 if brief else self.param.dtype
        self.m = torch.zeros_like(self.param, dtype=kept)
        self.v = torch.zeros_like(self.param, dtype=kept)


class Optimizer:
    """Adam (Kingma and Ba 2015) that skips the Gaussians no picture of a step shows.

    Skipping keeps their moments as they are, so what is seen seldom does not drift on old momentum; it also saves most
    of the memory traffic of a large basis.
    """

    def __init__(self, groups: list[Group]) -> None:
        self.groups = groups
        self.steps = 0

    def step(self, factor: float, touched: Tensor) -> None:
        """Apply the gradients at `factor` times each group's rate, then forget them.

        Args:
            touched: bool [N], the Gaussians this step's pictures show.
        """
        self.steps += 1
        for group in self.groups:
            param = group.param
            if param.grad is None:
                continue
            rows = touched if group.per_gaussian else None
            rate = group.rate * factor
            ops.adam_step(param, param.grad, group.m, group.v, rate, *BETAS, EPS, self.steps, rows)
            param.grad = None

    def step_basis(self, factor: float, touched: Tensor, weights: Tensor, grad: Tensor, pull: Tensor) -> Tensor:
        """Apply to the outer basis [K,M,C] the gradient `grad` [B,M,C] of what it was blended into; before `step`.

        Args:
            weights: [B,K] it was blended with.
            pull: [M] to zero.

        Returns:
            The gradient of `weights`.
        """
        group = next(group for group in self.groups if group.outer)
        param, rate = group.param, group.rate * factor
        rows = touched[: param.shape[1]]
        return ops.adam_outer_step(
            param, weights, grad, group.m, group.v, rate, *BETAS, EPS, self.steps + 1, touched=rows, pull=pull
        )

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
