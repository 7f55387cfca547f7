"""Steps of training as graphs: the bits of their launches, no wait, and nothing changed where memory is too small."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from avatar.data.capture_folder import Capture
from avatar.data.training_frames import load_frames
from avatar.head import load_head
from avatar.model.avatar import bake_identity
from avatar.model.parts.pose_blendshapes import PoseBlendshapes
from avatar.ops import frames as frame_memory
from avatar.training.config import TrainConfig
from avatar.training.initialization import build_avatar
from avatar.training.losses import READ_EVERY
from avatar.training.parts.pose_blendshapes import MIN_POSES
from avatar.training.step_graph import WARM_UP
from avatar.training.trainer import Trainer
from tests.support.pretended import GPU, Device
from tests.support.pretended_graph import Graph
from tests.support.tiny import tiny_capture
from tests.system.emulator.test_training import SIZE, TINY, small, trainer_of

__all__ = ["small"]

#: Tile intersections per Gaussian that are enough for this avatar, but not for one that is wider.
FEW = 2
LAYER = dataclasses.replace(TINY, layer=True, batch=2, refine_at=1.0)


@pytest.fixture(autouse=True)
def memory() -> Iterator[None]:
    """Leave what is known of tile intersections as it was."""
    known = dict(frame_memory._limits)
    yield
    frame_memory._limits.clear()
    frame_memory._limits.update(known)


def trained(capture: Capture, config: TrainConfig, steps: int, graphed: bool = True) -> tuple[Trainer, list[Tensor]]:
    """A trainer after some steps, and copies of all that they changed."""
    trainer = trainer_of(capture, config)
    assert trainer.graph is not None
    trainer.graph.graph.problem = "" if graphed else "switched off by the test"
    trainer.initialize()
    for _ in range(steps):
        trainer.step(0.0)
    return trainer, [value.detach().cpu().clone() for value in trainer.graph.state()]


def captured(trainer: Trainer) -> list[Any]:
    assert trainer.graph is not None
    return [kind.captured for kind in trainer.graph.graph._kinds.values() if kind.captured is not None]


def test_graphs_train_the_bits_of_their_launches(gpu: Device, tmp_path: Path) -> None:
    capture = tiny_capture(tmp_path / "capture", frames=MIN_POSES + 2, size=SIZE, test_every=0)
    trainer, found = trained(capture, LAYER, 12)
    assert trainer.avatar.part(PoseBlendshapes) is not None
    assert trainer.graph is not None and not trainer.graph.graph.problem
    assert len(captured(trainer)) == 2  # one for the even rows of SSIM, one for the odd ones
    other, expected = trained(capture, LAYER, 12, graphed=False)
    assert not captured(other)
    assert all(torch.equal(one, two) for one, two in zip(found, expected, strict=True))
    assert trainer.losses.mean_square == other.losses.mean_square


def test_a_captured_step_waits_for_nothing_and_sends_one_block(gpu: Device, small: Capture) -> None:
    trainer, _ = trained(small, TINY, 2 * WARM_UP + 3)
    assert len(captured(trainer)) == 2
    for number in range(2 * WARM_UP + 4, READ_EVERY):
        gpu.clear_counts()
        trainer.step(0.0)
        if number % 4:  # after every fourth step limits are applied, launch by launch
            assert not +gpu.waits and +gpu.uploads == {"aten::copy_": 1}, number
            # Two means of its losses, which are read later.
            assert +gpu.allocations == {"aten::mean": 2}, number


def test_a_step_that_does_not_fit_changes_nothing_and_later_ones_have_more_memory(
    gpu: Device, small: Capture, caplog: pytest.LogCaptureFixture
) -> None:
    trainer, _ = trained(small, TINY, 1)
    assert trainer.graph is not None
    frame_memory._limits[GPU, 1, len(trainer.avatar), SIZE, SIZE] = FEW * len(trainer.avatar)
    while trainer.steps_done < 2 * WARM_UP + 2:
        trainer.step(0.0)
    assert len(captured(trainer)) == 2
    with torch.no_grad():
        trainer.avatar.log_scales.add_(3.0)  # more tile intersections than the graphs have memory for
    before = [value.detach().clone() for value in trainer.graph.state()]
    trainer.step(0.0)
    assert all(torch.equal(value, kept) for value, kept in zip(trainer.graph.state(), before, strict=True))
    assert not trainer.losses.skipped  # the loss was not read yet
    while trainer.steps_done % READ_EVERY:
        trainer.step(0.0)
    assert trainer.losses.skipped > 1 and math.isfinite(trainer.losses.mean_square)
    skipped = trainer.losses.skipped
    for _ in range(READ_EVERY):
        trainer.step(0.0)
    assert trainer.losses.skipped == skipped
    assert [record.getMessage() for record in caplog.records] == [
        f"{skipped} steps before step 20 changed nothing: their images had more tile intersections than there was "
        "memory for; the next ones have more"
    ]
    assert not any(
        torch.equal(value, kept) for value, kept in zip(trainer.graph.state()[:6:3], before[:6:3], strict=True)
    )


@pytest.mark.parametrize(
    ("method", "fault", "reason"),
    [
        ("replay", lambda self: None, "it gave other bits than the same launches one by one"),
        ("add_kernel", lambda self, *_: torch.ones(1).to(GPU), "operation not permitted when stream is capturing"),
    ],
)
def test_a_fault_ends_in_the_launches_one_by_one_with_one_sentence(
    gpu: Device,
    small: Capture,
    method: str,
    fault: Any,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(Graph, method, fault)
    trainer, found = trained(small, TINY, 7)
    monkeypatch.undo()
    assert trainer.graph is not None
    before = "steps on cuda:0 are launched one by one, which is slower, because a CUDA graph of them failed: "
    assert trainer.graph.graph.problem.startswith(before + reason)
    assert [record.getMessage() for record in caplog.records] == [trainer.graph.graph.problem]
    _, expected = trained(small, TINY, 7, graphed=False)
    assert all(torch.equal(one, two) for one, two in zip(found, expected, strict=True))


def test_a_training_on_the_cpu_has_no_graph(small: Capture) -> None:
    person = bake_identity(load_head(), torch.from_numpy(small.track["identity"]).float())
    frames = load_frames(small, small.train_indices, TINY.size, person)
    trainer = Trainer(build_avatar(person, frames, TINY), frames, TINY)
    assert trainer.graph is None and trainer.optimizer.schedule is None
