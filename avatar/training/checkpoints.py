"""Checkpoints of a training: written whole or not at all, restored to the same bits."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from avatar.common.files import write_error
from avatar.common.rescue import rescue
from avatar.data.capture_folder import Capture
from avatar.errors import HeadsplatError
from avatar.model.to_device import to_device
from avatar.refine.clip import ClipFit
from avatar.training.progress import Schedule
from avatar.training.trainer import Trainer

log = logging.getLogger(__name__)

CHECKPOINT_VERSION = 4


def run_fingerprint(trainer: Trainer, captures: Sequence[Capture]) -> str:
    """Identifies the run that a checkpoint belongs to: format, captures and settings."""
    recordings = ",".join(capture.fingerprint for capture in captures)
    return f"{CHECKPOINT_VERSION}:{recordings}:{trainer.config!r}"


def state_of(trainer: Trainer) -> dict[str, Any]:
    """Tensors on the host and plain values from which `restore` continues, on the same device to the same bits."""
    state = {
        "avatar": trainer.avatar.state_dict(),
        "anchors": trainer.anchors.state(),
        "optimizer": trainer.optimizer.state(),
        "parts": {part.key: part.state() for part in trainer.parts},
        "rng": trainer.rng.bit_generator.state,
        "queue": list(trainer.queue.waiting),
        "steps_done": trainer.steps_done,
        "mean_square": trainer.losses.mean_square,
        "refinement": None if trainer.refinement is None else trainer.refinement.state(),
    }
    return to_device(state, torch.device("cpu"))


def restore(trainer: Trainer, state: dict[str, Any]) -> None:
    """Continue a training from `state_of` one with the same avatar, frames and settings."""
    trainer.avatar.load_state_dict(state["avatar"])
    trainer.anchors.restore(*state["anchors"])
    trainer.optimizer.restore(state["optimizer"])
    for part in trainer.parts:
        part.restore(state["parts"][part.key])
    trainer.rng.bit_generator.state = state["rng"]
    trainer.queue.waiting = list(state["queue"])
    trainer.steps_done = state["steps_done"]
    trainer.losses.mean_square = state["mean_square"]
    if state["refinement"] is not None:
        refinement = to_device(state["refinement"], trainer.device)
        trainer.use(ClipFit.from_state(refinement, trainer.full.states, trainer.avatar.head))


def partial_checkpoint(checkpoint: Path) -> Path:
    """The file to which a checkpoint is written before it is renamed; a killed training may leave it."""
    return checkpoint.with_name(checkpoint.name + ".part")


def save_checkpoint(trainer: Trainer, path: Path, captures: Sequence[Capture], spent: float) -> None:
    """Write the state of a training.

    Args:
        trainer: the training.
        path: the file to write; replaced if it exists.
        captures: those of its frames.
        spent: seconds of the schedule that have passed.

    Raises:
        HeadsplatError: it cannot be written; an earlier checkpoint at `path` remains.
    """
    partial = partial_checkpoint(path)
    try:
        with partial.open("wb") as stream:  # opened here: for a path torch.save does not report the system's error
            torch.save({"run": run_fingerprint(trainer, captures), "spent": spent, "state": state_of(trainer)}, stream)
        partial.replace(path)
    except (OSError, RuntimeError) as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise write_error(path, _system_error(error)) from error


def _system_error(error: Exception) -> Exception:
    """The error of the system during which PyTorch raised `error`; `error` itself if there was none."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__context__
    return error if cause is None else cause


class CheckpointWriter:
    """Writes the checkpoints of one training; a failure to write one does not end the training."""

    def __init__(self, trainer: Trainer, captures: Sequence[Capture], clock: Schedule, path: Path) -> None:
        """
        Args:
            trainer: the training.
            captures: those of its frames.
            clock: its schedule.
            path: the file to write; replaced if it exists.
        """
        self._trainer = trainer
        self._captures = captures
        self._clock = clock
        self._path = path
        self._attempted = time.perf_counter()
        self._reported = False

    def save_if_due(self, interval: float) -> None:
        """Write a checkpoint if the last attempt was more than `interval` seconds ago; logs the first failure."""
        if time.perf_counter() - self._attempted <= interval:
            return
        try:
            self._save(self._path)
        except HeadsplatError as error:
            if not self._reported:
                log.warning("no checkpoint: %s; the training continues and tries again at intervals", error)
            self._reported = True
        self._attempted = time.perf_counter()

    def save_last(self) -> Path | None:
        """Write the checkpoint of a stopped training, in a rescue folder where its own file cannot be written.

        Returns:
            The written file; None if it could not be written anywhere.
        """
        try:
            self._save(self._path)
        except HeadsplatError as error:
            log.warning("no checkpoint: %s", error)
            folder = rescue(lambda folder: self._save(folder / self._path.name))
            return None if folder is None else folder / self._path.name
        return self._path

    def _save(self, path: Path) -> None:
        save_checkpoint(self._trainer, path, self._captures, self._clock.spent())


def restore_checkpoint(trainer: Trainer, path: Path, captures: Sequence[Capture]) -> float:
    """Restore the state of a training from `path`; returns the seconds of the schedule that had passed.

    Raises:
        HeadsplatError: the file is damaged, or belongs to another run.
    """
    try:
        stored = torch.load(path, weights_only=True)
        same_run = stored["run"] == run_fingerprint(trainer, captures)
        spent = float(stored["spent"])
        if same_run:
            _check(stored["state"], spent)
            restore(trainer, stored["state"])
    except Exception as error:
        raise HeadsplatError(f"{path}: damaged checkpoint ({type(error).__name__}); delete it to start over") from error
    if not same_run:
        raise HeadsplatError(
            f"{path}: checkpoint of another run (capture or options differ); use the same ones, or delete it"
        )
    return spent


def _check(state: dict[str, Any], spent: float) -> None:
    """Raise ValueError or TypeError for values that `restore` takes but no training has."""
    numbers = (state["steps_done"], state["optimizer"]["steps"], *state["queue"])
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise ValueError("a count that is not a whole number")
    if not (math.isfinite(spent) and spent >= 0 and math.isfinite(state["mean_square"])):
        raise ValueError("a number that is not finite")
    if not all(bool(tensor.isfinite().all()) for tensor in _tensors(state)):
        raise ValueError("a tensor that is not finite")


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (dict, list, tuple)):
        for inside in value.values() if isinstance(value, dict) else value:
            yield from _tensors(inside)
