"""The decay of the bases: it takes away what no image calls for, at the rate of the settings, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch

from avatar.data.capture_folder import Capture
from avatar.data.training_frames import load_frames
from avatar.head import load_head
from avatar.model.avatar import bake_identity
from avatar.training.config import LearningRates, TrainConfig
from avatar.training.initialization import build_avatar
from avatar.training.parts.blendshapes import DECAY_EVERY
from avatar.training.trainer import Trainer

CONFIG = TrainConfig(size=64, gaussians=900, refine_at=1.0, layer=False)


def trainer_of(capture: Capture, config: TrainConfig) -> Trainer:
    """A trainer before its first step."""
    person = bake_identity(load_head(), torch.from_numpy(np.asarray(capture.track["identity"], np.float32)))
    frames = load_frames(capture, capture.train_indices, config.size, person)
    trainer = Trainer(build_avatar(person, frames, config), frames, config)
    trainer.initialize()
    return trainer


def basis_after(trainer: Trainer, steps: int) -> torch.Tensor:
    """Bases after some steps."""
    for step in range(steps):
        trainer.step(step / 1000)
    return trainer.avatar.blendshapes.basis.detach()


@pytest.mark.parametrize("decay", [0.0, 0.02])
@pytest.mark.parametrize("mode", ["reduced", "expression"])
def test_a_basis_that_does_not_learn_shrinks_by_the_decay(
    tiny: Capture, mode: Literal["reduced", "expression"], decay: float
) -> None:
    config = replace(CONFIG, mode=mode, decay=decay, rates=replace(LearningRates(), basis=0.0, position=0.0))
    trainer = trainer_of(tiny, config)
    with torch.no_grad():
        trainer.avatar.blendshapes.basis.fill_(1e-4)  # within all limits
    factor = 1.0
    for number in range(2 * DECAY_EVERY):
        trainer.step(number / 1000)
        if (number + 1) % DECAY_EVERY == 0:
            warm = min(1.0, (number + 1) / 20)
            factor *= 1 - DECAY_EVERY * decay * warm * config.rates.final ** (number / 1000)
    basis = trainer.avatar.blendshapes.basis
    assert torch.allclose(basis, torch.full_like(basis, 1e-4 * factor), rtol=1e-5)


def test_the_decay_leaves_smaller_bases_that_still_move(tiny: Capture) -> None:
    without, with_decay = (basis_after(trainer_of(tiny, replace(CONFIG, decay=decay)), 40) for decay in (0.0, 0.02))
    assert 0 < with_decay.square().sum() < 0.9 * without.square().sum()
