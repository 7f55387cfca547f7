"""The work of a training, of which its time left is estimated."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from avatar.data.capture_folder import Capture
from avatar.head import load_head
from avatar.refine.options import RefineOptions
from avatar.training.config import TrainConfig
from avatar.training.initialization import build_avatar
from avatar.training.prepared_frames import prepared_frames
from avatar.training.progress import COARSE_STEP, REFINED_STATE, Schedule, Work
from avatar.training.trainer import Trainer

CONFIG = TrainConfig(size=64, steps=16, gaussians=500)


def trainer_of(capture: Capture, config: TrainConfig) -> Trainer:
    person, frames = prepared_frames(capture, load_head(), replace(config, size=64))
    return Trainer(build_avatar(person, frames, config), frames, config)


@pytest.mark.parametrize("coarse_share", [0.4, 0.0])
@pytest.mark.parametrize("expressions", [True, False])
def test_work_counts_coarse_steps_and_the_refinement(tiny: Capture, coarse_share: float, expressions: bool) -> None:
    steps, refine = 100, RefineOptions(training_expressions=expressions)
    config = replace(CONFIG, size=300, steps=steps, coarse_share=coarse_share, refine_at=0.2, refine=refine)
    trainer = trainer_of(tiny, config)
    work = Work(trainer, Schedule(config, time.perf_counter(), 0.0))
    states = len(trainer.full.states)
    passes = 2 if expressions else 1
    coarse = coarse_share * steps
    total = COARSE_STEP * coarse + steps - coarse + REFINED_STATE * states * passes
    early = work.fraction(20)
    assert early == pytest.approx(20 * (COARSE_STEP if coarse else 1.0) / total)
    for index in range(passes):
        for done in (1, states // 2, states):
            work.refining(done, states)
            refined = index * states + done
            assert work.fraction(20) == pytest.approx(early + REFINED_STATE * refined / total)
    trainer.refinement_skipped = "too short"
    assert work.fraction(20) == pytest.approx(early + REFINED_STATE * states * passes / total)
    assert work.fraction(steps) == pytest.approx(1.0)


def test_work_of_a_run_limited_by_the_clock_is_the_clock(tiny: Capture) -> None:
    config = replace(CONFIG, steps=10**6, max_seconds=100.0)
    work = Work(trainer_of(tiny, config), Schedule(config, time.perf_counter(), 40.0))
    assert work.fraction(10) == pytest.approx(0.4, abs=0.05)
