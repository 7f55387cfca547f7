"""Colors of skin that the frames hardly show come from the prior of heads."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from avatar.data.capture_folder import Capture
from avatar.model.prior import from_log, head_prior
from avatar.training.anchors import ANCHOR_WEIGHTS, PIXELS
from avatar.training.hair_height import hair_vertices
from avatar.training.parts.head_prior import ANCHOR_PART, LIPS, PriorTraining, areas, on_mesh, set_prior_colors
from avatar.training.trainer import Trainer
from tests.avatar.training.test_relocation import CONFIG, trainer_of

PIXEL = 0.004  # meters


@pytest.fixture
def trainer(tiny: Capture) -> Trainer:
    return trainer_of(tiny)


def person_of(trainer: Trainer, seed: int = 0) -> Tensor:
    """Colors [N,3] of a person that the prior likes: at every Gaussian on the mesh those of random coefficients."""
    model, rig = head_prior(), trainer.avatar.rig
    coefficients = np.random.default_rng(seed).standard_normal(model.basis.shape[2])
    table = np.zeros((len(trainer.avatar.head.v_template), 3))
    table[model.vertices] = from_log(model.mean + 0.7 * model.basis @ coefficients)
    return (torch.from_numpy(table).float()[rig.triangles] * rig.bary[..., None]).sum(1)


def filled_rows(trainer: Trainer) -> Tensor:
    """Gaussians that take colors of the prior."""
    rows = on_mesh(trainer.avatar, head_prior(), trainer.anchors.initial["offsets"])
    lips = trainer.avatar.head.mask(*LIPS)[trainer.avatar.rig.triangles[rows]].any(1)
    return rows[~lips]


def test_hidden_gaussians_take_the_color_of_the_person(trainer: Trainer) -> None:
    avatar, true, rows = trainer.avatar, person_of(trainer), filled_rows(trainer)
    # On the left half nothing was seen, and colors there are arbitrary.
    x = (avatar.head.v_template[avatar.rig.triangles] * avatar.rig.bary[..., None]).sum(1)[:, 0]
    hidden = x > 0.02
    avatar.colors.data.copy_(torch.where(hidden[:, None], torch.tensor([1.0, 0.0, 1.0]), true))
    set_prior_colors(avatar, head_prior(), trainer.anchors, torch.where(hidden, 0.0, 1e4), PIXEL)
    unseen = rows[hidden[rows]]
    error = (avatar.colors.detach()[unseen] - true[unseen]).abs()
    assert len(unseen) > 50 and error.mean() < 0.05
    assert torch.equal(trainer.anchors.initial["colors"][unseen], avatar.colors.detach()[unseen])


def test_a_rim_of_a_wide_gaussian_is_no_evidence(trainer: Trainer) -> None:
    """Four pixels of a Gaussian of a thousand leave its color to the prior, and its anchor is as strong as its area."""
    avatar, rows = trainer.avatar, filled_rows(trainer)
    wide = rows[:: len(rows) // 20]
    avatar.colors.data.copy_(person_of(trainer))
    avatar.colors.data[wide] = torch.tensor([1.0, 0.0, 1.0])
    avatar.logit_opacities.data[wide] = 0.0
    avatar.log_scales.data[wide] = math.log(PIXEL * math.sqrt(1000 / math.pi))
    contribution = torch.full((len(avatar),), 1e4)
    contribution[wide] = 4.0
    set_prior_colors(avatar, head_prior(), trainer.anchors, contribution, PIXEL)
    assert areas(avatar, wide, PIXEL).numpy() == pytest.approx(1000, rel=1e-4)
    assert (avatar.colors.detach()[wide] - person_of(trainer)[wide]).abs().mean() < 0.05
    assert trainer.anchors.initial[PIXELS][wide].numpy() == pytest.approx(ANCHOR_PART * 1000, rel=1e-4)


def test_of_hair_a_fifth_must_be_seen(trainer: Trainer) -> None:
    """Raised Gaussians of the scalp are on the mesh; a tenth of one behind the head does not say what color it has."""
    avatar, model, initial = trainer.avatar, head_prior(), trainer.anchors.initial
    scalp = hair_vertices(avatar.head)[avatar.rig.triangles].all(1)
    initial["offsets"][scalp] = torch.tensor([0.0, 0.0, 0.02])
    rows = on_mesh(avatar, model, initial["offsets"])
    hair = rows[scalp[rows]]
    assert len(hair) == int(scalp.sum()) > 20
    pink = torch.tensor([1.0, 0.0, 1.0])
    for part, seen in ((0.1, False), (0.5, True)):
        avatar.colors.data.copy_(person_of(trainer))
        avatar.colors.data[hair] = pink
        contribution = torch.full((len(avatar),), 1e4)
        contribution[hair] = part * areas(avatar, hair, PIXEL)
        set_prior_colors(avatar, model, trainer.anchors, contribution, PIXEL)
        assert bool(((initial["colors"][hair] - pink).abs().mean(1) < 0.3).any()) is seen


def test_visible_gaussians_lips_and_hair_keep_their_colors(trainer: Trainer) -> None:
    avatar = trainer.avatar
    before, anchored = avatar.colors.detach().clone(), trainer.anchors.initial["colors"].clone()
    set_prior_colors(avatar, head_prior(), trainer.anchors, torch.full((len(avatar),), 1e4), PIXEL)
    assert torch.equal(avatar.colors.detach(), before)
    set_prior_colors(avatar, head_prior(), trainer.anchors, torch.zeros(len(avatar)), PIXEL)
    others = torch.ones(len(avatar), dtype=torch.bool)
    others[filled_rows(trainer)] = False
    assert others.sum() > 100 and torch.equal(avatar.colors.detach()[others], before[others])
    assert torch.equal(trainer.anchors.initial["colors"][others], anchored[others])


def test_without_the_prior_colors_with_blendshapes_have_no_weak_anchor(tiny: Capture) -> None:
    count = []
    for prior in (False, True):
        trainer = trainer_of(tiny, replace(CONFIG, prior=prior))
        avatar = trainer.avatar
        for name in ANCHOR_WEIGHTS:
            values = getattr(avatar, name)
            values.grad = torch.zeros_like(values)
        trainer.anchors.initial["colors"] = avatar.colors.detach() - 0.25
        trainer.anchors.add_gradients(1000)
        assert avatar.colors.grad is not None
        count.append(int((avatar.colors.grad[: avatar.blendshapes.count].abs().sum(1) > 3e-5).sum()))
        assert (trainer.part(PriorTraining) is not None) == prior
    assert count[0] == 0 < count[1]
