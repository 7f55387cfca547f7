"""Training of appearances: which frames a step takes, and the steps of the offsets of its recording."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avatar import ops
from avatar.data.recordings import joined_states, part_of
from avatar.data.training_frames import TrainingFrames
from avatar.model.avatar import Avatar
from avatar.model.parts.appearance import CHANGED, Appearances, in_recording
from avatar.refine.clip import ClipFit, refine_clip
from avatar.refine.options import RefineOptions
from avatar.training.adam import BETAS, EPS_OF_GAUSSIANS
from avatar.training.anchors import ANCHOR_WEIGHTS
from avatar.training.config import LearningRates

#: Steps after which what all recordings share moves into the avatar.
EVERY = 50
#: Learning rates of the offsets, relative to those of the avatar's own values: positions differ least.
RATES = {"colors": 1.0, "logit_opacities": 1.0, "offsets": 0.3}
#: Largest offset of a position, meters.
REACH = 0.02


class AppearanceTraining:
    """The appearances of an avatar in training; a step takes frames of one recording, in turn."""

    def __init__(self, avatar: Avatar, appearance: Appearances, recording: Tensor, rates: LearningRates, batch: int):
        """
        Args:
            avatar: the avatar, on its device.
            appearance: its appearances.
            recording: [n] int, of each training image.
            rates: learning rates of the avatar.
            batch: images per step.
        """
        self.avatar, self.appearance, self._batch = avatar, appearance, batch
        self._rates = {"colors": rates.color, "logit_opacities": rates.opacity, "offsets": rates.position}
        self._images = [torch.nonzero(recording == index)[:, 0].tolist() for index in range(len(appearance.names))]
        self.queues: list[list[int]] = [[] for _ in self._images]
        self.moments = {name: torch.zeros(2, *getattr(appearance, name).shape) for name in CHANGED}
        self.moments = {name: value.to(avatar.offsets.device) for name, value in self.moments.items()}

    @classmethod
    def of(
        cls, avatar: Avatar, recording: Tensor | None, rates: LearningRates, batch: int
    ) -> AppearanceTraining | None:
        """The training of the appearances of `avatar`; None for an avatar of one recording, arguments as above."""
        appearance = avatar.part(Appearances)
        if appearance is None or recording is None:
            return None
        return cls(avatar, appearance, recording, rates, batch)

    def next_frames(self, step: int, rng: np.random.Generator) -> Tensor:
        """Indices [B] of the images of step `step`, all of one recording: permutations, one after another."""
        index = step % len(self._images)
        images, queue, chosen = self._images[index], self.queues[index], []
        for _ in range(min(self._batch, len(images))):
            if not queue:
                queue += [images[place] for place in rng.permutation(len(images)).tolist()]
            chosen.append(queue.pop())
        return torch.tensor(chosen)

    @property
    def parameters(self) -> list[Tensor]:
        """The offsets that receive gradients."""
        return [getattr(self.appearance, name) for name in CHANGED]

    def step(self, steps: int, factor: float, touched: Tensor) -> None:
        """Adam on the offsets of the recording of a step, held toward zero; gradients are cleared.

        Args:
            steps: steps done before this one.
            factor: of the learning rates.
            touched: bool [N], Gaussians that the images show.
        """
        recordings, index = len(self._images), steps % len(self._images)
        rows = slice(index * len(touched), (index + 1) * len(touched))
        for name in CHANGED:
            values = getattr(self.appearance, name)
            param, (m, v) = values.detach()[rows], self.moments[name]
            grad = values.grad[rows] + self._batch * ANCHOR_WEIGHTS[name] * param
            values.grad = None
            rate = self._rates[name] * RATES[name] * factor
            eps = self._batch * EPS_OF_GAUSSIANS[name]
            ops.adam_step(param, grad, m[rows], v[rows], rate, *BETAS, eps, steps // recordings + 1, touched)
        if (steps + 1) % EVERY == 0:
            self.settle()

    @torch.no_grad()
    def settle(self) -> None:
        """Move what all recordings share into the avatar, and limit the offsets of positions."""
        self.appearance.make_relative_to(self.avatar, None)
        self.appearance.table("offsets").clamp_(-REACH, REACH)

    @torch.no_grad()
    def relocated(self, before: Tensor) -> None:
        """After a relocation, clear the moments of Gaussians that changed their triangle.

        Args:
            before: [N,3] triangles before it.
        """
        changed = (self.avatar.rig.triangles != before).any(1).repeat(len(self._images))
        for moments in self.moments.values():
            moments[0][changed] = 0

    def finish(self) -> None:
        """After the last step: the avatar becomes that of the first recording, and offsets are those of the file."""
        self.appearance.make_relative_to(self.avatar, 0)
        self.appearance.round()

    def state(self) -> dict[str, Any]:
        """Tensors and plain values from which `restore` continues; the offsets are in the state of the avatar."""
        return {"queues": [list(queue) for queue in self.queues], "moments": self.moments}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state()`."""
        self.queues = [list(queue) for queue in state["queues"]]
        for name, value in state["moments"].items():
            self.moments[name].copy_(value)


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
    total, fits = len(frames.states), []
    for index in range(len(appearance.names)):
        part, span = part_of(frames, index)

        def report(done: int, _: int, start: int = span.start) -> None:
            if progress is not None:
                progress(start + done, total)

        with torch.no_grad():
            view = in_recording(avatar, index)
        fits.append(refine_clip(view, part, options, keep_mean=index == 0, progress=report))
    return joined_fits(fits)


def joined_fits(fits: list[ClipFit]) -> ClipFit:
    """One result of several recordings: figures are means weighted by the number of states."""
    counts = np.array([len(fit.flagged) for fit in fits], np.float64)
    share = [float(count) for count in counts / counts.sum()]

    def mean(values: list[Any]) -> Any:
        return sum(part * value for part, value in zip(share, values, strict=True))

    jitters = tuple(
        {name: mean([fit.jitter[side][name] for fit in fits]) for name in fits[0].jitter[side]} for side in (0, 1)
    )
    return replace(
        fits[0],
        states=joined_states([fit.states for fit in fits]),
        flagged=torch.cat([fit.flagged for fit in fits]),
        reverted=torch.cat([fit.reverted for fit in fits]),
        cost=(mean([fit.cost[0] for fit in fits]), mean([fit.cost[1] for fit in fits])),
        turn_deg=mean([fit.turn_deg for fit in fits]),
        shift_cm=mean([fit.shift_cm for fit in fits]),
        jitter=(jitters[0], jitters[1]),
        seconds=sum(fit.seconds for fit in fits),
    )
