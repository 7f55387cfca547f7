"""Training: tracked frames in, avatar out."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event

import numpy as np
import torch

from avatar import ops
from avatar.data.capture_folder import Capture
from avatar.data.training_frames import load_frames
from avatar.errors import HeadsplatError
from avatar.head.model import HeadModel
from avatar.model.avatar import Avatar, baked
from avatar.refine.track import RefinedTrack
from avatar.rendering.backends import check_rasterizer
from avatar.training.checkpoints import restore_checkpoint, save_checkpoint
from avatar.training.config import TrainConfig
from avatar.training.initialization import build_avatar
from avatar.training.progress import ProgressReporter, Schedule, TrainProgress
from avatar.training.report import residual_by_region
from avatar.training.trainer import Trainer

MIN_FRAMES = 8
CHECKPOINT_SECONDS = 30.0
#: Training frames, evenly spread, whose differences from the avatar are reported.
RESIDUAL_FRAMES = 12
#: Share of the time allowed by which a refinement must be over: what it finds has to be trained on.
REFINE_UNTIL = 0.7


def fit(
    capture: Capture,
    head: HeadModel,
    config: TrainConfig,
    *,
    progress: Callable[[TrainProgress], None] | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    stop: Event | None = None,
    snapshot: Callable[[Avatar], None] | None = None,
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
        snapshot: called on this thread before the first step and after each with the avatar as it then is, which goes
            on changing: to be copied, never changed or kept (`avatar.training.snapshot`).

    Raises:
        HeadsplatError: too few training frames, a capture of another head, a checkpoint of another run, or a rasterizer
            that cannot run here.
    """
    check_rasterizer(config.rasterizer)
    ops.keep_memory()
    began, spent = time.perf_counter(), 0.0
    with ops.one_thread():
        trainer = _prepare(capture, head, config)
        if resume and checkpoint is not None and checkpoint.exists():
            spent = restore_checkpoint(trainer, checkpoint, capture)
        else:
            trainer.hold(trainer.set_colors())
        clock = Schedule(config, time.perf_counter(), spent)
        _run(trainer, capture, clock, progress, checkpoint, stop, snapshot or (lambda avatar: None))
        return _result(trainer, capture, clock.fraction(trainer.steps_done), clock.started - began, clock.spent())


def _run(
    trainer: Trainer,
    capture: Capture,
    clock: Schedule,
    progress: Callable[[TrainProgress], None] | None,
    checkpoint: Path | None,
    stop: Event | None,
    snapshot: Callable[[Avatar], None],
) -> None:
    reporter = ProgressReporter(trainer, clock, progress)
    saved = time.perf_counter()
    snapshot(trainer.avatar)
    while (fraction := clock.fraction(trainer.steps_done)) < 1 and not (stop is not None and stop.is_set()):
        if trainer.wants_refinement(fraction):
            _refine(trainer, clock, fraction, reporter, stop)
            continue
        loss = trainer.step(fraction)
        if not math.isfinite(loss):
            raise HeadsplatError(
                f"training diverged at step {trainer.steps_done}; try a lower learning rate or another --seed"
            )
        reporter.report(loss, fraction)
        snapshot(trainer.avatar)
        if checkpoint is not None and time.perf_counter() - saved > CHECKPOINT_SECONDS:
            save_checkpoint(trainer, checkpoint, capture, clock.spent())
            saved = time.perf_counter()
    if checkpoint is not None and stop is not None and stop.is_set():
        save_checkpoint(trainer, checkpoint, capture, clock.spent())


class _Stopped(Exception):
    """A refinement is not to be finished."""


def _refine(trainer: Trainer, clock: Schedule, fraction: float, reporter: ProgressReporter, stop: Event | None) -> None:
    """Refine, unless Ctrl-C comes or the time left after it would be too short to train on what it finds."""
    began, limit = clock.spent(), trainer.config.max_seconds

    def told(done: int, total: int) -> None:
        if stop is not None and stop.is_set():
            raise _Stopped
        if limit and began + (clock.spent() - began) * total / done > REFINE_UNTIL * limit:
            trainer.skipped = (
                f"{limit:g} s are too short to refine {total} moments and train on; poses stay as tracked: give "
                "--max-seconds more, or --no-refine"
            )
            raise _Stopped
        reporter.refining(done, total)

    with contextlib.suppress(_Stopped):
        trainer.refine(fraction, told)


def _result(trainer: Trainer, capture: Capture, fraction: float, initializing: float, training: float) -> Avatar:
    """The trained avatar and its summary; the last two are seconds."""
    refining = trainer.refinement.seconds if trainer.refinement is not None else 0.0
    avatar = trainer.avatar.requires_grad_(True)
    avatar.summary = {
        "steps": trainer.steps_done,
        "seconds_training": round(training, 2),
        "train_psnr": round(-10 * math.log10(max(trainer.mean_square, 1e-10)), 2),
        "finished": fraction >= 1,
        "seconds": {
            "initialising": round(initializing, 2),
            "training": round(training - refining, 2),
            "refining": round(refining, 2),
        },
        "residual": _residual(trainer, capture),
    }
    if trainer.skipped:
        avatar.summary["refinement_skipped"] = trainer.skipped
    if trainer.refinement is not None:
        avatar.summary["refinement"] = trainer.refinement.to_dict()
        avatar.refined = RefinedTrack.of(
            capture, capture.train_indices, trainer.refinement.states, trainer.refinement.flagged, avatar.head
        )
    return avatar


def _residual(trainer: Trainer, capture: Capture) -> dict[str, dict[str, float]]:
    """What still differs in some of the training pictures, by region; regions that they do not show are left out."""
    frames, rows = trainer.full, capture.train_indices
    chosen = np.unique(np.linspace(0, len(frames) - 1, RESIDUAL_FRAMES).astype(int))
    scale = frames.camera.width / capture.metadata["width"]
    found = residual_by_region(
        (
            *(picture.numpy() for picture in trainer.compare(index)),
            frames.alpha[index].numpy() / 255,
            capture.track["landmarks"][rows[index]] * scale,
        )
        for index in chosen
    )
    return {
        name: {key: round(value, 3) for key, value in row.items()}
        for name, row in found.items()
        if math.isfinite(row["levels"])
    }


def _prepare(capture: Capture, head: HeadModel, config: TrainConfig) -> Trainer:
    indices = capture.train_indices
    if len(indices) < MIN_FRAMES:
        raise HeadsplatError(
            f"{capture.root}: {len(indices)} training frames, at least {MIN_FRAMES} are needed; capture a longer video"
        )
    if capture.metadata["head"]["model_id"] != head.model_id:
        raise HeadsplatError(
            f"{capture.root}: tracked with another head model ({capture.metadata['head']['name']}); "
            "capture the video again with this one"
        )
    person = baked(head, torch.from_numpy(np.asarray(capture.track["identity"], np.float32)))
    frames = load_frames(capture, indices, config.size, person)
    return Trainer(build_avatar(person, frames, config), frames, config)
