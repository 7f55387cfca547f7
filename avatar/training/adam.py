"""Adam over the parameters of an avatar, with the native kernels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from avatar import ops

BETAS = (0.9, 0.99)
EPS = 1e-15
#: Epsilon of the parameters of the Gaussians for one image a step. It is well below the gradients of Gaussians that a
#: frame shows; with EPS those of which it shows hardly anything would move by full steps in the direction of noise.
EPS_OF_GAUSSIANS = {
    "offsets": 2e-5, "log_scales": 3e-8, "quats": 3e-8, "logit_opacities": 3e-8, "colors": 1e-7,
}  # fmt: skip


@dataclass
class Group:
    """One parameter, its learning rate and its moments."""

    name: str
    param: Tensor
    rate: float
    per_gaussian: bool = False  # rows are the first Gaussians, or all: rows that a step does not touch stay unchanged
    outer: bool = False  # a basis whose gradient is given as an outer product
    eps: float = EPS

    def __post_init__(self) -> None:
        # Memory traffic limits the step of a large basis: on the CPU its moments have low precision.
        low_precision = self.outer and ops.takes_bfloat16(self.param)
        dtype = torch.bfloat16 if low_precision else self.param.dtype
        self.m = torch.zeros_like(self.param, dtype=dtype)
        self.v = torch.zeros_like(self.param, dtype=dtype)


class Optimizer:
    """Adam (Kingma and Ba 2015) that skips Gaussians which no image of a step shows.

    The moments of skipped Gaussians stay unchanged, so Gaussians that are visible in few frames do not drift on old
    momentum. Skipping also saves most of the memory traffic of a large basis.
    """

    def __init__(self, groups: list[Group]) -> None:
        self.groups = groups
        self.steps = 0

    def step(self, factor: float, touched: Tensor) -> None:
        """Apply the gradients and clear them.

        Args:
            factor: of the learning rate of each group.
            touched: bool [N], Gaussians that the images of this step show.
        """
        self.steps += 1
        for group in self.groups:
            param = group.param
            if param.grad is None:
                continue
            rows = touched[: len(param)] if group.per_gaussian else None
            rate = group.rate * factor
            ops.adam_step(param, param.grad, group.m, group.v, rate, *BETAS, group.eps, self.steps, rows)
            param.grad = None

    def step_basis(
        self, factor: float, touched: Tensor, weights: Tensor, grad: Tensor, anchor_weights: Tensor
    ) -> Tensor:
        """Step of the outer basis [K,M,C]; call it before `step`.

        Args:
            factor: of the learning rate of the basis.
            touched: bool [N], Gaussians that the images of this step show.
            weights: [B,K] blendshape weights of the images.
            grad: [B,M,C] gradient of the blended offsets.
            anchor_weights: [M] weight of the L2 anchor to zero.

        Returns:
            The gradient of `weights` [B,K].
        """
        group = next(group for group in self.groups if group.outer)
        param, rate = group.param, group.rate * factor
        rows = touched[: param.shape[1]]
        return ops.adam_outer_step(
            param,
            weights,
            grad,
            group.m,
            group.v,
            rate,
            *BETAS,
            EPS,
            self.steps + 1,
            touched=rows,
            anchor_weight=anchor_weights,
        )

    def moment(self, name: str) -> Tensor:
        """The running mean of the squared gradient of the parameter `name`."""
        return next(group.v for group in self.groups if group.name == name)

    def state(self) -> dict[str, Any]:
        """Tensors and plain values from which `restore` continues."""
        return {"steps": self.steps, "moments": {group.name: (group.m, group.v) for group in self.groups}}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state()`."""
        self.steps = state["steps"]
        for group in self.groups:
            m, v = state["moments"][group.name]
            group.m.copy_(m)
            group.v.copy_(v)
