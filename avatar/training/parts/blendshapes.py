"""Training of blendshapes: their weights, and bases that are learned for each Gaussian.

A reduced basis is by far the largest tensor of an avatar. Its gradient is the outer product of weights and gradient of
the blended offsets, and never stored: `Optimizer.step_outer` takes both.
"""

from __future__ import annotations

import torch
from torch import Tensor

from avatar import ops
from avatar.data.training_frames import HeadStates, TrainingFrames, pick
from avatar.model.avatar import Avatar, AvatarPart
from avatar.model.parts.weight_network import WeightNetwork
from avatar.training.adam import Group, add_gradient
from avatar.training.config import TrainConfig
from avatar.training.parts.lid_features import LidFeatures
from avatar.training.parts.part import AvatarPartTraining, PartTraining, Step, Training

#: Factor of the initial linear weights of blendshapes where a network adds to them.
LINEAR_SHARE = 0.3
#: Steps between two applications of the decay of the bases: each is a pass over their memory.
DECAY_EVERY = 8


class BlendshapeTraining(PartTraining):
    """Weights that are linear in the expression, and bases of each Gaussian."""

    key = "blendshapes"
    graphed = True

    def __init__(self, training: Training) -> None:
        """Args: see `PartTraining`."""
        super().__init__(training)
        self._shapes = training.avatar.blendshapes
        self._outer = self._shapes.mode == "reduced" and self._shapes.basis.numel() > 0
        self._shapes.basis.requires_grad_(not self._outer)
        by_hand = self._outer and OuterWeights.fits(training.avatar)
        self._weights = OuterWeights(training.avatar) if by_hand else None
        self._lids = None
        if by_hand:
            features = training.full.features
            self._lids = LidFeatures.of(training.avatar.head, features, training.config.seed)
        self._blended: tuple[Tensor, Tensor] | None = None  # weights and offsets of the present step

    def to(self, device: torch.device) -> None:
        """Move what chooses the features of the lids."""
        if self._lids is not None:
            self._lids.to(device)

    def groups(self) -> list[Group]:
        """Mixing matrix and basis, where the blendshapes have them."""
        rates = self.training.config.rates
        groups = []
        if self._shapes.mix.numel():
            groups.append(Group("mix", self._shapes.mix, rates.mix, of_weights=True))
        if self._shapes.basis.numel():
            groups.append(Group("basis", self._shapes.basis, rates.basis, axis=1, outer=self._outer))
        return groups

    def draw(self, number: int, rows: Tensor) -> Tensor | None:
        """The frames of `LidFeatures`."""
        return None if self._lids is None else self._lids.draw(len(self.training.full.states), rows, number)

    def offsets(self, step: Step) -> Tensor:
        """Those of the blendshapes, cut off from the weights where the basis is stepped by `after_backward`."""
        states, rows = step.frames.states, pick(step.frames.step, step.indices)
        if self._weights is None:
            weights = self.training.avatar.weights(pick(states.features, rows))
        else:
            weights = self._weights(states, rows, self._lids, step.number, step.drawn.get(self.key))
        count = len(rows)
        extra: Tensor = self._shapes(weights[:count].detach() if self._outer else weights)
        for eye, around in enumerate(self._around_eyes(), 1):
            of_eye = weights[eye * count : (eye + 1) * count].detach()
            extra[:, around] = ops.blend(None, self._shapes.basis[:, around], of_eye)
        if self._outer:
            self._blended = weights, extra.requires_grad_()
        return extra

    def _around_eyes(self) -> list[Tensor]:
        """The Gaussians [n] int whose weights are those of `LidFeatures`, of each eye."""
        return [] if self._lids is None else self._lids.rows(self.training.avatar.rig.triangles, self._shapes.count)

    def _gradients(self, extra: Tensor) -> Tensor:
        """Gradients [B or 3B,M,C] of the offsets that all weights of the present step make, from that of `extra`."""
        assert extra.grad is not None
        around = self._around_eyes()
        if not around:
            return extra.grad
        gradients = extra.grad.new_zeros(1 + len(around), *extra.grad.shape)
        gradients[0] = extra.grad
        for eye, rows in enumerate(around, 1):
            gradients[eye][:, rows] = extra.grad[:, rows]
            gradients[0][:, rows] = 0
        return gradients.flatten(0, 1)

    def after_backward(self, step: Step) -> None:
        """The step of an outer basis, and the gradient of all that changes the weights."""
        if self._blended is None:
            return
        (weights, extra), self._blended = self._blended, None
        processes = self.training.processes
        gathered = processes.gather(weights.detach()), processes.gather(self._gradients(extra))
        optimizer = self.training.optimizer
        grad = optimizer.step_outer("basis", step.rate, step.touched, *gathered, self.training.anchors.basis_weights)
        self._pass_on(weights, processes.share(grad))
        processes.sum_gradients([group.param for group in optimizer.groups if group.of_weights])

    def after_step(self, step: Step) -> None:
        """Weight decay of the bases, decoupled from their gradient (Loshchilov and Hutter 2019).

        It takes away what one image or noise put there, and hardly anything of what many images call for.
        """
        decay = self.training.config.decay
        if decay > 0 and (step.number + 1) % DECAY_EVERY == 0:
            with torch.no_grad():
                self._shapes.basis.mul_(1 - DECAY_EVERY * decay * step.rate)

    def _pass_on(self, weights: Tensor, grad: Tensor) -> None:
        """Add the gradients of all that made the `weights` [B,K] of the present step, given theirs."""
        if self._weights is None:
            weights.backward(grad)  # type: ignore[no-untyped-call]
        else:
            self._weights.backward(grad)


