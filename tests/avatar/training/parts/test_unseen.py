"""Colors of hair and clothes that no frame shows, in a training."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from avatar.data.capture_folder import Capture
from avatar.model.resting import resting_means
from avatar.training.corrections import COLOR_CONTRIBUTION
from avatar.training.parts.head_prior import on_scalp
from avatar.training.parts.unseen import MIN_TORSO, UnseenTraining
from avatar.training.trainer import Trainer
from avatar.training.unseen import MOST_UNSEEN
from tests.avatar.training.test_relocation import CONFIG, trainer_of

COUNT = 7000
#: Rows of the back of the torso: this head has no long hair, and too few Gaussians for a backing.
SHEET = torch.arange(COUNT, COUNT + round(MOST_UNSEEN * COUNT))


@pytest.fixture(scope="module")
def trainer(tiny: Capture) -> Trainer:
    return trainer_of(tiny, replace(CONFIG, gaussians=COUNT))


@pytest.fixture(scope="module")
def part(trainer: Trainer) -> UnseenTraining:
    return next(part for part in trainer.parts if isinstance(part, UnseenTraining))


def test_the_back_of_the_torso_stays_where_it_is_and_as_small(trainer: Trainer, part: UnseenTraining) -> None:
    rows = SHEET
    assert len(trainer.avatar) == COUNT + len(rows) and torch.isin(rows, trainer.anchors.rows).all()
    scales = trainer.avatar.log_scales.detach()
    before = scales.clone()
    with torch.no_grad():
        trainer.avatar.log_scales[rows] += torch.tensor([0.5, -0.5, 0.0])
        part.limit()
    initial = trainer.anchors.initial["log_scales"][rows]
    changed = before[rows] + torch.tensor([0.5, -0.5, 0.0])
    assert torch.equal(scales[rows], changed.minimum(initial)) and (changed > initial).any()
    with torch.no_grad():
        trainer.avatar.log_scales.copy_(before)


def test_the_back_of_the_torso_has_the_color_of_its_sides(trainer: Trainer, part: UnseenTraining) -> None:
    avatar, rows = trainer.avatar, SHEET
    places = resting_means(avatar, avatar.head).detach()
    seen = avatar.rig.skin > MIN_TORSO
    seen[rows] = False
    middle = places[seen, 0].abs().quantile(0.15)
    with torch.no_grad():
        in_middle = places[:, :1].abs() < middle
        avatar.colors[:] = torch.where(in_middle, torch.tensor([1.0, 0, 0]), torch.tensor([0, 0, 1.0]))
    contribution = torch.where(seen, 2 * COLOR_CONTRIBUTION, 0.0)
    assert part.correct(trainer.full, contribution) is contribution
    blue = avatar.colors.detach()[rows, 2]
    assert blue.mean() > 0.9 and blue[places[rows, 0].abs() < middle].mean() > 0.9
    assert torch.equal(trainer.anchors.initial["colors"][rows], avatar.colors.detach()[rows])


def test_hidden_hair_has_strands_and_seen_hair_keeps_its_colors(trainer: Trainer, part: UnseenTraining) -> None:
    avatar, initial = trainer.avatar, trainer.anchors.initial
    scalp = on_scalp(avatar).nonzero()[:, 0]
    seen, hidden = scalp[::2], scalp[1::2]
    initial["colors"][scalp] = 0.4
    with torch.no_grad():
        avatar.colors[scalp] = 0.4
        avatar.colors[seen[::2]] = 0.2
        avatar.colors[seen[1::2]] = 0.6
    before = avatar.colors.detach().clone()
    contribution = torch.zeros(len(avatar))
    contribution[seen] = 1e4
    part.correct(trainer.full, contribution)
    colors = avatar.colors.detach()
    assert torch.equal(colors[seen], before[seen])
    spread = colors[hidden, 0]
    assert float(spread.std()) > 0.05 and float(spread.min()) > 0.2 and float(spread.max()) < 0.6
    assert torch.equal(initial["colors"][hidden], colors[hidden])
