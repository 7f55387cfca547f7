"""Adam over the parameters of an avatar, with the native kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from avatar import ops
from avatar.model.avatar import Avatar
from avatar.training.config import TrainConfig

BETAS = (0.9, 0.99)
EPS = 1e-15
#: Epsilon of the parameters of the Gaussians for one image a step. It is well below the gradients of Gaussians that a
#: frame shows; with EPS those of which it shows hardly anything would move by full steps in the direction of noise.
EPS_OF_GAUSSIANS = {
    "offsets": 2e-5,
    "log_scales": 3e-8,
    "quats": 3e-8,
    "logit_opacities": 3e-8,
    "colors": 1e-7,
}


def add_gradient(param: Tensor, grad: Tensor) -> None:
    """Add to the gradient of a leaf; without gradients so far it takes `grad` itself."""
    param.grad = grad if param.grad is None else param.grad.add_(grad)


@dataclass
class Group:
    """One parameter, its learning rate and its moments."""

    name: str
    param: Tensor
    rate: float
    axis: int | None = None  # has one row for each of the first Gaussians, or of all; None: none has
    outer: bool = False  # a basis whose gradient is given as an outer product
    of_weights: bool = False  # changes the blendshape weights: its gradient follows from that of an outer basis
    eps: float = EPS

    def __post_init__(self) -> None:
        # Memory traffic limits the step of a large basis: on the CPU its moments have low precision.
        low_precision = self.outer and ops.takes_bfloat16(self.param)
        dtype = torch.bfloat16 if low_precision else self.param.dtype
        self.m = torch.zeros_like(self.param, dtype=dtype)
        self.v = torch.zeros_like(self.param, dtype=dtype)

    def copy_rows(self, from_rows: Tensor, to_rows: Tensor) -> None:
        """Give the Gaussians `to_rows` [M] the second moments of `from_rows` [M]; their first moments are cleared."""
        if self.axis is None or not bool((to_rows < self.param.shape[self.axis]).all()):
            return
        first, second = (moment.movedim(self.axis, 0) for moment in (self.m, self.v))
        first[to_rows] = 0
        second[to_rows] = second[from_rows]


def gaussian_groups(avatar: Avatar, config: TrainConfig) -> list[Group]:
    """The parameters that every avatar has: those of its Gaussians, and of the torso map."""
    rates = config.rates
    of_gaussians = {
        "offsets": rates.position,
        "log_scales": rates.log_scale,
        "quats": rates.rotation,
        "logit_opacities": rates.opacity,
        "colors": rates.color,
    }
    groups = [
        Group(name, getattr(avatar, name), rate, axis=0, eps=config.batch * EPS_OF_GAUSSIANS[name])
        for name, rate in of_gaussians.items()
    ]
    return [*groups, Group("torso", avatar.rig.torso.weight, rates.torso)]


class Optimizer:
    """Adam (Kingma and Ba 2015) that skips Gaussians which no image of a step shows.

    The moments of skipped Gaussians stay unchanged, so Gaussians that are visible in few frames do not drift on old
    momentum. Skipping also saves most of the memory traffic of a large basis.
    """

    def __init__(self, groups: Sequence[Group] = ()) -> None:
        self.groups = list(groups)
        self.steps = 0
        #: what changes with a step, in memory of a GPU; None: the launches have it by value. See `ops.schedule_of`
        self.schedule: Tensor | None = None

    def add(self, groups: Sequence[Group]) -> None:
        """Optimize further parameters, before the first step.

        Raises:
            ValueError: two parameters of one name.
        """
        self.groups += groups
        names = [group.name for group in self.groups]
        if len(names) != len(set(names)):
            raise ValueError(f"two parameters of one name among {', '.join(names)}")

    def step(self, factor: float, touched: Tensor) -> None:
        """Apply the gradients and clear them.

        Args:
            factor: of the learning rate of each group.
            touched: bool [N], Gaussians that the images of this step show.
        """
        self.steps += 1
        steps = []
        for group in self.groups:
            param = group.param
            if param.grad is not None:
                rows = touched[: len(param)] if group.axis == 0 else None
                rate = group.rate * self._by_value(factor)
                steps.append(ops.AdamStep(param, param.grad, group.m, group.v, rate, group.eps, rows))
                param.grad = None
        ops.adam_steps(steps, *BETAS, self.steps if self.schedule is None else self.schedule)

    def _by_value(self, factor: float) -> float:
        """The factor of the rates that launches have by value."""
        return factor if self.schedule is None else 1.0

    def scheduled(self, factor: float) -> Tensor:
        """The schedule [4] of the next step, on the host."""
        return torch.tensor(ops.schedule_of(factor, *BETAS, self.steps + 1))

    def step_outer(
        self,
        name: str,
        factor: float,
        touched: Tensor,
        weights: Tensor,
        grad: Tensor,
        anchor_weights: Tensor | None = None,
    ) -> Tensor:
        """Step of an outer basis [K,M,C]; call it before `step`.

        Args:
            name: of its group.
            factor: of the learning rate of the basis.
            touched: bool [N], Gaussians that the images of this step show.
            weights: [B,K] blendshape weights of the images.
            grad: [B,M,C] gradient of the blended offsets.
            anchor_weights: [M] weight of the L2 anchor to zero; None: no anchor.

        Returns:
            The gradient of `weights` [B,K].
        """
        group = next(group for group in self.groups if group.name == name)
        rows = touched[: group.param.shape[1]]
        return ops.adam_outer_step(
            group.param,
            weights,
            grad,
            group.m,
            group.v,
            group.rate * self._by_value(factor),
            *BETAS,
            EPS,
            self.steps + 1 if self.schedule is None else self.schedule,
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
