"""One step of training: render a batch of frames, loss, gradients, Adam; and the refinement of the frames.

It runs on the device of the trainer. Optional parts are trained by the hooks of `avatar.training.parts`, called here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from avatar.data.training_frames import TrainingFrames, pick
from avatar.model.avatar import Avatar
from avatar.refine.clip import ClipFit, learn_torso, refine_clip
from avatar.training import constraints
from avatar.training.adam import Optimizer, gaussian_groups
from avatar.training.anchors import Anchors
from avatar.training.closures import images_with_closures
from avatar.training.config import TrainConfig
from avatar.training.corrections import set_hidden_colors, smooth_torso_depth
from avatar.training.facing import facing, facing_part
from avatar.training.image_loss import ImageLoss
from avatar.training.image_queue import ImageQueue
from avatar.training.losses import Losses
from avatar.training.parallel import Processes
from avatar.training.parts.part import P, PartTraining, Step, Training
from avatar.training.parts.registry import parts_of
from avatar.training.relocation import relocate, relocation_due
from avatar.training.step_graph import graphed_steps
from avatar.training.visibility import COLOR_FRAMES, initialize_colors, measure

#: Steps in which the learning rates rise to their values.
WARM_UP = 20


class Trainer:
    """Trains an avatar step by step on frames in memory."""

    def __init__(
        self,
        avatar: Avatar,
        frames: TrainingFrames,
        config: TrainConfig,
        device: torch.device | None = None,
        processes: Processes | None = None,
        further: Sequence[Callable[[Training], PartTraining]] = (),
    ) -> None:
        """
        Args:
            avatar: untrained, on the host; it is moved to `device` and trained in place.
            frames: on the host.
            config: the settings of the training.
            device: on which to train; None: the host.
            processes: that train the same avatar; None: this one alone.
            further: make parts of this training alone, whose hooks are called before those of the registered ones.
        """
        self.avatar = avatar
        self.config = config
        self.device = device or frames.rgb.device
        self.processes = processes or Processes()
        self.tracked = frames.states  # before the refinement, on the host
        self.full = frames
        self.starts_coarse = config.size > 256 and config.coarse_share > 0
        self.coarse = frames.resized(0.5) if self.starts_coarse else None  # None once they are used no more
        self.facing = facing(avatar, frames).to(self.device)  # [V] how well the frames can show each vertex
        self.anchors = Anchors(avatar, config.batch)
        self.limits = constraints.Limits(avatar)
        self.optimizer = Optimizer()
        self.parts = [*(make(self) for make in further), *parts_of(self)]
        # All of these were made on the host.
        avatar.to(self.device)
        self.full = self.full.to(self.device)
        self.coarse = None if self.coarse is None else self.coarse.to(self.device)
        self.anchors.to(self.device)
        self.optimizer.add(gaussian_groups(avatar, config))
        for part in self.parts:
            part.to(self.device)
            self.optimizer.add(part.groups())
        self.image_loss = ImageLoss(avatar, config, self.parts)
        self.rng = np.random.default_rng(config.seed + 1)
        self.queue = ImageQueue(images_with_closures(frames.features, avatar.head.expression_names))
        self.steps_done = 0
        self.losses = Losses(self.device)
        self.graph = graphed_steps(self, self.parts, self.losses, frames.step)  # None: launched one by one
        self.refinement: ClipFit | None = None
        self.refinement_skipped = ""  # why the refinement was left out; empty if it was not

    def part(self, kind: type[P]) -> P | None:
        """The part of this class; None if this training has none."""
        return next((part for part in self.parts if isinstance(part, kind)), None)

    def initialize(self) -> None:
        """Before the first step: set colors from the frames, anchor the Gaussians that the frames hardly show."""
        frames = self._frames(0.0)
        coverage = initialize_colors(self.avatar, frames)
        coverage *= facing_part(self.avatar, self.facing, self.avatar.offsets.detach())
        for part in self.parts:
            part.color_hidden(coverage)
        self.anchors.set(coverage)
        for part in self.parts:
            part.initialize(frames, coverage / min(COLOR_FRAMES, len(self.full)))

    def _next_images(self) -> Tensor:
        """Indices [B] of the next batch: those that a part chooses, or else some of all images."""
        for part in self.parts:
            images = part.next_images(self.steps_done, self.rng)
            if images is not None:
                return images
        return self.queue.take(self.config.batch, self.rng)

    def _frames(self, fraction: float) -> TrainingFrames:
        """The frames at `fraction` (0..1) of the schedule, in half or full size."""
        if fraction >= self.config.coarse_share:
            self.coarse = None
        return self.full if self.coarse is None else self.coarse

    def _rate(self, fraction: float) -> float:
        factor = self.config.rates.final**fraction * min(1.0, (self.steps_done + 1) / WARM_UP)
        fine = self.starts_coarse and fraction >= self.config.coarse_share
        return factor * self.config.fine_rate if fine else factor

    def step(self, fraction: float) -> float:
        """One optimization step at `fraction` (0..1) of the schedule; returns the loss of the last step read so far."""
        # Random images, over random backgrounds; rendered, compared, and what follows from that for the parameters.
        step = self._next_step(fraction)
        losses, squares = self._launches(step) if self.graph is None else self.graph(step, self._launches)
        self.steps_done += 1

        # Limits every few steps, relocation every few hundred.
        self._limit(step)
        for part in self.parts:
            part.after_step(step)
        if relocation_due(self.steps_done, fraction) and self.anchors.initial:
            self._relocate(step.frames)
            if self.graph is not None:
                self.graph.clear()
        return self.losses.add(losses, squares, self.steps_done)

    def _launches(self, step: Step) -> tuple[Tensor, Tensor]:
        """Loss [B] and mean squared difference [B] of a step, and what its gradients do to all parameters."""
        step.background = step.background.to(self.device)
        step.truth, step.matte = (pick(images, step.indices) for images in (step.frames.rgb, step.frames.alpha))

        # Render the avatar in these frames; gradients of the images, those of all processes, and then those of anchors.
        losses, squares = self.image_loss(step, self._offsets(step))
        for part in self.parts:
            part.backward(step)
        self.processes.sum_gradients([group.param for group in self.optimizer.groups])
        self.anchors.add_gradients(step.truth.shape[1] * step.truth.shape[2])
        opacity_grad = self.avatar.logit_opacities.grad
        assert opacity_grad is not None
        step.touched = opacity_grad != 0
        if self.optimizer.schedule is not None:  # a step whose images are not finite changes nothing
            self.optimizer.schedule[3:].copy_(losses.isfinite().all())
        for part in self.parts:
            part.after_backward(step)

        # Adam.
        self.optimizer.step(step.rate, step.touched)
        for part in self.parts:
            part.update(step)
        return losses, squares

    def _next_step(self, fraction: float) -> Step:
        frames = self._frames(fraction)
        indices = self._next_images()
        background = torch.from_numpy(self.rng.random((len(indices), 3)).astype(np.float32))
        indices = self.processes.share(indices)
        background = self.processes.share(background)  # images are taken by the launches
        step = Step(self.steps_done, fraction, frames, indices, background, frames.rgb[:0], frames.alpha[:0])
        step.rate = self._rate(fraction)
        return step

    def _offsets(self, step: Step) -> Tensor:
        """Blended offsets [B,M,CHANNELS] of the images of a step, of the first part that has some."""
        return next(extra for part in self.parts if (extra := part.offsets(step)) is not None)

    def _limit(self, step: Step) -> None:
        """After a step, where due: limits on the Gaussians."""
        if not self.anchors.initial:
            return
        if self.steps_done % constraints.EVERY == 0:
            self.limits.apply(self.anchors.initial["log_scales"])
            for part in self.parts:
                part.limit()
        if self.steps_done % constraints.REACH_EVERY == 0:
            features = step.frames.states.features
            features = features[:: max(1, len(features) // constraints.REACH_FRAMES)]
            with torch.no_grad():
                weights = self.avatar.weights(features)
            self.limits.limit_reach(weights)
            for part in self.parts:
                part.limit_motion(weights)

    def _relocate(self, frames: TrainingFrames) -> None:
        """Correct what `frames` hardly show, and move unused Gaussians."""
        self.bake()
        avatar = self.avatar
        config = self.config
        rng = np.random.default_rng((config.seed, self.steps_done))
        use = measure(avatar, frames, int(rng.integers(len(frames))))
        contribution = use.contribution * facing_part(avatar, self.facing, self.anchors.initial["offsets"])
        smooth_torso_depth(avatar, frames, contribution)
        set_hidden_colors(avatar, self.anchors, frames, contribution)
        for part in self.parts:
            contribution = part.correct(frames, contribution)
        if config.relocate > 0:
            use = replace(use, contribution=contribution)
            relocate(avatar, self.anchors, self.optimizer, use, config.relocate, rng, self.parts)
        for part in self.parts:
            part.after_relocation()

    def bake(self) -> None:
        """Write into the avatar all that the parts replace in a step: before it is measured, refined or stored."""
        for part in self.parts:
            part.bake()

    def refinement_due(self, fraction: float) -> bool:
        """Whether the frames are to be refined at `fraction` (0..1) of the schedule."""
        return self.refinement is None and not self.refinement_skipped and self.config.refine_at <= fraction < 1

    def refine(self, fraction: float, progress: Callable[[int, int], None] | None = None) -> None:
        """Refine poses (and expressions, if configured) of all frames against the avatar, and train on those.

        Images are compared at the size that training uses at `fraction` of the schedule, so that Gaussians are as wide
        as in training. An exception of `progress` ends the refinement and leaves everything unchanged.

        Args:
            fraction: 0..1 of the schedule.
            progress: called with (time steps done, time steps in all).
        """
        self.bake()
        options = replace(self.config.refine, expressions=self.config.refine.training_expressions)
        frames = self._frames(fraction)
        refined = (part.refine(frames, options, progress) for part in self.parts)
        fit = next((fit for fit in refined if fit is not None), None)
        if fit is None:
            fit = refine_clip(self.avatar, frames, options, keep_mean=True, progress=progress)
        learn_torso(self.avatar, fit.states)
        self.use(fit)

    def use(self, refinement: ClipFit) -> None:
        """Train on refined frames."""
        self.refinement = refinement
        self.full = replace(self.full, states=refinement.states)
        if self.coarse is not None:
            self.coarse = replace(self.coarse, states=refinement.states)
