"""Relocation of Gaussians at a fixed count: contribution kept, anchors and moments follow, reproducible."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from avatar.data.capture_folder import Capture
from avatar.data.training_frames import load_frames
from avatar.head import load_head
from avatar.model.avatar import bake_identity
from avatar.ops.backend import kernels_on_threads
from avatar.training import relocation, visibility
from avatar.training.config import TrainConfig
from avatar.training.fit import fit
from avatar.training.initialization import build_avatar
from avatar.training.relocation import relocate, relocation_due
from avatar.training.trainer import Trainer
from avatar.training.visibility import Use, measure
from avatar.types import LOCAL_NAMES
from tests.support.stop_after import StopAfter

CONFIG = TrainConfig(size=64, steps=30, gaussians=900, refine_at=1.0, layer=False)


def trainer_of(capture: Capture, config: TrainConfig = CONFIG) -> Trainer:
    """A trainer after ten steps."""
    person = bake_identity(load_head(), torch.from_numpy(np.asarray(capture.track["identity"], np.float32)))
    frames = load_frames(capture, capture.train_indices, config.size, person)
    trainer = Trainer(build_avatar(person, frames, config), frames, config)
    trainer.initialize()
    for step in range(10):
        trainer.step(step / 1000)
    return trainer


def state_of(trainer: Trainer) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in trainer.avatar.state_dict().items()}


def moved(trainer: Trainer, fraction: float = 0.1) -> tuple[dict[str, Tensor], Use, Tensor]:
    """The state before a relocation, what the Gaussians did then, and the rows [M] that moved to another triangle."""
    before, use = state_of(trainer), measure(trainer.avatar, trainer.full, 0)
    rng = np.random.default_rng(1)
    relocate(trainer.avatar, trainer.anchors, trainer.optimizer, use, fraction, rng, trainer.parts)
    changed = (before["offsets"] != trainer.avatar.offsets).any(1)
    return before, use, changed.nonzero()[:, 0]


def test_a_relocation_moves_the_fraction_and_keeps_the_count(tiny: Capture) -> None:
    trainer = trainer_of(tiny)
    free = len(trainer.avatar) - len(trainer.anchors.rows)
    before, use, rows = moved(trainer)
    assert all(value.shape == before[name].shape for name, value in trainer.avatar.state_dict().items())
    assert 0.08 * free < len(rows) < 0.12 * free
    assert use.contribution[rows].max() <= use.contribution.median()


def test_a_relocation_is_the_same_on_one_core_and_on_two(tiny: Capture) -> None:
    states = []
    for cores in (1, 2):
        with kernels_on_threads(cores):
            trainer = trainer_of(tiny, replace(CONFIG, layer=True))
            trainer._relocate(trainer.full)
        states.append(state_of(trainer))
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_measured_contributions_sum_to_the_alpha_of_the_frames(tiny: Capture) -> None:
    trainer = trainer_of(tiny)
    use = measure(trainer.avatar, trainer.full, 3)
    chosen = sorted({(3 + len(trainer.full) * k // visibility.USE_FRAMES) % len(trainer.full) for k in range(8)})
    with torch.no_grad():
        alphas = [render_alpha(trainer, index) for index in chosen]
    assert use.contribution.sum().item() == pytest.approx(sum(alphas) / len(alphas), rel=1e-4)
    assert (use.error >= 0).all() and use.error.sum() > 0


def render_alpha(trainer: Trainer, index: int) -> float:
    from avatar.rendering.render import render
    from avatar.training.prediction import predict

    gaussians = predict(trainer.avatar, trainer.full, torch.tensor([index]))
    return float(render(gaussians, trainer.full.view(index)).alpha.sum())


def test_total_contribution_hardly_changes(tiny: Capture) -> None:
    trainer = trainer_of(tiny)
    before = measure(trainer.avatar, trainer.full, 0).contribution.sum()
    moved(trainer, 0.02)
    after = measure(trainer.avatar, trainer.full, 0).contribution.sum()
    assert abs(float(after / before) - 1) < 0.01


def test_two_halves_are_as_opaque_as_the_whole(tiny: Capture) -> None:
    trainer = trainer_of(tiny)
    before, _, rows = moved(trainer)
    after = trainer.avatar
    changed = (before["logit_opacities"] != after.logit_opacities).nonzero()[:, 0]
    sources = changed[~torch.isin(changed, rows)]
    whole = torch.sigmoid(before["logit_opacities"][sources])
    half = torch.sigmoid(after.logit_opacities[sources])
    assert len(sources) == len(rows)
    assert torch.allclose(1 - (1 - half) ** 2, whole, atol=0.02)


def test_anchored_gaussians_and_the_order_of_the_groups_stay(tiny: Capture) -> None:
    trainer = trainer_of(tiny)
    anchored, count = trainer.anchors.rows.clone(), trainer.avatar.blendshapes.count
    before, _, rows = moved(trainer)
    assert len(anchored) and not torch.isin(rows, anchored).any()
    for name in LOCAL_NAMES:
        assert torch.equal(before[name][anchored], getattr(trainer.avatar, name)[anchored])
    triangles = before["rig.triangles"]
    groups = [{tuple(row) for row in part.tolist()} for part in (triangles[:count], triangles[count:])]
    for row, corners in zip(rows.tolist(), trainer.avatar.rig.triangles[rows].tolist(), strict=True):
        assert tuple(corners) in groups[row >= count]


@pytest.mark.parametrize("mode", ["reduced", "expression"])
def test_moments_blendshapes_and_initial_values_follow_their_source(
    tiny: Capture, mode: Literal["reduced", "expression"]
) -> None:
    trainer = trainer_of(tiny, replace(CONFIG, mode=mode))
    initial = {name: value.clone() for name, value in trainer.anchors.initial.items()}
    before, _, rows = moved(trainer)
    count = trainer.avatar.blendshapes.count
    for group in trainer.optimizer.groups:
        if group.axis == 0:
            assert not group.m[rows].any()
        elif group.name == "basis":
            assert not group.m[:, rows[rows < count]].any()
    colors = trainer.avatar.colors
    for row in rows[:20].tolist():
        same = (before["colors"] == colors[row]).all(1).nonzero()[:, 0]
        assert any(torch.equal(trainer.anchors.initial["log_scales"][row], initial["log_scales"][k]) for k in same)
        if row < count:
            mask = trainer.avatar.blendshapes.mask[:, row]
            assert any(torch.equal(mask, before["blendshapes.mask"][:, k]) for k in same if k < count)


@pytest.mark.parametrize("layer", [False, True])
def test_the_same_generator_gives_the_same_bits(tiny: Capture, layer: bool) -> None:
    first, second = (trainer_of(tiny, replace(CONFIG, layer=layer)) for _ in range(2))
    for trainer in (first, second):
        moved(trainer)
    assert all(torch.equal(value, state_of(second)[name]) for name, value in state_of(first).items())


def test_relocations_are_due_every_200_steps_in_a_part_of_the_schedule() -> None:
    due = [step for step in range(1, 4001) if relocation_due(step, step / 4000)]
    assert due[0] == 600 and due[-1] == 2800 and len(due) == 12


def test_no_error_or_few_gaussians_move_nothing(tiny: Capture) -> None:
    trainer = trainer_of(tiny)
    before, none = state_of(trainer), torch.zeros(len(trainer.avatar))
    rng = np.random.default_rng(0)
    assert relocate(trainer.avatar, trainer.anchors, trainer.optimizer, Use(none, none), 0.1, rng) == 0
    few = Use(torch.ones_like(none), none)
    assert relocate(trainer.avatar, trainer.anchors, trainer.optimizer, few, 0.0, rng) == 0
    assert all(torch.equal(value, before[name]) for name, value in state_of(trainer).items())


def test_a_run_resumed_between_relocations_gives_the_same_bits(
    tiny: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relocation, "EVERY", 5)
    monkeypatch.setattr(relocation, "MIN_GROUP", 10)
    config = replace(CONFIG, relocate=0.1)
    whole = fit(tiny, load_head(), config).avatar.state_dict()
    for checks in (9, 15):
        checkpoint = tmp_path / f"{checks}.ckpt"
        fit(tiny, load_head(), config, checkpoint=checkpoint, stop=StopAfter(checks))  # type: ignore[arg-type]
        rest = fit(tiny, load_head(), config, checkpoint=checkpoint, resume=True, stop=Event()).avatar.state_dict()
        assert all(torch.equal(whole[name], rest[name]) for name in whole), checks
    without = fit(tiny, load_head(), replace(config, relocate=0.0)).avatar.state_dict()
    assert not torch.equal(whole["rig.triangles"], without["rig.triangles"])
