"""One step of training at a time: pictures of some frames, their loss, gradients, Adam."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avatar import ops
from avatar.data.training_frames import TrainingFrames, pick
from avatar.head.regions import vertex_mask
from avatar.model.avatar import Avatar
from avatar.refine.clip import ClipFit, learn_torso, refine_clip
from avatar.rendering.render import render, splat, to_uint8
from avatar.training.adam import Group, Optimizer
from avatar.training.config import TrainConfig
from avatar.types import Gaussians

WARM_UP = 20
COLOR_FRAMES = 12
#: What a video may hardly show: these regions, and Gaussians that cover less than HARDLY_SEEN pixels in the frames that
#: give the colors. They are held to where they started by a pull, in gradient of the loss per unit of each parameter:
#: well below the gradient of a Gaussian that is seen, well above the noise that Adam would blow up to full steps.
HARDLY_SEEN = 0.5
HIDDEN = ("teeth_upper", "teeth_lower", "tongue", "mouth_interior")
HOLD = {"offsets": 0.5, "log_scales": 3e-6, "quats": 3e-6, "logit_opacities": 3e-6, "colors": 1e-5}
HOLD_BASIS = 1e-5


class Trainer:
    """One step at a time over resident frames."""

    def __init__(self, avatar: Avatar, frames: TrainingFrames, config: TrainConfig) -> None:
        self.avatar = avatar
        self.config = config
        self.full = frames
        self.coarse = frames.resized(0.5) if config.size > 256 and config.coarse_share > 0 else None
        self.rng = np.random.default_rng(config.seed + 1)
        self.queue: list[int] = []
        self.steps_done = 0
        # A reduced basis is by far the largest tensor: its gradient is never stored, see `Optimizer`.
        self.outer = avatar.blendshapes.mode == "reduced" and avatar.blendshapes.basis.numel() > 0
        avatar.blendshapes.basis.requires_grad_(not self.outer)
        self.optimizer = Optimizer(self._groups())
        self.mean_square = 0.05
        self.hidden = torch.zeros(0, dtype=torch.int64)
        self.held = torch.zeros(len(avatar))  # 1 for those in `hidden`
        self.start: dict[str, Tensor] = {}  # where they are held
        self.pull = torch.zeros(avatar.blendshapes.count)  # of each Gaussian's offsets to none, in an outer basis
        self.refinement: ClipFit | None = None
        self.skipped = ""  # why the refinement that was due was left out

    def _groups(self) -> list[Group]:
        rates, avatar = self.config.rates, self.avatar
        groups = [
            Group("offsets", avatar.offsets, rates.position, per_gaussian=True),
            Group("log_scales", avatar.log_scales, rates.log_scale, per_gaussian=True),
            Group("quats", avatar.quats, rates.rotation, per_gaussian=True),
            Group("logit_opacities", avatar.logit_opacities, rates.opacity, per_gaussian=True),
            Group("colors", avatar.colors, rates.color, per_gaussian=True),
            Group("torso", avatar.rig.torso.weight, rates.torso),
        ]
        if avatar.blendshapes.mix.numel():
            groups.append(Group("mix", avatar.blendshapes.mix, rates.mix))
        if avatar.blendshapes.basis.numel():
            groups.append(Group("basis", avatar.blendshapes.basis, rates.basis, outer=self.outer))
        return groups

    def _next_frames(self) -> Tensor:
        """Indices of the next batch; every frame once before any comes again."""
        chosen = []
        for _ in range(min(self.config.batch, len(self.full))):
            if not self.queue:
                self.queue = self.rng.permutation(len(self.full)).tolist()
            chosen.append(self.queue.pop())
        return torch.tensor(chosen)

    def is_coarse(self, fraction: float) -> bool:
        """Whether the run is still in its half-size part."""
        return self.coarse is not None and fraction < self.config.coarse_share

    def _rate(self, fraction: float) -> float:
        factor = self.config.rates.final**fraction * min(1.0, (self.steps_done + 1) / WARM_UP)
        fine = self.coarse is not None and not self.is_coarse(fraction)
        return factor * self.config.fine_rate if fine else factor

    def predict(self, frames: TrainingFrames, indices: Tensor, extra: Tensor | None = None) -> Gaussians:
        """Gaussians of frames `indices [B]`, through the same path as driving, from the cached head vertices.

        `extra` are the blended offsets, where the caller has them already.
        """
        states, steps = frames.states, pick(frames.step, indices)
        if extra is None:
            extra = self.avatar.blendshapes(self.avatar.blendshapes.weights(pick(states.features, steps)))
        torso = None if states.torso is None else (pick(states.torso[0], steps), pick(states.torso[1], steps))
        vertices, rotation = pick(states.vertices, steps), pick(states.rotation, steps)
        return self.avatar.place(extra, vertices, rotation, pick(states.translation, steps), torso)

    def step(self, fraction: float) -> float:
        """One optimization step at `fraction` (0..1) of the schedule; returns the loss."""
        frames = self.coarse if self.coarse is not None and self.is_coarse(fraction) else self.full
        indices = self._next_frames()
        background = torch.from_numpy(self.rng.random((len(indices), 3)).astype(np.float32))
        weights = self.avatar.blendshapes.weights(pick(frames.states.features, pick(frames.step, indices)))
        extra = self.avatar.blendshapes(weights.detach() if self.outer else weights)
        if self.outer:
            extra.requires_grad_()
        still, camera = self.predict(frames, indices, extra), frames.views(indices)
        rgb, alpha, _ = splat(still, camera, self.config.rasterizer, with_depth=False)
        losses, squares = ops.photometric(
            rgb,
            alpha,
            pick(frames.rgb, indices),
            pick(frames.alpha, indices),
            background,
            self.config.ssim,
            self.config.mask,
        )
        (losses * pick(frames.weight, indices)).sum().backward()
        by_opacity = self.avatar.logit_opacities.grad
        assert by_opacity is not None
        self._hold_hidden()
        rate, touched = self._rate(fraction), by_opacity != 0
        if self.outer:
            assert extra.grad is not None
            weights.backward(self.optimizer.step_basis(rate, touched, weights.detach(), extra.grad, self.pull))
        self.optimizer.step(rate, touched)
        self.steps_done += 1
        self.mean_square += (squares.mean().item() - self.mean_square) * max(0.02, 1 / self.steps_done)
        return losses.mean().item()

    def wants_refinement(self, fraction: float) -> bool:
        """Whether frames are due to be refined at `fraction` (0..1) of the schedule."""
        return self.refinement is None and not self.skipped and self.config.refine_at <= fraction < 1

    def refine(self, fraction: float, progress: Callable[[int, int], None] | None = None) -> None:
        """Refine poses and expressions of all frames against the avatar as it is, and go on with those.

        The pictures compared are those training uses at `fraction` of the schedule, so a splat is as wide in both.
        What `progress` raises ends it and leaves everything as it was.
        """
        frames = self.coarse if self.coarse is not None and self.is_coarse(fraction) else self.full
        options = replace(self.config.refine, expressions=self.config.refine.training_expressions)
        found = refine_clip(self.avatar, frames, options, keep_mean=True, progress=progress)
        learn_torso(self.avatar, found.states)
        self._go_on_with(found)

    def _go_on_with(self, found: ClipFit) -> None:
        self.refinement = found
        self.full = replace(self.full, states=found.states)
        if self.coarse is not None:
            self.coarse = replace(self.coarse, states=found.states)

    def hold(self, seen: Tensor) -> None:
        """From now on hold the Gaussians that the video hardly shows (`seen [N]`, pixels) to their present values."""
        region = torch.from_numpy(vertex_mask(self.avatar.head, HIDDEN))[self.avatar.rig.triangles[:, 0]]
        self.hidden = torch.nonzero(region | (seen < HARDLY_SEEN))[:, 0]
        self.start = {name: getattr(self.avatar, name).detach().clone() for name in HOLD}
        self._pull_hidden()

    def _pull_hidden(self) -> None:
        self.held.zero_()
        self.held[self.hidden] = 1.0
        self.pull.zero_()
        self.pull[self.hidden[self.hidden < len(self.pull)]] = self.config.batch * HOLD_BASIS

    def _hold_hidden(self) -> None:
        """Add the pull of the held Gaussians to the gradients; that of an outer basis is the optimizer's business."""
        if not len(self.hidden):
            return
        for name, pull in HOLD.items():
            values = getattr(self.avatar, name)
            held = self.held.reshape(-1, *[1] * (values.ndim - 1))
            values.grad.addcmul_(values.detach() - self.start[name], held, value=self.config.batch * pull)
        basis = self.avatar.blendshapes.basis
        if basis.grad is not None:
            rows = self.hidden[self.hidden < basis.shape[1]]
            basis.grad[:, rows] += self.config.batch * HOLD_BASIS * basis.detach()[:, rows]

    def set_colors(self) -> Tensor:
        """Give every Gaussian the mean color of the pixels it covers in a few frames, weighted by blend weight.

        What those frames hardly show (inside of the mouth, back of the head) keeps the head model's color; Gaussians
        that cover background start fainter. Returns how many pixels each Gaussian covered, [N].
        """
        count = len(self.avatar)
        shade, inside, seen = torch.zeros(count, 3), torch.zeros(count), torch.zeros(count)
        frames = self.coarse or self.full
        for index in np.linspace(0, len(frames) - 1, min(COLOR_FRAMES, len(frames))).astype(int):
            with torch.no_grad():
                still = self.predict(frames, torch.tensor([index]))
            colors = torch.zeros(1, count, 3, requires_grad=True)
            out = ops.splat(still.means, still.quats, still.scales, still.opacities, colors, frames.view(index))
            matte = frames.alpha[index][None].float() / 255
            picture = frames.rgb[index][None].float() / 255 * matte[..., None]
            flags = torch.stack([matte, torch.ones_like(matte), torch.zeros_like(matte)], -1)
            (first,) = torch.autograd.grad(out.rgb, colors, picture, retain_graph=True)
            (second,) = torch.autograd.grad(out.rgb, colors, flags)
            shade += first[0]
            inside += second[0, :, 0]
            seen += second[0, :, 1]
        share = inside / seen.clamp_min(1e-6)
        good = seen > 0.05
        with torch.no_grad():
            mean = shade / inside.clamp_min(1e-4)[:, None]
            self.avatar.colors.copy_(torch.where((good & (share > 0.05))[:, None], mean, self.avatar.colors))
            drop = ((share + 0.05) / (1.05 - share)).log()
            faded = (self.avatar.logit_opacities + drop).clamp(-3, 3)
            self.avatar.logit_opacities.copy_(torch.where(good, faded, self.avatar.logit_opacities))
        return seen

    def preview(self) -> np.ndarray:
        """Truth beside prediction for a frame in the middle of the clip, uint8 [H,2W,3]."""
        drawn, truth = self.compare(len(self.full) // 2)
        return to_uint8(torch.cat([truth, drawn], 1)).numpy()

    def compare(self, index: int) -> tuple[Tensor, Tensor]:
        """Prediction and truth [H,W,3] of frame `index`, matted over white, 0..1 but for rounding."""
        with torch.no_grad():
            still = self.predict(self.full, torch.tensor([index]))
            out = render(still, self.full.view(index), rasterizer=self.config.rasterizer, with_depth=False)
        matte = self.full.alpha[index].float()[..., None] / 255
        return out.rgb[0], self.full.rgb[index].float() / 255 * matte + 1 - matte

    def state(self) -> dict[str, Any]:
        """Everything a resumed run needs to give the same result."""
        return {
            "avatar": self.avatar.state_dict(),
            "hidden": self.hidden,
            "start": self.start,
            "optimizer": self.optimizer.state(),
            "rng": self.rng.bit_generator.state,
            "queue": list(self.queue),
            "steps_done": self.steps_done,
            "mean_square": self.mean_square,
            "refinement": None if self.refinement is None else self.refinement.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state()`."""
        self.avatar.load_state_dict(state["avatar"])
        self.hidden, self.start = state["hidden"], state["start"]
        self._pull_hidden()
        self.optimizer.restore(state["optimizer"])
        self.rng.bit_generator.state = state["rng"]
        self.queue = list(state["queue"])
        self.steps_done = state["steps_done"]
        self.mean_square = state["mean_square"]
        if state["refinement"] is not None:
            self._go_on_with(ClipFit.restored(state["refinement"], self.full.states, self.avatar.head))
