"""Training of appearances: which images a step takes, and the steps of the offsets of its recording."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from avatar import ops
from avatar.data.recordings import frames_of, join_states
from avatar.data.training_frames import TrainingFrames
from avatar.model.avatar import Avatar
from avatar.model.parts.appearance import CHANGED, Appearances, in_recording
from avatar.model.to_device import to_device
from avatar.refine.clip import ClipFit, refine_clip
from avatar.refine.options import RefineOptions
from avatar.training.adam import BETAS, EPS_OF_GAUSSIANS
from avatar.training.anchors import ANCHOR_WEIGHTS
from avatar.training.image_queue import ImageQueue
from avatar.training.parts.part import AvatarPartTraining, Step, Training

if TYPE_CHECKING:
    from typing_extensions import Self  # in `typing` from Python 3.11 on

#: Steps after which what all recordings share moves into the avatar.
EVERY = 50
#: Learning rates of the offsets, relative to those of the avatar's own values: positions differ least.
RATES = {"colors": 1.0, "logit_opacities": 1.0, "offsets": 0.3}
#: Largest offset of a position, meters.
REACH = 0.02


class AppearanceTraining(AvatarPartTraining[Appearances]):
    """The appearances of an avatar in training; a step takes frames of one recording, in turn."""

    key = "appearances"
    kind = Appearances

    def __init__(self, training: Training) -> None:
        """Args: see `PartTraining`; its frames have recordings."""
        super().__init__(training)
        appearance = self.part
        recording = training.full.recording
        assert recording is not None
        rates = training.config.rates
        self._rates = {"colors": rates.color, "logit_opacities": rates.opacity, "offsets": rates.position}
        images = [torch.nonzero(recording == index)[:, 0].tolist() for index in range(len(appearance.names))]
        self._queues = [ImageQueue(each) for each in images]
        self._moments = {name: torch.zeros(2, *getattr(appearance, name).shape) for name in CHANGED}

    @classmethod
    def of(cls, training: Training) -> Self | None:
        """None for an avatar of one recording."""
        return None if training.full.recording is None else super().of(training)

    def to(self, device: torch.device) -> None:
        """Move the moments."""
        self._moments = to_device(self._moments, device)

    def next_images(self, number: int, rng: np.random.Generator) -> Tensor:
        """Images of one recording: permutations of them, one after another."""
        return self._queues[number % len(self._queues)].take(self.training.config.batch, rng)

    def after_backward(self, step: Step) -> None:
        """Sum up the gradients of the offsets, which the optimizer does not have."""
        self.training.processes.sum_gradients([getattr(self.part, name) for name in CHANGED])

    def update(self, step: Step) -> None:
        """Adam on the offsets of the recording of the step, held toward zero; gradients are cleared."""
        batch = self.training.config.batch
        turn, index = divmod(step.number, len(self._queues))
        count = len(step.touched)
        rows = slice(index * count, (index + 1) * count)
        for name in CHANGED:
            values = getattr(self.part, name)
            param = values.detach()[rows]
            first, second = self._moments[name]
            grad = values.grad[rows] + batch * ANCHOR_WEIGHTS[name] * param
            values.grad = None
            rate = self._rates[name] * RATES[name] * step.rate
            eps = batch * EPS_OF_GAUSSIANS[name]
            ops.adam_step(param, grad, first[rows], second[rows], rate, *BETAS, eps, turn + 1, step.touched)
        if (step.number + 1) % EVERY == 0:
            self._settle()

    @torch.no_grad()
    def _settle(self) -> None:
        """Move what all recordings share into the avatar, and limit the offsets of positions."""
        self.part.make_relative_to(self.training.avatar, None)
        self.part.table("offsets").clamp_(-REACH, REACH)

    @torch.no_grad()
    def copy_rows(self, from_rows: Tensor, to_rows: Tensor) -> None:
        """Clear the first moments of Gaussians that change their triangle."""
        triangles = self.training.avatar.rig.triangles
        changed = to_rows[(triangles[from_rows] != triangles[to_rows]).any(1)]
        for first, _ in self._moments.values():
            first.view(len(self._queues), len(triangles), *first.shape[1:])[:, changed] = 0

    def refine(
        self, frames: TrainingFrames, options: RefineOptions, progress: Callable[[int, int], None] | None
    ) -> ClipFit:
        """Each recording against the avatar in its appearance."""
        return refine_recordings(self.training.avatar, frames, options, progress)

    def finish(self) -> None:
        """The avatar becomes that of the first recording, and offsets are those of the file."""
        self.part.make_relative_to(self.training.avatar, 0)
        self.part.round()

    def state(self) -> dict[str, Any]:
        """Queues and moments; the offsets are in the state of the avatar."""
        return {"queues": [queue.waiting for queue in self._queues], "moments": self._moments}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state()`."""
        for queue, waiting in zip(self._queues, state["queues"], strict=True):
            queue.waiting = waiting
        for name, value in state["moments"].items():
            self._moments[name].copy_(value)


def refine_recordings(
    avatar: Avatar,
    frames: TrainingFrames,
    options: RefineOptions,
    progress: Callable[[int, int], None] | None = None,
) -> ClipFit:
    """Refine each recording against the avatar in its appearance.

    The first one keeps the mean of its poses, which is the frame of reference; those of the others may move to it.

    Args:
        avatar: with appearances; it is not changed.
        frames: of all recordings.
        options: as of `refine_clip`.
        progress: called with (states done, S).
    """
    appearance = avatar.part(Appearances)
    assert appearance is not None
    total = len(frames.states)
    fits = []
    for index in range(len(appearance.names)):
        recorded, span = frames_of(frames, index)

        def report(done: int, _: int, start: int = span.start) -> None:
            if progress is not None:
                progress(start + done, total)

        with torch.no_grad():
            view = in_recording(avatar, index)
        fits.append(refine_clip(view, recorded, options, keep_mean=index == 0, progress=report))
    return joined_fits(fits)


def joined_fits(fits: list[ClipFit]) -> ClipFit:
    """One result of several recordings: figures are means weighted by the number of states."""
    counts = np.array([len(fit.flagged) for fit in fits], np.float64)
    share = [float(count) for count in counts / counts.sum()]

    def mean(values: list[Any]) -> Any:
        return sum(weight * value for weight, value in zip(share, values, strict=True))

    jitters = tuple(
        {name: mean([fit.jitter[side][name] for fit in fits]) for name in fits[0].jitter[side]} for side in (0, 1)
    )
    return replace(
        fits[0],
        states=join_states([fit.states for fit in fits]),
        flagged=torch.cat([fit.flagged for fit in fits]),
        reverted=torch.cat([fit.reverted for fit in fits]),
        cost=(mean([fit.cost[0] for fit in fits]), mean([fit.cost[1] for fit in fits])),
        turn_deg=mean([fit.turn_deg for fit in fits]),
        shift_cm=mean([fit.shift_cm for fit in fits]),
        jitter=(jitters[0], jitters[1]),
        seconds=sum(fit.seconds for fit in fits),
    )
