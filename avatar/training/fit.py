"""Training: an avatar from the tracked frames of a capture."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from threading import Event

import numpy as np
import torch

from avatar import ops
from avatar.data.capture_folder import Capture
from avatar.data.recordings import check_recordings, frames_of, recording_entries
from avatar.errors import HeadsplatError
from avatar.head.model import HeadModel
from avatar.model.avatar import Avatar
from avatar.model.parts.appearance import Appearances
from avatar.model.to_device import to_device
from avatar.ops.devices import chosen_device
from avatar.refine.clip import ClipFit
from avatar.refine.corrected_pose import learn_pose_corrector
from avatar.refine.measured_torso import learn_torso_regression
from avatar.refine.track import RefinedTrack
from avatar.rendering.backends import backend_of
from avatar.training.checkpoints import CheckpointWriter, restore_checkpoint
from avatar.training.config import TrainConfig
from avatar.training.initialization import build_avatar
from avatar.training.parallel import Processes
from avatar.training.parts.guidance import Guidance, GuidanceTraining
from avatar.training.parts.registry import part_kinds
from avatar.training.prediction import compare
from avatar.training.prepared_frames import prepared_frames
from avatar.training.progress import PartsReporter, ProgressReporter, Schedule, TrainProgress
from avatar.training.report import TrainReport, TrainResult, residual_by_region
from avatar.training.trainer import Trainer

CHECKPOINT_SECONDS = 30.0
#: Training frames, evenly spread, from which the reported residual is measured.
RESIDUAL_FRAMES = 12
#: A refinement must end before this fraction of `max_seconds`: training has to continue on the refined frames.
REFINE_UNTIL = 0.7
_HOST = torch.device("cpu")


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
    guidance: Guidance | None = None,
    device: str | torch.device = "cpu",
    processes: Processes | None = None,
    others: Sequence[Capture] = (),
) -> TrainResult:
    """Train an avatar on the training frames of `capture`.

    Args:
        capture: a finished capture.
        head: the head model with which the capture was tracked.
        config: the settings of the training.
        progress: called several times a second; before and after the steps, with each part of the work as it begins.
        checkpoint: file for the state of the training, written every half minute and when `stop` is set. Where that
            fails the training continues; the one at `stop` is then written to a rescue folder
            (`TrainResult.checkpoint`).
        resume: continue from `checkpoint` if it exists; a run limited by steps then gives the same bits as an
            uninterrupted one.
        stop: when set, training ends after the current step and the present avatar is returned.
        snapshot: called on this thread before the first step and after each step with the avatar in training, which
            must be copied, not changed or kept (`avatar.training.snapshot`).
        guidance: an image prior of yours for sides that no frame shows (`avatar.training.parts.guidance`).
        device: where frames, avatar and optimizer are during the training: `cpu`, `cuda`, `cuda:N`, or `auto`: a GPU
            that native kernels can use, else the CPU. The result is on the CPU. The CUDA kernels have been tested on an
            emulator only.
        processes: of `joined_processes`, that train this avatar together; each calls `fit` with the same arguments and
            gets the same result, and the first one writes the checkpoint. None: this process alone.
        others: further recordings of the same person. All share head, rig and blendshapes, and each has an appearance
            (`avatar.model.parts.appearance`); identity, torso and the report are those of `capture`.

    Raises:
        HeadsplatError: recordings that do not fit each other, too few training frames, a capture of another head, a
            checkpoint of another run, a rasterizer that is not available, an unknown device, no such GPU, a batch that
            the processes cannot divide, or a perceptual network that cannot be used.
    """
    backend_of(config.rasterizer).check()
    place = chosen_device(device)
    processes = processes or Processes()
    processes.check_batch(config.batch)
    ops.keep_memory()
    preparing = PartsReporter(progress, "preparing")
    captures = (capture, *others)
    spent = 0.0
    started = time.perf_counter()
    with ops.one_thread(), ops.other_packages(config.rasterizer != "own"):
        trainer = _prepare(captures, head, config, guidance, place, processes, preparing)
        preparing("initial colors")
        if resume and checkpoint is not None and checkpoint.exists():
            spent = restore_checkpoint(trainer, checkpoint, captures)
        else:
            trainer.initialize()
        ops.keep_memory()  # what the preparation alone needed goes back to the system
        clock = Schedule(config, time.perf_counter(), spent)
        written = checkpoint if processes.rank == 0 else None
        writer = None if written is None else CheckpointWriter(trainer, captures, clock, written)
        _run(trainer, clock, progress, writer, stop, snapshot or (lambda avatar: None))
        stopped = stop is not None and stop.is_set()
        saved = writer.save_last() if stopped and writer is not None else None
        position = trainer.steps_done, clock.spent(), clock.fraction(trainer.steps_done)
        track = _finish(
            trainer, capture, clock, clock.started - started, PartsReporter(progress, "finishing", *position)
        )
    return TrainResult(trainer.avatar, TrainReport.of(trainer.avatar, capture, track), track, saved)


def _run(
    trainer: Trainer,
    clock: Schedule,
    progress: Callable[[TrainProgress], None] | None,
    checkpoints: CheckpointWriter | None,
    stop: Event | None,
    snapshot: Callable[[Avatar], None],
) -> None:
    reporter = ProgressReporter(trainer, clock, progress)
    snapshot(trainer.avatar)
    while (fraction := _position(trainer, clock, stop)) < 1:
        if trainer.refinement_due(fraction):
            _refine(trainer, clock, fraction, reporter, stop)
            continue
        had_coarse = trainer.coarse is not None
        loss = trainer.step(fraction)
        if had_coarse and trainer.coarse is None:
            ops.keep_memory()  # the half-size images go back to the system
        if not math.isfinite(loss):
            raise HeadsplatError(
                f"training diverged at step {trainer.steps_done}; try a lower learning rate or another --seed"
            )
        reporter.report(loss, fraction)
        snapshot(trainer.avatar)
        if checkpoints is not None:
            checkpoints.save_if_due(CHECKPOINT_SECONDS)


def _position(trainer: Trainer, clock: Schedule, stop: Event | None) -> float:
    """The position in the schedule, 0..1; 1 once the training is to stop."""
    stopped = stop is not None and stop.is_set()
    return trainer.processes.agree(1.0 if stopped else clock.fraction(trainer.steps_done))


class _RefinementStopped(Exception):
    """Raised inside a refinement to end it early."""


def _refine(trainer: Trainer, clock: Schedule, fraction: float, reporter: ProgressReporter, stop: Event | None) -> None:
    """Refine the frames; ends early when `stop` is set or too little time would remain to train on the result."""
    started = clock.spent()
    limit = trainer.config.max_seconds

    def progress(done: int, total: int) -> None:
        agree = trainer.processes.agree
        if agree(stop is not None and stop.is_set()):
            raise _RefinementStopped
        if limit and agree(started + (clock.spent() - started) * total / done) > REFINE_UNTIL * limit:
            trainer.refinement_skipped = (
                f"{limit:g} s are too short to refine {total} time steps and train on the result; poses stay as "
                "tracked: use a larger --max-seconds, or --no-refine"
            )
            raise _RefinementStopped
        reporter.refining(done, total)

    with contextlib.suppress(_RefinementStopped):
        trainer.refine(fraction, progress)
    ops.keep_memory()  # what the refinement alone needed goes back to the system


def _finish(
    trainer: Trainer, capture: Capture, clock: Schedule, initializing: float, report: PartsReporter
) -> RefinedTrack | None:
    """Store the figures of the training in its avatar, which is moved to the host; returns the refined track.

    Args:
        trainer: after its last step.
        capture: the capture of its frames.
        clock: schedule of the training.
        initializing: seconds before the first step.
        report: of the parts.
    """
    fraction = clock.fraction(trainer.steps_done)
    training = clock.spent()
    report("measuring differences")
    trainer.bake()
    refinement = to_device(trainer.refinement, _HOST)
    refining = refinement.seconds if refinement is not None else 0.0
    figures = {
        "steps": trainer.steps_done,
        "seconds_training": round(training, 2),
        "train_psnr": round(-10 * math.log10(max(trainer.losses.mean_square, 1e-10)), 2),
        "finished": fraction >= 1,
        "seconds": {
            "initialising": round(initializing, 2),
            "training": round(training - refining, 2),
            "refining": round(refining, 2),
        },
        "residual": _residual(trainer, capture),
    }
    for part in trainer.parts:
        figures |= part.figures()
    if trainer.refinement_skipped:
        figures["refinement_skipped"] = trainer.refinement_skipped
    if refinement is not None:
        figures["refinement"] = refinement.to_dict()
    avatar = trainer.avatar.to(_HOST).requires_grad_(True)
    avatar.provenance = figures
    for part in trainer.parts:
        part.finish()
    if refinement is None:
        return None
    report("correcting torso and pose")
    return _learn_corrections(trainer, avatar, capture, refinement)


def _learn_corrections(trainer: Trainer, avatar: Avatar, capture: Capture, refinement: ClipFit) -> RefinedTrack:
    """Learn the corrections of torso and pose from refined states, on the host; returns their track."""
    states = refinement.states
    tracked = trainer.tracked
    flagged = refinement.flagged
    if trainer.full.recording is not None:  # corrections are for the first recording
        rows = torch.arange(frames_of(trainer.full, 0)[1].stop)
        states = states[rows]
        tracked = tracked[rows]
        flagged = flagged[rows]
    learn_torso_regression(avatar, capture, states, flagged)
    learn_pose_corrector(avatar, capture, tracked, states, flagged)
    return RefinedTrack.of(capture, capture.train_indices, states, flagged, avatar.head)


def _residual(trainer: Trainer, capture: Capture) -> dict[str, dict[str, float]]:
    """Difference from some of the training frames by region; without regions that these frames do not show."""
    frames = trainer.full
    rows = capture.train_indices
    chosen = np.unique(np.linspace(0, len(rows) - 1, RESIDUAL_FRAMES).astype(int))
    scale = frames.camera.width / capture.metadata["width"]
    rasterizer = trainer.config.rasterizer
    residual = residual_by_region(
        (
            *(image.numpy() for image in compare(trainer.avatar, frames, index, rasterizer)),
            frames.alpha[index].cpu().numpy() / 255,
            capture.track["landmarks"][rows[index]] * scale,
        )
        for index in chosen
    )
    return {
        name: {key: round(value, 3) for key, value in row.items()}
        for name, row in residual.items()
        if math.isfinite(row["levels"])
    }


def _prepare(
    captures: Sequence[Capture],
    head: HeadModel,
    config: TrainConfig,
    guidance: Guidance | None,
    device: torch.device,
    processes: Processes,
    report: PartsReporter,
) -> Trainer:
    check_recordings(captures)
    for part in part_kinds():
        part.check(config, device)
    person, frames = prepared_frames(captures[0], head, config, captures[1:], report)
    report("building the avatar")
    avatar = build_avatar(person, frames, config)
    if len(captures) > 1:
        avatar.add_part(Appearances(recording_entries(captures), len(avatar)))
    further = [] if guidance is None else [partial(GuidanceTraining, guidance=guidance)]
    return Trainer(avatar, frames, config, device, processes, further)