class OuterWeights:
    """`Avatar.weights` of an outer basis, with its gradients by hand.

    Autograd through these small matrices takes ten times as long; the bits are the same.
    """

    @staticmethod
    def fits(avatar: Avatar) -> bool:
        """Whether no part but a `WeightNetwork` adds to the weights of reduced blendshapes."""
        added = {type(part).add_weights for part in avatar.parts.values()}
        return avatar.blendshapes.mode == "reduced" and added <= {AvatarPart.add_weights, WeightNetwork.add_weights}

    def __init__(self, avatar: Avatar) -> None:
        """Args: its parameters receive the gradients."""
        self._avatar = avatar
        self._states: HeadStates | None = None
        self._inputs: ops.WeightInputs | None = None  # [S] of `_states`
        self._step: tuple[ops.WeightInputs, ops.Layers | None, Tensor | None] | None = None  # of the last call

    @torch.no_grad()
    def __call__(
        self,
        states: HeadStates,
        rows: Tensor,
        lids: LidFeatures | None = None,
        number: int = 0,
        drawn: Tensor | None = None,
    ) -> Tensor:
        """Weights [B,K] of the time steps `rows` [B]; with `lids` [3B,K], at last for the Gaussians around both eyes.

        Args:
            states: of all time steps.
            rows: [B] int.
            lids: features for the Gaussians around the eyes.
            number: of the step.
            drawn: what `lids` drew for it; None: they draw here.
        """
        shapes, network = self._avatar.blendshapes, self._avatar.part(WeightNetwork)
        if self._states is not states or self._inputs is None:
            standardized = shapes.standardized(states.features)
            self._states = states
            linear = ops.batch_invariant_matmul(standardized, shapes.components)
            self._inputs = ops.WeightInputs(standardized, linear)
        inputs = ops.WeightInputs(pick(self._inputs.standardized, rows), pick(self._inputs.linear, rows))
        if lids is not None:
            mixed = lids.mixed(self._inputs.standardized, rows, number, drawn).flatten(0, 1)
            linear = ops.batch_invariant_matmul(mixed, shapes.components)
            inputs = ops.WeightInputs(torch.cat([inputs.standardized, mixed]), torch.cat([inputs.linear, linear]))
        layers = None if network is None else _layers_of(network)
        weights, units = ops.mixed_weights(inputs, shapes.mix, layers)
        self._step = inputs, layers, units
        return weights

    @torch.no_grad()
    def backward(self, grad: Tensor) -> None:
        """Add the gradients of mixing matrix and network, given that of the weights [B,K] of the last call."""
        assert self._step is not None
        of_mix, of_layers = ops.mixed_weights_backward(grad, *self._step)
        add_gradient(self._avatar.blendshapes.mix, of_mix)
        network = self._avatar.part(WeightNetwork)
        if network is not None and of_layers is not None:
            for name, value in vars(of_layers).items():
                add_gradient(getattr(network, name), value)


def _layers_of(network: WeightNetwork) -> ops.Layers:
    return ops.Layers(network.hidden, network.hidden_bias, network.output, network.output_bias)


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
