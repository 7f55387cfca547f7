"""Training on a device: the avatar of the CPU, nothing that mixes devices, and few waits, on the pretended GPU."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import torch
from torch import Tensor

from avatar.data.capture_folder import Capture
from avatar.data.training_frames import load_frames
from avatar.errors import HeadsplatError
from avatar.head import load_head
from avatar.model.avatar import Avatar, bake_identity
from avatar.training import relocation
from avatar.training.checkpoints import state_of
from avatar.training.config import TrainConfig
from avatar.training.fit import fit
from avatar.training.initialization import build_avatar
from avatar.training.losses import READ_EVERY, Losses
from avatar.training.prediction import compare
from avatar.training.progress import preview_of
from avatar.training.report import TrainResult
from avatar.training.snapshot import snapshot_of
from avatar.training.trainer import Trainer
from tests.support.pretended import GPU, HOST, Device, MixedDevices
from tests.support.tiny import side_camera, tiny_capture

SIZE = 32
TINY = TrainConfig(size=SIZE, steps=40, gaussians=300, layer=False, refine_at=0.5)
#: Waits of a step of training, and of one after which limits are applied, too.
BUDGET, BUDGET_WITH_LIMITS = 1, 8


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    """A capture of 12 frames at 32 pixels."""
    return tiny_capture(tmp_path_factory.mktemp("small") / "capture", frames=12, size=SIZE, test_every=4)


@pytest.fixture(scope="module")
def two_views(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    """The same from two cameras."""
    others = [side_camera(SIZE, 20)]
    root = tmp_path_factory.mktemp("two") / "capture"
    return tiny_capture(root, frames=10, size=SIZE, test_every=0, others=others)


def psnr(result: TrainResult) -> float:
    return float(result.avatar.provenance["residual"]["all"]["psnr"])


def bits(result: TrainResult) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in result.avatar.state_dict().items()}


def tensors_of(avatar: Avatar) -> Iterator[Tensor]:
    yield from avatar.state_dict().values()
    yield from (value for value in vars(avatar.head).values() if isinstance(value, Tensor))


CASES = {
    "plain": TINY,
    "layer": dataclasses.replace(TINY, layer=True, steps=6),
    "expression": dataclasses.replace(TINY, mode="expression", batch=3, steps=10),
    "coarse": dataclasses.replace(TINY, size=512, steps=12),
}


@pytest.mark.parametrize("name", CASES)
def test_a_device_trains_the_avatar_of_the_cpu(gpu: Device, small: Capture, name: str) -> None:
    on_cpu = fit(small, load_head(), CASES[name])
    on_gpu = fit(small, load_head(), CASES[name], device="cuda")
    assert psnr(on_gpu) == pytest.approx(psnr(on_cpu), abs=0.1)
    assert on_gpu.avatar.provenance["train_psnr"] == pytest.approx(on_cpu.avatar.provenance["train_psnr"], abs=0.1)
    assert on_gpu.report.refinement is not None and on_gpu.refined_track is not None
    assert all(not gpu.holds(value) for value in tensors_of(on_gpu.avatar))


def test_two_cameras_train_on_a_device(gpu: Device, two_views: Capture) -> None:
    config = dataclasses.replace(TINY, steps=12, batch=2)
    expressions = dataclasses.replace(config.refine, training_expressions=True)
    config = dataclasses.replace(config, refine=expressions)
    on_cpu, on_gpu = (fit(two_views, load_head(), config, device=device) for device in ("cpu", "cuda"))
    assert psnr(on_gpu) == pytest.approx(psnr(on_cpu), abs=0.1)


@pytest.mark.slow
def test_a_whole_training_equals_that_of_the_cpu_and_itself(
    gpu: Device, small: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relocation, "EVERY", 40)
    config = dataclasses.replace(TINY, steps=70, refine_at=0.2)
    on_cpu = fit(small, load_head(), config)
    first, second = (fit(small, load_head(), config, device="cuda") for _ in range(2))
    assert psnr(first) == pytest.approx(psnr(on_cpu), abs=0.1)
    assert bits(first) == bits(second)
    assert first.refined_track is not None and second.refined_track is not None
    assert first.refined_track.fingerprint == second.refined_track.fingerprint


def test_a_resumed_training_on_a_device_gives_the_same_bits(gpu: Device, small: Capture, tmp_path: Path) -> None:
    config, stop, path = dataclasses.replace(TINY, steps=14), Event(), tmp_path / "a.checkpoint"
    whole = fit(small, load_head(), config, device="cuda")
    steps: list[torch.device] = []

    def count(avatar: Avatar) -> None:
        steps.append(avatar.offsets.device)
        if len(steps) == 10:
            stop.set()

    fit(small, load_head(), config, device="cuda", checkpoint=path, stop=stop, snapshot=count)
    assert set(steps) == {GPU}
    assert bits(fit(small, load_head(), config, device="cuda", checkpoint=path, resume=True)) == bits(whole)


def trainer_of(capture: Capture, config: TrainConfig = TINY) -> Trainer:
    head = load_head()
    person = bake_identity(head, torch.from_numpy(capture.track["identity"]).float())
    frames = load_frames(capture, capture.train_indices, config.size, person)
    return Trainer(build_avatar(person, frames, config), frames, config, device=GPU)


def test_a_trainer_keeps_all_on_its_device_and_its_state_on_the_host(gpu: Device, small: Capture) -> None:
    trainer = trainer_of(small)
    trainer.initialize()
    trainer.step(0.0)
    frames, optimizer = trainer.full, trainer.optimizer
    kept = [frames.rgb, frames.alpha, frames.weight, frames.states.vertices, frames.camera.K, trainer.anchors.rows]
    kept += [tensor for group in optimizer.groups for tensor in (group.param, group.m, group.v)]
    assert all(tensor.device == GPU for tensor in kept) and frames.rgb.dtype == torch.uint8
    assert all(tensor.device == HOST for tensor in _inside(state_of(trainer)))
    assert all(tensor.device == HOST for tensor in compare(trainer.avatar, trainer.full, 0))
    assert preview_of(trainer).shape == (SIZE, 2 * SIZE, 3)
    assert snapshot_of(trainer.avatar).offsets.device == HOST


def _inside(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (dict, list, tuple)):
        for entry in value.values() if isinstance(value, dict) else value:
            yield from _inside(entry)


@pytest.mark.parametrize("batch", [1, 4])
def test_a_step_waits_for_the_device_no_more_than_its_budget(gpu: Device, small: Capture, batch: int) -> None:
    trainer = trainer_of(small, dataclasses.replace(TINY, batch=batch))
    assert trainer.graph is not None
    trainer.graph.graph.problem = "switched off by this test: launches one by one"
    trainer.initialize()
    for number in range(1, 17):
        gpu.clear_counts()
        trainer.step(0.0)
        budget = BUDGET_WITH_LIMITS if number % 4 == 0 else BUDGET
        assert gpu.waits.total() <= budget, (number, gpu.waits)


def test_the_loss_is_read_every_twenty_steps(gpu: Device, small: Capture) -> None:
    trainer = trainer_of(small)
    trainer.initialize()
    losses = [trainer.step(0.0) for _ in range(READ_EVERY)]
    assert set(losses[:-1]) == {0.0} and losses[-1] > 0
    assert trainer.losses.mean_square != 0.05


def test_losses_are_the_same_however_many_are_read_at_once() -> None:
    values = torch.rand(45, 2, 3, generator=torch.Generator().manual_seed(0))
    each = Losses(torch.device("cpu"))
    some = Losses(torch.device("meta"))
    for step, (losses, squares) in enumerate(values, start=1):
        last = each.add(losses, squares, step)
        assert last == losses.mean().item()
        some.add(losses, squares, step)
    assert each.mean_square == some.mean_square


def test_a_tensor_left_on_the_host_is_found(gpu: Device, small: Capture) -> None:
    trainer = trainer_of(small)
    trainer.initialize()
    trainer.step(0.0)
    trainer.full = dataclasses.replace(trainer.full, weight=trainer.full.weight.cpu())
    with pytest.raises(MixedDevices, match="aten::mul"):
        trainer.step(0.0)


def test_a_wait_that_was_added_is_found(gpu: Device, small: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = trainer_of(small)
    trainer.initialize()
    limit = Trainer._limit

    def waiting(self: Trainer, *arguments: Any) -> None:
        assert self.avatar.offsets.isfinite().all()
        limit(self, *arguments)

    monkeypatch.setattr(Trainer, "_limit", waiting)
    gpu.clear_counts()
    trainer.step(0.0)
    assert gpu.waits.total() > BUDGET


@pytest.mark.parametrize(
    ("name", "words"), [("gpu", "device gpu: not known"), ("cuda:1", "device cuda:1: no CUDA GPU")]
)
def test_a_device_that_is_not_there_is_an_error(gpu: Device, small: Capture, name: str, words: str) -> None:
    with pytest.raises(HeadsplatError, match=words):
        fit(small, load_head(), TINY, device=name)
