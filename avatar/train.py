"""Training: tracked frames in, avatar out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from avatar import ops
from avatar.captured import Capture
from avatar.errors import HeadsplatError
from avatar.frames import TrainingFrames, load_frames
from avatar.geometry import axis_angle_to_matrix
from avatar.head.model import HeadModel
from avatar.initialise import build_avatar, vertex_mask
from avatar.model import Avatar, baked
from avatar.optimizer import Group, Optimizer
from avatar.rasterizer import check_rasterizer
from avatar.records import Gaussians
from avatar.render import render, splat, to_uint8
from avatar.train_config import TrainConfig

WARM_UP = 20
PREVIEW_SECONDS = 3.0
MIN_FRAMES = 8
COLOR_FRAMES = 12
#: What a video may hardly show: these regions, and Gaussians that cover less than HARDLY_SEEN pixels in the frames that
#: give the colours. They are held to where they started by a pull, in gradient of the loss per unit of each parameter:
#: well below the gradient of a Gaussian that is seen, well above the noise that Adam would blow up to full steps.
HARDLY_SEEN = 0.5
HIDDEN = ("teeth_upper", "teeth_lower", "tongue", "mouth_interior")
HOLD = {"offsets": 0.5, "log_scales": 3e-6, "quats": 3e-6, "logit_opacities": 3e-6, "colors": 1e-5}
HOLD_BASIS = 1e-5
CHECKPOINT_SECONDS = 30.0
CHECKPOINT_VERSION = 2


@dataclass(frozen=True)
class TrainProgress:
    """Where a running training stands."""

    step: int
    seconds: float
    fraction: float  # 0..1 of the schedule
    loss: float
    psnr: float  # dB, running mean over training pictures
    eta_seconds: float
    preview: np.ndarray | None  # uint8 [H,W,3], truth beside prediction, every few seconds


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
        self.pose = nn.Parameter(torch.zeros(len(frames), 6))
        # A reduced basis is by far the largest tensor: its gradient is never stored, see `Optimizer`.
        self.outer = avatar.blendshapes.mode == "reduced" and avatar.blendshapes.basis.numel() > 0
        avatar.blendshapes.basis.requires_grad_(not self.outer)
        self.optimizer = Optimizer(self._groups())
        self.mean_square = 0.05
        self.hidden = torch.zeros(0, dtype=torch.int64)
        self.start: dict[str, Tensor] = {}
        self.pull = torch.zeros(avatar.blendshapes.count)  # of each Gaussian's offsets to none, in an outer basis

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
        if rates.pose:
            groups.append(Group("pose", self.pose, rates.pose))
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
        rotation, translation = pick(frames.rotation, indices), pick(frames.translation, indices)
        if self.config.rates.pose:
            turn = pick(self.pose, indices)
            rotation = axis_angle_to_matrix(turn[:, :3]) @ rotation
            translation = translation + turn[:, 3:] * 0.1
        if extra is None:
            extra = self.avatar.blendshapes(self.avatar.blendshapes.weights(pick(frames.features, indices)))
        return self.avatar.place(extra, pick(frames.vertices, indices), rotation, translation)

    def step(self, fraction: float) -> float:
        """One optimisation step at `fraction` (0..1) of the schedule; returns the loss."""
        frames = self.coarse if self.coarse is not None and self.is_coarse(fraction) else self.full
        indices = self._next_frames()
        background = torch.from_numpy(self.rng.random((len(indices), 3)).astype(np.float32))
        weights = self.avatar.blendshapes.weights(pick(frames.features, indices))
        extra = self.avatar.blendshapes(weights.detach() if self.outer else weights)
        if self.outer:
            extra.requires_grad_()
        still, camera = self.predict(frames, indices, extra), frames.camera.repeated(len(indices))
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
        losses.sum().backward()
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

    def hold(self, seen: Tensor) -> None:
        """From now on hold the Gaussians that the video hardly shows (`seen [N]`, pixels) to their present values."""
        region = torch.from_numpy(vertex_mask(self.avatar.head, HIDDEN))[self.avatar.rig.triangles[:, 0]]
        self.hidden = torch.nonzero(region | (seen < HARDLY_SEEN))[:, 0]
        self.start = {name: getattr(self.avatar, name).detach()[self.hidden].clone() for name in HOLD}
        self._pull_hidden()

    def _pull_hidden(self) -> None:
        self.pull.zero_()
        self.pull[self.hidden[self.hidden < len(self.pull)]] = self.config.batch * HOLD_BASIS

    def _hold_hidden(self) -> None:
        """Add the pull of the held Gaussians to the gradients; that of an outer basis is the optimiser's business."""
        if not len(self.hidden):
            return
        for name, pull in HOLD.items():
            values = getattr(self.avatar, name)
            strayed = values.detach().index_select(0, self.hidden).sub_(self.start[name])
            values.grad.index_add_(0, self.hidden, strayed, alpha=self.config.batch * pull)
        basis = self.avatar.blendshapes.basis
        if basis.grad is not None:
            rows = self.hidden[self.hidden < basis.shape[1]]
            basis.grad[:, rows] += self.config.batch * HOLD_BASIS * basis.detach()[:, rows]

    def set_colors(self) -> Tensor:
        """Give every Gaussian the mean colour of the pixels it covers in a few frames, weighted by blend weight.

        What those frames hardly show (inside of the mouth, back of the head) keeps the head model's colour; Gaussians
        that cover background start fainter. Returns how many pixels each Gaussian covered, [N].
        """
        count = len(self.avatar)
        shade, inside, seen = torch.zeros(count, 3), torch.zeros(count), torch.zeros(count)
        frames = self.coarse or self.full
        for index in np.linspace(0, len(frames) - 1, min(COLOR_FRAMES, len(frames))).astype(int):
            with torch.no_grad():
                still = self.predict(frames, torch.tensor([index]))
            colors = torch.zeros(1, count, 3, requires_grad=True)
            out = ops.splat(still.means, still.quats, still.scales, still.opacities, colors, frames.camera)
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
        index = len(self.full) // 2
        with torch.no_grad():
            still = self.predict(self.full, torch.tensor([index]))
            out = render(still, self.full.camera, rasterizer=self.config.rasterizer, with_depth=False)
        matte = self.full.alpha[index].float()[..., None] / 255
        truth = self.full.rgb[index].float() / 255 * matte + 1 - matte
        return to_uint8(torch.cat([truth, out.rgb[0]], 1)).numpy()

    def state(self) -> dict[str, Any]:
        """Everything a resumed run needs to give the same result."""
        return {
            "avatar": self.avatar.state_dict(),
            "pose": self.pose.data,
            "hidden": self.hidden,
            "start": self.start,
            "optimizer": self.optimizer.state(),
            "rng": self.rng.bit_generator.state,
            "queue": list(self.queue),
            "steps_done": self.steps_done,
            "mean_square": self.mean_square,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state()`."""
        self.avatar.load_state_dict(state["avatar"])
        self.pose.data.copy_(state["pose"])
        self.hidden, self.start = state["hidden"], state["start"]
        self._pull_hidden()
        self.optimizer.restore(state["optimizer"])
        self.rng.bit_generator.state = state["rng"]
        self.queue = list(state["queue"])
        self.steps_done = state["steps_done"]
        self.mean_square = state["mean_square"]


def pick(values: Tensor, indices: Tensor) -> Tensor:
    """`values[indices]` along the first axis, without a copy where one row is wanted."""
    return values[int(indices)][None] if len(indices) == 1 else values[indices]


def fit(
    capture: Capture,
    head: HeadModel,
    config: TrainConfig,
    *,
    progress: Callable[[TrainProgress], None] | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    stop: Event | None = None,
) -> Avatar:
    """Train an avatar on the training frames of `capture`.

    Args:
        capture: a finished capture.
        head: the head model the capture was tracked with.
        config: what to train.
        progress: called several times a second.
        checkpoint: file that receives the state every half minute and when `stop` is set.
        resume: go on from `checkpoint` if it exists; a run of steps then ends in the same bits as an unbroken one.
        stop: when set, training ends after the current step and returns what it has.

    Raises:
        HeadsplatError: too few training frames, a capture of another head, a checkpoint of another run, or a rasterizer
            that cannot run here.
    """
    check_rasterizer(config.rasterizer)
    ops.keep_memory()
    with _one_thread():
        return _run(_prepare(capture, head, config), capture, progress, checkpoint, resume, stop)


def _run(
    trainer: Trainer,
    capture: Capture,
    progress: Callable[[TrainProgress], None] | None,
    checkpoint: Path | None,
    resume: bool,
    stop: Event | None,
) -> Avatar:
    config = trainer.config
    spent = 0.0
    if resume and checkpoint is not None and checkpoint.exists():
        spent = _restore(trainer, checkpoint, capture)
    else:
        trainer.hold(trainer.set_colors())
    clock = _Clock(config, time.perf_counter(), spent)
    reporter = _Reporter(trainer, clock, progress)
    saved = time.perf_counter()
    while (fraction := clock.fraction(trainer.steps_done)) < 1 and not (stop is not None and stop.is_set()):
        loss = trainer.step(fraction)
        if not math.isfinite(loss):
            raise HeadsplatError(
                f"training diverged at step {trainer.steps_done}; try a lower learning rate or another --seed"
            )
        reporter.report(loss, fraction)
        if checkpoint is not None and time.perf_counter() - saved > CHECKPOINT_SECONDS:
            _save(trainer, checkpoint, capture, clock.spent())
            saved = time.perf_counter()
    if checkpoint is not None and stop is not None and stop.is_set():
        _save(trainer, checkpoint, capture, clock.spent())
    avatar = trainer.avatar.requires_grad_(True)
    avatar.summary = {
        "steps": trainer.steps_done,
        "seconds_training": round(clock.spent(), 2),
        "train_psnr": round(-10 * math.log10(max(trainer.mean_square, 1e-10)), 2),
        "finished": clock.fraction(trainer.steps_done) >= 1,
    }
    return avatar


@contextmanager
def _one_thread() -> Iterator[None]:
    """PyTorch on one thread: its tensors here are small, and its idle threads would steal time from the kernels'."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Clock:
    """How far a run is along its schedule: by steps, or by the wall clock where that is further."""

    def __init__(self, config: TrainConfig, started: float, spent: float) -> None:
        self.config, self.started, self.before = config, started, spent

    def spent(self) -> float:
        return self.before + time.perf_counter() - self.started

    def fraction(self, steps: int) -> float:
        by_steps = steps / self.config.steps
        by_clock = self.spent() / self.config.max_seconds if self.config.max_seconds else 0.0
        return min(1.0, max(by_steps, by_clock))

    def eta(self, fraction: float) -> float:
        return self.spent() * (1 - fraction) / max(fraction, 1e-3)


class _Reporter:
    """Progress a few times a second, a preview every few seconds."""

    def __init__(self, trainer: Trainer, clock: _Clock, progress: Callable[[TrainProgress], None] | None) -> None:
        self.trainer, self.clock, self.progress = trainer, clock, progress
        self.last = self.last_preview = time.perf_counter() - PREVIEW_SECONDS

    def report(self, loss: float, fraction: float) -> None:
        now = time.perf_counter()
        if self.progress is None or now - self.last < 0.2:
            return
        self.last = now
        preview = None
        if now - self.last_preview >= PREVIEW_SECONDS:
            preview, self.last_preview = self.trainer.preview(), now
        psnr = -10 * math.log10(max(self.trainer.mean_square, 1e-10))
        seconds = self.clock.spent()
        self.progress(
            TrainProgress(self.trainer.steps_done, seconds, fraction, loss, psnr, self.clock.eta(fraction), preview)
        )


def _prepare(capture: Capture, head: HeadModel, config: TrainConfig) -> Trainer:
    indices = capture.train_indices
    if len(indices) < MIN_FRAMES:
        raise HeadsplatError(
            f"{capture.root}: {len(indices)} training frames, at least {MIN_FRAMES} are needed; capture a longer video"
        )
    if capture.facts["head"]["model_id"] != head.model_id:
        raise HeadsplatError(
            f"{capture.root}: tracked with another head model ({capture.facts['head']['name']}); "
            "capture the video again with this one"
        )
    person = baked(head, torch.from_numpy(np.asarray(capture.track["identity"], np.float32)))
    frames = load_frames(capture, indices, config.size, person)
    return Trainer(build_avatar(person, frames, config), frames, config)


def _fingerprint(trainer: Trainer, capture: Capture) -> str:
    return f"{CHECKPOINT_VERSION}:{capture.fingerprint}:{trainer.config!r}"


def _save(trainer: Trainer, path: Path, capture: Capture, spent: float) -> None:
    part = path.with_name(path.name + ".part")
    torch.save({"run": _fingerprint(trainer, capture), "spent": spent, "state": trainer.state()}, part)
    part.replace(path)


def _restore(trainer: Trainer, path: Path, capture: Capture) -> float:
    try:
        stored = torch.load(path, weights_only=True)
        own = stored["run"] == _fingerprint(trainer, capture)
        if own:
            trainer.restore(stored["state"])
    except Exception as error:
        raise HeadsplatError(f"{path}: damaged checkpoint ({type(error).__name__}); delete it to start anew") from error
    if not own:
        raise HeadsplatError(
            f"{path}: checkpoint of another run (capture or options differ); use the same ones or delete it"
        )
    return float(stored["spent"])
