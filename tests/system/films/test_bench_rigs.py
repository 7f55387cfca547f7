"""The bench of rigs: every rig trains, differs where its paper differs, and the table has a row for each."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from avatar.data.capture_folder import Capture
from avatar.data.training_frames import load_frames
from avatar.evaluation.scoring import Scorer
from avatar.head import load_head
from avatar.training.config import TrainConfig
from avatar.training.parts.part import Step
from avatar.training.prepared_frames import prepared_frames
from tests.bench.bench_rigs import Clip, scores, steps_of, table, trained
from tests.bench.rigs import PLAIN, RIGS, Rig, RigTraining

BASE = TrainConfig(size=64, gaussians=400, steps=6)


@pytest.fixture(scope="module")
def clip(tiny: Capture) -> Clip:
    """The tiny capture in its exact poses. Read only."""
    person, frames = prepared_frames(tiny, load_head(), BASE)
    test = load_frames(tiny, tiny.test_indices, BASE.size, person)
    return Clip(tiny, person, frames, test, test)


@pytest.mark.parametrize("rig", RIGS[4:], ids=lambda rig: rig.name)
def test_every_rig_trains_and_is_scored(clip: Clip, rig: Rig) -> None:
    avatar = trained(rig, clip, BASE, 6)
    start = rig.trainer(clip.person, clip.train, BASE).avatar
    moved = [name for name, value in avatar.state_dict().items() if not torch.equal(value, start.state_dict()[name])]
    assert "colors" in moved
    assert any(name.startswith("blendshapes.") for name in moved) == (
        "bases" not in rig.settings or rig.settings["bases"] > 0
    )
    rows = scores(avatar, clip, Scorer(clip.person, clip.capture, None, None, None))
    assert set(rows) == {"driven", "refined"} and 5 < rows["driven"]["psnr"] < 60


def test_the_regularizers_of_gaussian_avatars_shrink_large_gaussians(clip: Clip) -> None:
    rig = Rig("test", PLAIN | {"bases": 0}, regularize=True)
    trainer = rig.trainer(clip.person, clip.train, BASE)
    with torch.no_grad():
        trainer.avatar.log_scales[0] = 0.0  # a meter
        trainer.avatar.offsets[1] = 1.0
    training = trainer.part(RigTraining)
    assert training is not None
    images = torch.zeros(1, 64, 64, 3, dtype=torch.uint8)
    loss = training.loss(Step(0, 0.0, clip.train, torch.tensor([0]), torch.zeros(1, 3), images, images[..., 0]))
    assert loss is not None
    loss.backward()
    scales, offsets = trainer.avatar.log_scales.grad, trainer.avatar.offsets.grad
    assert scales is not None and offsets is not None
    assert (scales[0] > 0).all() and (offsets[1] > 0).all()
    assert scales[:, 0].argmax() == 0


def test_a_slower_rig_gets_fewer_steps(clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    class Counted:
        """A training whose steps take as long as their batches are large, on a clock of its own."""

        def __init__(self, rig: Rig) -> None:
            self.batch = rig.config(BASE).batch

        def step(self, fraction: float) -> None:
            now[0] += self.batch

    monkeypatch.setattr(Rig, "trainer", lambda rig, *_: Counted(rig))
    monkeypatch.setattr("tests.bench.bench_rigs.time.perf_counter", lambda: now[0])
    slow = Rig("slow", {"batch": 8 * BASE.batch}, limits=True)
    assert steps_of([RIGS[0], slow], clip, replace(BASE, steps=100)) == {RIGS[0].name: 100, "slow": 12}


def test_the_table_has_medians_over_the_seeds() -> None:
    entries = [
        {"clip": "a", "row": "driven", "rig": "ours", "seed": seed, "psnr": value, "steps": 7}
        for seed, value in enumerate((20.0, 30.0, 21.0))
    ]
    lines = table([*entries, {"clip": "a", "row": "speed", "rig": "ours", "seed": 0, "fps": 50.0}]).splitlines()
    assert lines[0].startswith("| clip, row, rig | PSNR |") and len(lines) == 3
    assert lines[2].startswith("| a, driven, ours | 21 |") and lines[2].endswith("| 7 | 50 | - |")
