"""Rigs of published head avatars, re-made from their papers inside this trainer, for `tests.bench.bench_rigs`.

Each differs from our default in how expressions move the Gaussians and in what limits them. Renderer, loss, optimizer,
frames, poses and number of Gaussians are the same, so the table compares rigs, not programs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from avatar.data.training_frames import TrainingFrames, pick
from avatar.head.model import HeadModel
from avatar.model.avatar import Avatar
from avatar.model.blendshapes import CHANNELS, Blendshapes
from avatar.training.adam import Group
from avatar.training.config import TrainConfig
from avatar.training.initialization import build_avatar
from avatar.training.parts.part import PartTraining, Step, Training
from avatar.training.trainer import Trainer

#: What the published rigs do not have: a mesh for mouth and eyes, Gaussians that stretch with triangles, relocation, a
#: prior of heads, and a low-pass filter in space.
PLAIN: dict[str, Any] = {
    "layer": False, "stretch": False, "relocate": 0.0, "prior": False, "filter": 0.0, "dilation": 0.3,
}  # fmt: skip


class MixedByNetwork(Blendshapes):
    """RGBAvatar (Li et al. 2025): few bases, their weights from expression and joints by a small MLP."""

    def __init__(self, features: Tensor, bases: int, count: int) -> None:
        """Arguments as of Blendshapes."""
        super().__init__("reduced", features, bases, count)
        self.mix.requires_grad_(False)
        layers: list[nn.Module] = [nn.Linear(features.shape[1], 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()]
        self.mlp = nn.Sequential(*layers, nn.Linear(64, bases))

    def weights(self, features: Tensor, terms: Iterable[Callable[[Tensor, Tensor], Tensor]]) -> Tensor:
        """Blendshape weights [B,K] for features [B,F]."""
        found: Tensor = self.mlp(self.standardized(features))
        return found


class MovedByNetwork(Blendshapes):
    """FlashAvatar (Xiang et al. 2024): an MLP from the place on the surface and the expression to offsets.

    The paper's MLP has 5 layers of 256; on a CPU a step of it takes as long as ten steps of the others, so it has 64
    here. It moves and rotates; the residual of the scale is left out, offsets of this rig have no such channel.
    """

    FREQUENCIES, WIDTH = 6, 64
    MOVED = 7  # channels: position and rotation

    def __init__(self, features: Tensor, places: Tensor) -> None:
        """
        Args:
            features: [T,F] of the training frames.
            places: [M,3] on the resting mesh, in 0..1.
        """
        super().__init__("reduced", features, features.shape[1], len(places))
        self.basis.requires_grad_(False)
        self.mix.requires_grad_(False)
        angles = places[:, :, None] * (math.pi * 2.0 ** torch.arange(self.FREQUENCIES))
        self.register_buffer("encoded", torch.cat([angles.sin().flatten(1), angles.cos().flatten(1), places], 1))
        inputs = self.encoded.shape[1]
        self.of_place = nn.Linear(inputs, self.WIDTH)
        self.of_expression = nn.Linear(features.shape[1], self.WIDTH, bias=False)
        width, layers = self.WIDTH, list[nn.Module]()
        for _ in range(3):
            layers += [nn.ReLU(), nn.Linear(width, width)]
        last = nn.Linear(width, self.MOVED)
        nn.init.normal_(last.weight, std=1e-3)
        nn.init.zeros_(last.bias)
        self.mlp = nn.Sequential(*layers, nn.ReLU(), last)

    encoded: Tensor

    def weights(self, features: Tensor, terms: Iterable[Callable[[Tensor, Tensor], Tensor]]) -> Tensor:
        """The input of the network [B,F]: standardized features."""
        return self.standardized(features)

    def forward(self, weights: Tensor) -> Tensor:
        """Offsets [B,M,CHANNELS] for the input of the network [B,F]."""
        moved = self.mlp(self.of_place(self.encoded) + self.of_expression(weights)[:, None])
        return nn.functional.pad(moved, (0, CHANNELS - self.MOVED))


class RigTraining(PartTraining):
    """What a rig trains beside what this trainer knows, and its regularizers."""

    key = "rig"

    def __init__(self, training: Training, rig: Rig) -> None:
        """
        Args:
            training: see `PartTraining`.
            rig: one of RIGS.
        """
        super().__init__(training)
        self._rig = rig

    def groups(self) -> list[Group]:
        """The parameters of a network in place of our blendshapes."""
        shapes = self.training.avatar.blendshapes
        if type(shapes) is Blendshapes:
            return []
        return [
            Group(name, value, self._rig.network_rate, of_weights=True)
            for name, value in shapes.named_parameters()
            if value.requires_grad and name not in ("basis", "mix")
        ]

    def offsets(self, step: Step) -> Tensor | None:
        """Those of a network without bases; the others are those of blendshapes."""
        shapes = self.training.avatar.blendshapes
        if not isinstance(shapes, MovedByNetwork):
            return None
        states = step.frames.states
        offsets: Tensor = shapes(
            self.training.avatar.weights(pick(states.features, pick(step.frames.step, step.indices)))
        )
        return offsets

    def loss(self, step: Step) -> Tensor | None:
        """GaussianAvatars (Qian et al. 2024), equations 4 and 5: distance and size in units of the triangle."""
        if not self._rig.regularize:
            return None
        avatar = self.training.avatar
        vertices = pick(step.frames.states.vertices, pick(step.frames.step, step.indices))
        corners = vertices[0][avatar.rig.triangles]
        edge, other = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
        length = edge.norm(dim=1)
        unit = (length + torch.cross(edge, other, dim=1).norm(dim=1) / length.clamp_min(1e-9)) / 2
        far = torch.relu(avatar.offsets.norm(dim=1) / unit.clamp_min(1e-6) - 1).mean()
        large = torch.relu(avatar.log_scales.exp() / unit.clamp_min(1e-6)[:, None] - 0.6).norm(dim=1).mean()
        return 0.01 * far + large


class RigTrainer(Trainer):
    """A training of a rig, with our limits or without."""

    limited = True

    def _limit(self, step: Step) -> None:
        if self.limited:
            super()._limit(step)

    def _relocate(self, frames: TrainingFrames) -> None:
        if self.limited:
            super()._relocate(frames)


@dataclass(frozen=True)
class Rig:
    """One row of the table."""

    name: str
    settings: dict[str, Any] = field(default_factory=dict)  # of TrainConfig
    blendshapes: Callable[[Avatar, TrainingFrames], Blendshapes] | None = None  # in place of those of the trainer
    regularize: bool = False  # the regularizers of GaussianAvatars
    limits: bool = False  # our limits on colors, sizes and reach, and relocation
    network_rate: float = 2e-3

    def config(self, base: TrainConfig) -> TrainConfig:
        """The settings of the rig."""
        return replace(base, **self.settings)

    def trainer(self, person: HeadModel, frames: TrainingFrames, base: TrainConfig) -> Trainer:
        """A training of this rig on `frames`, before its first step."""
        config = self.config(base)
        torch.manual_seed(config.seed)
        avatar = build_avatar(person, frames, config)
        if self.blendshapes is not None:
            avatar.blendshapes = self.blendshapes(avatar, frames)
        trainer = RigTrainer(avatar, frames, config, further=[partial(RigTraining, rig=self)])
        trainer.limited = self.limits
        trainer.initialize()
        return trainer


def _by_network(avatar: Avatar, frames: TrainingFrames) -> Blendshapes:
    return MixedByNetwork(frames.features, avatar.blendshapes.basis.shape[0], avatar.blendshapes.count)


def _flash(avatar: Avatar, frames: TrainingFrames) -> Blendshapes:
    count, rest = avatar.blendshapes.count, avatar.head.v_template
    places = (rest[avatar.rig.triangles[:count]] * avatar.rig.bary[:count, :, None]).sum(1)
    low = rest.amin(0)
    return MovedByNetwork(frames.features, (places - low) / (rest.amax(0) - low).amax())


RIGS = (
    Rig("headsplat", limits=True),
    Rig("linear weights", {"hidden": 0}, limits=True),
    Rig("local bases", {"mode": "local", "bases": 16}, limits=True),
    Rig("strain wrinkles", {"wrinkles": True}, limits=True),
    Rig("light of the clip", {"light": True}, limits=True),
    Rig("hash grid, compiled", {"offsets": "hash"}, limits=True),
    Rig("UV network, compiled", {"offsets": "uv"}, limits=True),
    Rig("no blendshapes", {"bases": 0}, limits=True),
    Rig("GaussianBlendshapes", PLAIN | {"mode": "expression"}),
    Rig("RGBAvatar", PLAIN | {"bases": 20}, _by_network),
    Rig("GaussianAvatars", PLAIN | {"bases": 0, "stretch": True}, regularize=True),
    Rig("FlashAvatar", PLAIN, _flash),
)
