"""Checkpoints of a training: written whole, restored to the same bits."""

from __future__ import annotations

from pathlib import Path

import torch

from avatar.data.capture_folder import Capture
from avatar.errors import HeadsplatError
from avatar.training.trainer import Trainer

CHECKPOINT_VERSION = 3


def run_fingerprint(trainer: Trainer, capture: Capture) -> str:
    return f"{CHECKPOINT_VERSION}:{capture.fingerprint}:{trainer.config!r}"


def unfinished(checkpoint: Path) -> Path:
    """Where a checkpoint is written before it gets its name; a killed training may leave it."""
    return checkpoint.with_name(checkpoint.name + ".part")


def save_checkpoint(trainer: Trainer, path: Path, capture: Capture, spent: float) -> None:
    part = unfinished(path)
    torch.save({"run": run_fingerprint(trainer, capture), "spent": spent, "state": trainer.state()}, part)
    part.replace(path)


def restore_checkpoint(trainer: Trainer, path: Path, capture: Capture) -> float:
    try:
        stored = torch.load(path, weights_only=True)
        own = stored["run"] == run_fingerprint(trainer, capture)
        if own:
            trainer.restore(stored["state"])
    except Exception as error:
        raise HeadsplatError(f"{path}: damaged checkpoint ({type(error).__name__}); delete it to start anew") from error
    if not own:
        raise HeadsplatError(
            f"{path}: checkpoint of another run (capture or options differ); use the same ones or delete it"
        )
    return float(stored["spent"])
