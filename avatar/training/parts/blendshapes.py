"""Training of blendshapes: their weights, and bases that are learned for each Gaussian.

A reduced basis is by far the largest tensor of an avatar. Its gradient is the outer product of weights and gradient of
the blended offsets, and never stored: `Optimizer.step_basis` takes both.
"""

from __future__ import annotations

import torch
from torch import Tensor

from avatar.data.training_frames import TrainingFrames, pick
from avatar.model.avatar import Avatar
from avatar.model.parts.weight_network import WeightNetwork
from avatar.training.adam import Group
from avatar.training.config import TrainConfig
from avatar.training.parts.part import AvatarPartTraining, PartTraining, Step, Training

#: Factor of the initial linear weights of blendshapes where a network adds to them.
LINEAR_SHARE = 0.3


class BlendshapeTraining(PartTraining):
    """Weights that are linear in the expression, and bases of each Gaussian."""

    key = "blendshapes"

    def __init__(self, training: Training) -> None:
        """Args: see `PartTraining`."""
        super().__init__(training)
        self._shapes = training.avatar.blendshapes
        self._outer = self._shapes.mode == "reduced" and self._shapes.basis.numel() > 0
        self._shapes.basis.requires_grad_(not self._outer)
        self._blended: tuple[Tensor, Tensor] | None = None  # weights and offsets of the present step

    def groups(self) -> list[Group]:
        """Mixing matrix and basis, where the blendshapes have them."""
        rates = self.training.config.rates
        groups = []
        if self._shapes.mix.numel():
            groups.append(Group("mix", self._shapes.mix, rates.mix, of_weights=True))
        if self._shapes.basis.numel():
            groups.append(Group("basis", self._shapes.basis, rates.basis, axis=1, outer=self._outer))
        return groups

    def offsets(self, step: Step) -> Tensor:
        """Those of the blendshapes, cut off from the weights where the basis is stepped by `after_backward`."""
        states = step.frames.states
        weights = self.training.avatar.weights(pick(states.features, pick(step.frames.step, step.indices)))
        extra: Tensor = self._shapes(weights.detach() if self._outer else weights)
        if self._outer:
            self._blended = weights, extra.requires_grad_()
        return extra

    def after_backward(self, step: Step) -> None:
        """The step of an outer basis, and the gradient of all that changes the weights."""
        if self._blended is None:
            return
        (weights, extra), self._blended = self._blended, None
        assert extra.grad is not None
        processes = self.training.processes
        gathered = processes.gather(weights.detach()), processes.gather(extra.grad)
        optimizer = self.training.optimizer
        grad = optimizer.step_basis(step.rate, step.touched, *gathered, self.training.anchors.basis_weights)
        weights.backward(processes.share(grad))
        processes.sum_gradients([group.param for group in optimizer.groups if group.of_weights])


class WeightNetworkTraining(AvatarPartTraining[WeightNetwork]):
    """The small network that adds to the linear weights; its gradient follows from that of the weights."""

    key = "weights"
    kind = WeightNetwork

    @classmethod
    def build(cls, avatar: Avatar, frames: TrainingFrames, config: TrainConfig) -> None:
        """Add a random network to the blendshapes, whose linear weights become smaller."""
        if not config.has_weight_network:
            return
        network = WeightNetwork(frames.features.shape[1], config.bases, config.hidden)
        network.randomize(config.seed)
        avatar.add_part(network)
        with torch.no_grad():
            avatar.blendshapes.mix.mul_(LINEAR_SHARE)

    def groups(self) -> list[Group]:
        """The parameters of the network."""
        rate = self.training.config.rates.mix
        parameters = self.part.named_parameters()
        return [Group(f"{self.key}.{name}", value, rate, of_weights=True) for name, value in parameters]
