"""The hooks of a training part: what an optional part of an avatar, or an option of a training, adds to each step.

After the strategies of gsplat (`gsplat/strategy/base.py`): the trainer calls every hook of every part in the order of
`avatar.training.parts.registry`, and a new part is one file with the hooks that it needs. All of them do nothing here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from avatar.data.training_frames import TrainingFrames
from avatar.model.avatar import Avatar, AvatarPart
from avatar.refine.clip import ClipFit
from avatar.refine.options import RefineOptions
from avatar.training.adam import Group, Optimizer
from avatar.training.anchors import Anchors
from avatar.training.config import TrainConfig
from avatar.training.parallel import Processes

if TYPE_CHECKING:
    from typing_extensions import Self  # in `typing` from Python 3.11 on

P = TypeVar("P", bound="PartTraining")
A = TypeVar("A", bound=AvatarPart)


class Training(Protocol):
    """What a part may use of a training; `avatar.training.trainer.Trainer` is one."""

    avatar: Avatar
    config: TrainConfig
    device: torch.device
    full: TrainingFrames  # at full size, in the present poses
    processes: Processes
    anchors: Anchors
    optimizer: Optimizer


@dataclass
class Step:
    """One step of a training of B images while it is made: hooks find what was set before them in `Trainer.step`."""

    number: int  # steps that were done before
    fraction: float  # 0..1 of the schedule
    frames: TrainingFrames  # in the size of this step
    indices: Tensor  # [B] int, the images
    background: Tensor  # [B,3] random colors behind them
    truth: Tensor  # [B,H,W,3] uint8, the images
    matte: Tensor  # [B,H,W] uint8
    drawn: dict[str, Tensor] = field(default_factory=dict)  # by key of the part, see `PartTraining.draw`
    rgb: Tensor = field(init=False)  # [B,H,W,3] rendered over black, 0..1; only where a part has `loss`
    alpha: Tensor = field(init=False)  # [B,H,W] rendered, 0..1, as `rgb`
    rate: float = field(init=False)  # factor of all learning rates
    touched: Tensor = field(init=False)  # [N] bool, Gaussians that the images show or an anchor moves


class PartTraining:
    """The training of one part of an avatar; the hooks of a step in the order in which they are called."""

    #: Name of the part in checkpoints.
    key: ClassVar[str]
    #: Whether its hooks between the images of a step and Adam only launch what is the same in every step, from values
    #: that lie on the device: a CUDA graph may hold them.
    graphed: ClassVar[bool] = False

    @classmethod
    def check(cls, config: TrainConfig, device: torch.device) -> None:
        """Before any frame is read, raise HeadsplatError for settings that cannot be used on this machine."""

    @classmethod
    def build(cls, avatar: Avatar, frames: TrainingFrames, config: TrainConfig) -> None:
        """Add the part to an untrained `avatar` on the host, if `config` wants it."""

    @classmethod
    def of(cls, training: Training) -> Self | None:
        """The training of this part in one training; None where avatar and settings have none of it."""
        return cls(training)

    def __init__(self, training: Training) -> None:
        """Args: before its first step, with avatar and frames on the host."""
        self.training = training

    def to(self, device: torch.device) -> None:
        """Move the tensors of this object to the device of the training; those of the avatar are there already."""

    def groups(self) -> list[Group]:
        """Parameters for the optimizer."""
        return []

    def color_hidden(self, coverage: Tensor) -> None:
        """Before the Gaussians are anchored to their initial values: correct colors that the frames did not give.

        Args:
            coverage: [N] pixels that each Gaussian covers in the frames that gave the initial colors.
        """

    def initialize(self, frames: TrainingFrames, contribution: Tensor) -> None:
        """Before the first step of a new training, with initial colors.

        Args:
            frames: of the first step.
            contribution: [N] as of `correct`.
        """

    def next_images(self, number: int, rng: np.random.Generator) -> Tensor | None:
        """Images [B] int of the step `number`; None: this part does not choose."""
        return None

    def variant(self, fraction: float) -> object:
        """What decides at `fraction` (0..1) of the schedule which launches its hooks make, if that is not constant."""
        return None

    def draw(self, number: int, rows: Tensor) -> Tensor | None:
        """Random integers [...] of a step, which the host draws: its hooks find them in `Step.drawn`.

        Args:
            number: steps that were done before.
            rows: [B] int, time steps of its images, on the host.
        """
        return None

    def offsets(self, step: Step) -> Tensor | None:
        """Blended offsets [B,M,CHANNELS] of the images of a step; None: this part has none. The first ones are used."""
        return None

    def loss(self, step: Step) -> Tensor | None:
        """A scalar that is added to the photometric loss, which is a sum over the B images; None: nothing."""
        return None

    def backward(self, step: Step) -> None:
        """After the backward pass: add gradients of losses of views of its own, in each process for itself."""

    def after_backward(self, step: Step) -> None:
        """Add gradients that do not come from images, such as anchors: those of all processes are summed up already."""

    def update(self, step: Step) -> None:
        """After the step of the optimizer: that of parameters which it does not have."""

    def limit(self) -> None:
        """Every few steps: clamp parameters, next to `constraints.Limits.apply`."""

    def limit_motion(self, weights: Tensor) -> None:
        """Every few steps: limit what blendshapes do to Gaussians, next to `constraints.Limits.limit_reach`.

        Args:
            weights: [T,K] of the blendshapes in the frames whose motion counts.
        """

    def after_step(self, step: Step) -> None:
        """After a step and its limits."""

    def bake(self) -> None:
        """Write into the avatar what a step replaces (`offsets`): before it is measured, refined or stored."""

    def correct(self, frames: TrainingFrames, contribution: Tensor) -> Tensor:
        """Before a relocation: correct Gaussians that the frames hardly show.

        Args:
            frames: of the present step.
            contribution: [N] pixels, mean blend weight of each Gaussian in a frame, summed over pixels.

        Returns:
            The contribution [N] by which Gaussians are relocated.
        """
        return contribution

    def copy_rows(self, from_rows: Tensor, to_rows: Tensor) -> None:
        """Before the Gaussians `to_rows` [M] become copies of `from_rows` [M]: let what this object has of them follow.

        Values of the avatar and moments of the optimizer follow without this.
        """

    def after_relocation(self) -> None:
        """Gaussians have moved to other triangles."""

    def refine(
        self, frames: TrainingFrames, options: RefineOptions, progress: Callable[[int, int], None] | None
    ) -> ClipFit | None:
        """The refinement of all frames, as of `refine_clip`; None: this part leaves it to others."""
        return None

    def finish(self) -> None:
        """After the last step: bring the avatar, now on the host, to the form in which it is stored."""

    def figures(self) -> dict[str, Any]:
        """Entries for the provenance of the avatar, plain JSON values."""
        return {}

    def state(self) -> Any:
        """Tensors and plain values from which `restore` continues; those of avatar and optimizer are stored already."""
        return None

    def restore(self, state: Any) -> None:
        """Continue from `state()`, its tensors on any device."""


class AvatarPartTraining(PartTraining, Generic[A]):
    """The training of a part that the avatar has already, from `build` or from the file that is trained on: `part`."""

    #: Class of the part, the same as `A`.
    kind: ClassVar[type[AvatarPart]]

    @classmethod
    def of(cls, training: Training) -> Self | None:
        """None for an avatar without the part."""
        return None if training.avatar.part(cls.kind) is None else cls(training)

    def __init__(self, training: Training) -> None:
        """Args: see `PartTraining`; its avatar has the part."""
        super().__init__(training)
        self.part = cast(A, training.avatar.part(self.kind))
