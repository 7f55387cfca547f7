"""Checkpoints of a training: written whole or not at all, restored to the same bits."""

from __future__ import annotations

from pathlib import Path

import torch

from avatar.data.capture_folder import Capture
from avatar.errors import HeadsplatError
from avatar.training.trainer import Trainer

CHECKPOINT_VERSION = 3


def run_fingerprint(trainer: Trainer, capture: Capture) -> str:
    """Identifies the run that a checkpoint belongs to: format, capture and settings."""
    return f"{CHECKPOINT_VERSION}:{capture.fingerprint}:{trainer.config!r}"


def unfinished(checkpoint: Path) -> Path:
    """The file to which a checkpoint is written before it is renamed; a killed training may leave it."""
    return checkpoint.with_name(checkpoint.name + ".part")


def save_checkpoint(trainer: Trainer, path: Path, capture: Capture, spent: float) -> None:
    """Write the state of a training.

    Args:
        trainer: the training.
        path: the file to write; replaced if it exists.
        capture: the capture of its frames.
        spent: seconds of the schedule that have passed.
    """
    part = unfinished(path)
    torch.save({"run": run_fingerprint(trainer, capture), "spent": spent, "state": trainer.state()}, part)
    part.replace(path)


def restore_checkpoint(trainer: Trainer, path: Path, capture: Capture) -> float:
    """Restore the state of a training from `path`; returns the seconds of the schedule that had passed.

    Raises:
        HeadsplatError: the file is damaged, or belongs to another run.
    """
    try:
        stored = torch.load(path, weights_only=True)
        same_run = stored["run"] == run_fingerprint(trainer, capture)
        if same_run:
            trainer.restore(stored["state"])
    except Exception as error:
        raise HeadsplatError(f"{path}: damaged checkpoint ({type(error).__name__}); delete it to start over") from error
    if not same_run:
        raise HeadsplatError(
            f"{path}: checkpoint of another run (capture or options differ); use the same ones, or delete it"
        )
    return float(stored["spent"])
