"""The work of a training, of which its time left is estimated."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from avatar.refine.options import RefineOptions
from avatar.training.config import TrainConfig
from avatar.training.progress import COARSE_STEP, REFINED_STATE, Schedule, Work

CONFIG = TrainConfig(size=64, steps=16, gaussians=500)


@pytest.mark.parametrize("coarse_share", [0.4, 0.0])
@pytest.mark.parametrize("expressions", [True, False])
def test_work_counts_coarse_steps_and_the_refinement(coarse_share: float, expressions: bool) -> None:
    steps, refine = 100, RefineOptions(training_expressions=expressions)
    config = replace(CONFIG, size=300, steps=steps, coarse_share=coarse_share, refine_at=0.2, refine=refine)
    work = Work(Schedule(config, time.perf_counter(), 0.0), 20, coarse=coarse_share > 0)
    states = 20
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
    work.end_refining()
    assert work.fraction(20) == pytest.approx(early + REFINED_STATE * states * passes / total)
    assert work.fraction(steps) == pytest.approx(1.0)


def test_work_of_a_run_limited_by_the_clock_is_the_clock() -> None:
    config = replace(CONFIG, steps=10**6, max_seconds=100.0)
    work = Work(Schedule(config, time.perf_counter(), 40.0), 20, coarse=False)
    assert work.fraction(10) == pytest.approx(0.4, abs=0.05)
