"""One step of training: render a batch of frames, loss, gradients, Adam; and the refinement of the frames.

All of it runs on the device of the trainer. What leaves that is on the host: previews, comparisons and the state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avatar import ops
from avatar.data.training_frames import TrainingFrames, pick
from avatar.model.avatar import Avatar
from avatar.model.moving import moved
from avatar.model.parts.light.head_light import HeadLight
from avatar.model.parts.mesh_layer import MeshLayer, has_mouth
from avatar.model.parts.weight_network import WeightNetwork
from avatar.model.parts.wrinkles import Wrinkles
from avatar.model.prior import applies_to, head_prior
from avatar.refine.clip import ClipFit, learn_torso, refine_clip
from avatar.rendering.backends import backend_of
from avatar.rendering.render import render, to_uint8
from avatar.training import constraints
from avatar.training.adam import EPS_OF_GAUSSIANS, Group, Optimizer
from avatar.training.anchors import Anchors
from avatar.training.appearance_training import AppearanceTraining, refine_recordings
from avatar.training.config import TrainConfig
from avatar.training.facing import facing, facing_part
from avatar.training.guidance import EVERY as EVERY_GUIDED
from avatar.training.guidance import Guidance, guide
from avatar.training.initial_colors import COLOR_FRAMES, initialize_colors
from avatar.training.initialization import nearest_pixel
from avatar.training.layer_training import TexelAnchors, layer_groups, limit_texels, set_light
from avatar.training.light_training import add_light_anchor, measure_light, refresh_transfer, start_light
from avatar.training.local_bases import keep_local
from avatar.training.losses import READ_EVERY, Losses
from avatar.training.mouth_limits import MouthLimits
from avatar.training.neighbor_colors import set_hidden_colors
from avatar.training.networks.build import offset_network
from avatar.training.networks.compiled import compile_bases
from avatar.training.parallel import Processes
from avatar.training.perceptual.loss import FIRST as FIRST_PERCEPTUAL
from avatar.training.perceptual.loss import PerceptualLoss
from avatar.training.prediction import predict
from avatar.training.prior_colors import set_prior_colors
from avatar.training.relocation import WRINKLES, measure, relocate, relocation_due
from avatar.training.round_eyes import RoundEyes
from avatar.training.torso_depth import smooth_torso_depth

WARM_UP = 20


class Trainer:
    """Trains an avatar step by step on frames in memory."""

    def __init__(
        self,
        avatar: Avatar,
        frames: TrainingFrames,
        config: TrainConfig,
        guidance: Guidance | None = None,
        device: torch.device | None = None,
        processes: Processes | None = None,
        perceptual: PerceptualLoss | None = None,
    ) -> None:
        """
        Args:
            avatar: untrained, on the host; it is moved to `device` and trained in place.
            frames: on the host.
            config: the settings of the training.
            guidance: see `avatar.training.guidance`.
            device: on which to train; None: the host.
            processes: that train the same avatar; None: this one alone.
            perceptual: added to the loss in the last third, on the device; None: none.
        """
        self.avatar, self.guidance, self.processes = avatar, guidance, processes or Processes()
        self.perceptual, self.config = perceptual, config
        self.tracked = frames.states  # before the refinement, on the host
        self.mouth_limits = MouthLimits(avatar.head) if has_mouth(layer := avatar.part(MeshLayer)) else None
        self.round_eyes = None if layer is None else RoundEyes(avatar.head, layer)
        self.device = device or frames.rgb.device
        self.shown = facing(avatar, frames).to(self.device)
        if config.light:
            start_light(avatar)
        coarse = frames.resized(0.5) if config.size > 256 and config.coarse_share > 0 else None
        self.full, self.coarse = frames.to(self.device), None if coarse is None else coarse.to(self.device)
        self._move()
        self.looks = AppearanceTraining.of(avatar, frames.recording, config.rates, config.batch)
        self.rng = np.random.default_rng(config.seed + 1)
        self.queue: list[int] = []
        self.steps_done = 0
        # A reduced basis is by far the largest tensor: its gradient is never stored, see `Optimizer.step_basis`.
        self.outer = avatar.blendshapes.mode == "reduced" and avatar.blendshapes.basis.numel() > 0
        avatar.blendshapes.basis.requires_grad_(not self.outer)
        self.network = offset_network(config, avatar, self.full.states)  # None once its bases are compiled
        self.network_kept: float | None = None  # what the compiled bases reproduce of its squared offsets
        self.optimizer = Optimizer(self._groups())
        self.prior = head_prior() if config.prior and applies_to(avatar.head) else None
        self.anchors = Anchors(avatar, config.batch, weak_all=self.prior is not None)
        self.texel_anchors = None if layer is None else TexelAnchors(layer, config.batch)
        self.losses = Losses(1 if self.device.type == "cpu" else READ_EVERY)
        self.refinement: ClipFit | None = None
        self.refinement_skipped = ""  # why the refinement was left out; empty if it was not

    def _move(self) -> None:
        """Move avatar and limits to the device."""
        self.avatar.to(self.device)
        for part in (self.mouth_limits, self.round_eyes):
            if part is not None:
                part.to(self.device)

    def _groups(self) -> list[Group]:
        rates, batch, avatar = self.config.rates, self.config.batch, self.avatar
        of_gaussians = {
            "offsets": rates.position,
            "log_scales": rates.log_scale,
            "quats": rates.rotation,
            "logit_opacities": rates.opacity,
            "colors": rates.color,
        }
        groups = [
            *(
                Group(name, getattr(avatar, name), rate, per_gaussian=True, eps=batch * EPS_OF_GAUSSIANS[name])
                for name, rate in of_gaussians.items()
            ),
            Group("torso", avatar.rig.torso.weight, rates.torso),
        ]
        if (layer := avatar.part(MeshLayer)) is not None:
            groups += layer_groups(layer, rates, batch)
        if (light := avatar.part(HeadLight)) is not None:
            groups.append(Group("light", light.shape, rates.light))
        if (wrinkles := avatar.part(Wrinkles)) is not None:
            eps = batch * EPS_OF_GAUSSIANS["colors"]
            groups.append(Group(WRINKLES, wrinkles.coefficients, rates.wrinkle, per_gaussian=True, eps=eps))
        if avatar.blendshapes.mix.numel():
            groups.append(Group("mix", avatar.blendshapes.mix, rates.mix))
        if (network := avatar.part(WeightNetwork)) is not None:
            groups += [Group(f"weights.{name}", value, rates.mix) for name, value in network.named_parameters()]
        if avatar.blendshapes.basis.numel():
            groups.append(Group("basis", avatar.blendshapes.basis, rates.basis, outer=self.outer))
        if self.network is not None:
            groups += [
                Group(f"network.{name}", value, rates.network) for name, value in self.network.named_parameters()
            ]
        return groups

    def initialize(self) -> None:
        """Before the first step: set colors from the frames, anchor the Gaussians that the frames hardly show."""
        coverage = initialize_colors(self.avatar, self.coarse or self.full)
        coverage *= facing_part(self.avatar, self.shown, self.avatar.offsets.detach())
        if self.mouth_limits is not None:
            self.mouth_limits.color_hidden(self.avatar, coverage)
        self.anchors.set(coverage)
        self._use_prior(self.coarse or self.full, coverage / min(COLOR_FRAMES, len(self.full)))
        set_light(self.avatar)
        measure_light(self.avatar)

    def _next_frames(self) -> Tensor:
        """Indices [B] of the next batch: random permutations of all frames, one after another."""
        if self.looks is not None:
            return self.looks.next_frames(self.steps_done, self.rng)
        chosen = []
        for _ in range(min(self.config.batch, len(self.full))):
            if not self.queue:
                self.queue = self.rng.permutation(len(self.full)).tolist()
            chosen.append(self.queue.pop())
        return torch.tensor(chosen)  # on the host: one image is then a view, and nothing waits for the device

    def is_coarse(self, fraction: float) -> bool:
        """Whether training uses half-size frames at `fraction` (0..1) of the schedule."""
        return self.coarse is not None and fraction < self.config.coarse_share

    def _frames(self, fraction: float) -> TrainingFrames:
        return self.coarse if self.coarse is not None and self.is_coarse(fraction) else self.full

    def _rate(self, fraction: float) -> float:
        factor = self.config.rates.final**fraction * min(1.0, (self.steps_done + 1) / WARM_UP)
        fine = self.coarse is not None and not self.is_coarse(fraction)
        return factor * self.config.fine_rate if fine else factor

    def step(self, fraction: float) -> float:
        """One optimization step at `fraction` (0..1) of the schedule; returns the loss, of the last step that was read.

        On a device only every `READ_EVERY`-th step waits for its loss.
        """
        frames, config = self._frames(fraction), self.config
        indices = self._next_frames()
        background = torch.from_numpy(self.rng.random((len(indices), 3)).astype(np.float32))
        indices, background = self.processes.share(indices), self.processes.share(background).to(self.device)
        weights, extra = self._offsets(frames, indices)
        gaussians, camera = predict(self.avatar, frames, indices, extra), frames.views(indices)
        rgb, alpha, _ = backend_of(config.rasterizer).rasterize(gaussians, camera, with_depth=False)
        truth, matte = pick(frames.rgb, indices), pick(frames.alpha, indices)
        losses, squares = ops.photometric(rgb, alpha, truth, matte, background, config.ssim, config.mask)
        loss = (losses * pick(frames.weight, indices)).sum()
        if self.perceptual is not None and fraction >= FIRST_PERCEPTUAL:
            loss = loss + self._perceptual_loss(rgb, alpha, truth, matte, background)
        loss.backward()
        if self.guidance is not None and self.steps_done % EVERY_GUIDED == 0 and self.processes.rank == 0:
            guide(self.avatar, frames, self.guidance, config.rasterizer, self.steps_done, fraction, config.seed)
        self.processes.sum_gradients([group.param for group in self.optimizer.groups])
        if self.looks is not None:
            self.processes.sum_gradients(self.looks.parameters)
        opacity_grad = self.avatar.logit_opacities.grad
        assert opacity_grad is not None
        self.anchors.add_gradients(truth.shape[1] * truth.shape[2])
        rate, touched = self._rate(fraction), opacity_grad != 0
        if self.outer and self.network is None:
            self._step_basis(rate, touched, weights, extra)
        if self.texel_anchors is not None:
            self.texel_anchors.add_gradients()
        add_light_anchor(self.avatar)
        self.optimizer.step(rate, touched)
        if self.looks is not None:
            self.looks.step(self.steps_done, rate, touched)
        self.steps_done += 1
        self._limit(frames, fraction)
        return self.losses.add(losses, squares, self.steps_done)

    def _offsets(self, frames: TrainingFrames, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Blendshape weights [B,K] and blended offsets [B,M,CHANNELS] of the images `indices` [B]."""
        shapes, steps = self.avatar.blendshapes, pick(frames.step, indices)
        features = pick(frames.states.features, steps)
        weights = self.avatar.weights(features)
        if self.network is not None:
            return weights, self.network(shapes.standardized(features), pick(frames.states.vertices, steps))
        extra = shapes(weights.detach() if self.outer else weights)
        return weights, extra.requires_grad_() if self.outer else extra

    def _perceptual_loss(self, rgb: Tensor, alpha: Tensor, truth: Tensor, matte: Tensor, background: Tensor) -> Tensor:
        """The perceptual loss of the images of a batch over their random backgrounds; arguments as of `photometric`."""
        assert self.perceptual is not None
        behind, part = background[:, None, None], matte.float()[..., None] / 255
        images, true = rgb + (1 - alpha[..., None]) * behind, truth.float() / 255 * part + (1 - part) * behind
        rng = np.random.default_rng((self.config.seed, self.steps_done, self.processes.rank))
        return torch.stack([self.perceptual(*pair, rng) for pair in zip(images, true, strict=True)]).sum()

    def _step_basis(self, rate: float, touched: Tensor, weights: Tensor, extra: Tensor) -> None:
        """The step of a basis whose gradient is never stored, and the gradient of the mixing matrix."""
        assert extra.grad is not None
        of_all = self.processes.gather(weights.detach()), self.processes.gather(extra.grad)
        grad = self.optimizer.step_basis(rate, touched, *of_all, self.anchors.basis_weights)
        weights.backward(self.processes.share(grad))
        network = self.avatar.part(WeightNetwork)
        added = [] if network is None else list(network.parameters())
        self.processes.sum_gradients([self.avatar.blendshapes.mix, *added])

    def compile_network(self, *, last: bool = False) -> None:
        """Compile the bases of the avatar from the offset network, if there is one; `last` ends the training of it."""
        if self.network is None:
            return
        self.network.bind(self.avatar)
        self.network_kept = compile_bases(self.network, self.avatar, self.full.states)
        if last:
            self.network = None

    def _limit(self, frames: TrainingFrames, fraction: float) -> None:
        """After a step, where due: limits on the Gaussians, and relocation of unused ones."""
        avatar = self.avatar
        if self.steps_done % constraints.EVERY == 0 and self.anchors.initial:
            constraints.apply_limits(avatar, self.anchors.initial["log_scales"])
            if self.config.mode == "local":
                keep_local(avatar.blendshapes)
            if (layer := avatar.part(MeshLayer)) is not None and self.round_eyes is not None:
                self.round_eyes(layer.delta, self.optimizer.moment("texels").sqrt())
                limit_texels(layer)
        if self.steps_done % constraints.REACH_EVERY == 0 and self.anchors.initial:
            features = frames.states.features
            features = features[:: max(1, len(features) // constraints.REACH_FRAMES)]
            constraints.limit_reach(avatar, features)
            if self.mouth_limits is not None:
                self.mouth_limits.apply(avatar, self.anchors.initial, features)
        if self.network is not None and fraction >= self.config.compile_at:
            self.compile_network(last=True)
        if relocation_due(self.steps_done, fraction) and self.anchors.initial:
            self.compile_network()
            self._relocate(frames)
            if self.network is not None:
                self.network.bind(self.avatar)

    def _relocate(self, frames: TrainingFrames) -> None:
        """Correct what `frames` hardly show, and move unused Gaussians."""
        avatar, config = self.avatar, self.config
        rng = np.random.default_rng((config.seed, self.steps_done))
        use = measure(avatar, frames, int(rng.integers(len(frames))))
        part = facing_part(avatar, self.shown, self.anchors.initial["offsets"])
        use = replace(use, contribution=use.contribution * part)
        smooth_torso_depth(avatar, frames, use.contribution)
        set_hidden_colors(avatar, self.anchors, frames, use.contribution)
        self._use_prior(frames, use.contribution)
        if self.mouth_limits is not None:
            use = replace(use, contribution=self.mouth_limits.used(avatar, use.contribution))
        if config.relocate > 0:
            before = avatar.rig.triangles.clone()
            relocate(avatar, self.anchors, self.optimizer, use, config.relocate, rng)
            if self.looks is not None:
                self.looks.relocated(before)
        refresh_transfer(avatar)

    def _use_prior(self, frames: TrainingFrames, contribution: Tensor) -> None:
        if self.prior is not None:
            set_prior_colors(self.avatar, self.prior, self.anchors, contribution, nearest_pixel(frames))

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
        self.compile_network()
        options = replace(self.config.refine, expressions=self.config.refine.training_expressions)
        frames = self._frames(fraction)
        if self.looks is None:
            found = refine_clip(self.avatar, frames, options, keep_mean=True, progress=progress)
        else:
            found = refine_recordings(self.avatar, frames, options, progress)
        learn_torso(self.avatar, found.states)
        self._use(found)

    def _use(self, found: ClipFit) -> None:
        self.refinement = found
        self.full = replace(self.full, states=found.states)
        if self.coarse is not None:
            self.coarse = replace(self.coarse, states=found.states)

    def preview(self) -> np.ndarray:
        """Truth beside prediction for the middle frame of the clip, uint8 [H,2W,3]."""
        predicted, truth = self.compare(len(self.full) // 2)
        return to_uint8(torch.cat([truth, predicted], 1)).numpy()

    @property
    def mean_square(self) -> float:
        """Running mean of the squared difference from the training images; waits for the device."""
        return self.losses.mean_square

    def compare(self, index: int) -> tuple[Tensor, Tensor]:
        """Prediction and truth [H,W,3] of frame `index` on the host, matted over white, in 0..1 up to rounding."""
        with torch.no_grad():
            gaussians = predict(self.avatar, self.full, torch.tensor([index]))
            out = render(gaussians, self.full.view(index), rasterizer=self.config.rasterizer, with_depth=False)
        matte = self.full.alpha[index].float()[..., None] / 255
        truth = self.full.rgb[index].float() / 255 * matte + 1 - matte
        return out.rgb[0].cpu(), truth.cpu()

    def state(self) -> dict[str, Any]:
        """Tensors on the host and plain values from which `restore` continues, on the same device to the same bits."""
        state = {
            "avatar": self.avatar.state_dict(),
            "hidden": self.anchors.rows,
            "start": self.anchors.initial,
            "optimizer": self.optimizer.state(),
            "rng": self.rng.bit_generator.state,
            "queue": list(self.queue),
            "steps_done": self.steps_done,
            "mean_square": self.mean_square,
            "refinement": None if self.refinement is None else self.refinement.state(),
            "network": None if self.network is None else self.network.state_dict(),
        }
        if self.looks is not None:
            state["looks"] = self.looks.state()
        return moved(state, torch.device("cpu"))

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state()`."""
        self.avatar.load_state_dict(state["avatar"])
        self.anchors.restore(state["hidden"], state["start"])
        self.optimizer.restore(state["optimizer"])
        if self.looks is not None:
            self.looks.restore(state["looks"])
        self.rng.bit_generator.state = state["rng"]
        self.queue = list(state["queue"])
        self.steps_done = state["steps_done"]
        self.losses.mean_square = state["mean_square"]
        if state["network"] is None:
            self.network = None
        elif self.network is not None:
            self.network.load_state_dict(state["network"])
            self.network.bind(self.avatar)
        if state["refinement"] is not None:
            found = moved(state["refinement"], self.device)
            self._use(ClipFit.restored(found, self.full.states, self.avatar.head))
