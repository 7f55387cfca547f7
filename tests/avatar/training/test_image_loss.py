"""Loss and gradients of a step in one operation: the bits of the single ones, and only where it may be used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import cuda_ext
from avatar import ops
from avatar.data.capture_folder import Capture
from avatar.data.training_frames import load_frames, pick
from avatar.head import load_head
from avatar.model.avatar import bake_identity
from avatar.model.parts.pose_blendshapes import PoseBlendshapes
from avatar.ops.backend import wrapped_native
from avatar.training.config import TrainConfig
from avatar.training.image_loss import SSIM_STRIDE, ImageLoss, ssim_rows
from avatar.training.initialization import build_avatar
from avatar.training.parts import pose_blendshapes
from avatar.training.parts.blendshapes import BlendshapeTraining
from avatar.training.parts.part import PartTraining, Step
from avatar.training.parts.registry import register
from avatar.training.trainer import Trainer

CONFIG = TrainConfig(size=64, steps=30, gaussians=700, refine_at=1.0)
CASES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "three images": {"batch": 3},
    "no stretch": {"stretch": False},
    "no layer": {"layer": False},
    "layer with skin": {"skin": True},
    "one basis for each expression": {"mode": "expression"},
    "local bases": {"mode": "local", "bases": 6},
    "no filter": {"filter": 0.0},
    "no SSIM": {"ssim": 0.0},
}


def trainer_of(capture: Capture, config: TrainConfig, *, torso: bool = False, weights: bool = False) -> Trainer:
    """A trainer after two steps, on request with known torsos, or with images of different weights."""
    person = bake_identity(load_head(), torch.from_numpy(np.asarray(capture.track["identity"], np.float32)))
    frames = load_frames(capture, capture.train_indices, config.size, person)
    avatar = build_avatar(person, frames, config)
    if torso:
        states = frames.states
        with torch.no_grad():
            frames = replace(
                frames, states=replace(states, torso=avatar.rig.torso(states.rotation, states.translation))
            )
    if weights:
        frames = replace(frames, weight=torch.linspace(0.1, 1, len(frames)))
    trainer = Trainer(avatar, frames, config)
    trainer.initialize()
    for _ in range(2):
        trainer.step(0.5)
    return trainer


def gradients(trainer: Trainer, fused: bool) -> dict[str, Tensor]:
    """Loss, squares and all gradients of an image or several, those of the weights by hand or by autograd."""
    indices = torch.arange(trainer.config.batch) + 3
    frames = trainer.full
    background = torch.linspace(0, 1, 3 * len(indices)).view(-1, 3)
    step = Step(2, 0.5, frames, indices, background, pick(frames.rgb, indices), pick(frames.alpha, indices))
    loss = ImageLoss(trainer.avatar, trainer.config, trainer.parts)
    assert loss._fused
    loss._fused = fused
    trainer.avatar.zero_grad()
    blendshapes = trainer.part(BlendshapeTraining)
    assert blendshapes is not None
    by_hand = blendshapes._weights
    blendshapes._weights = by_hand if fused else None
    extra = trainer._offsets(step)
    losses, squares = loss(step, extra)
    found = {"losses": losses, "squares": squares}
    if blendshapes._blended is not None:
        weights, grad = blendshapes._blended[0], torch.linspace(-1, 1, extra.shape[0] * len(blendshapes._shapes.basis))
        blendshapes._pass_on(weights, grad.view_as(weights))
        assert extra.grad is not None
        found["extra"] = extra.grad.clone()
    blendshapes._weights = by_hand
    pose = trainer.avatar.part(PoseBlendshapes)
    if pose is not None:
        assert pose.blended is not None and pose.blended[1].grad is not None
        found["pose"] = pose.blended[1].grad.clone()
    grads = {name: value.grad.clone() for name, value in trainer.avatar.named_parameters() if value.grad is not None}
    return {**found, **grads}


def check(trainer: Trainer) -> None:
    expected, found = gradients(trainer, False), gradients(trainer, True)
    assert expected.keys() == found.keys() and len(found) > 7
    for name, value in expected.items():
        # A product of BLAS sums over several images in an order of its own.
        of_weights = name == "blendshapes.mix" or name.startswith("parts.weight_network.")
        if of_weights and trainer.config.batch > 1:
            torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6 * float(value.abs().max()))
        else:
            assert torch.equal(found[name], value), name
    assert all(value.abs().max() > 0 for name, value in found.items() if name not in ("texels", "reflections"))


@pytest.mark.parametrize("settings", CASES.values(), ids=CASES.keys())
def test_one_operation_gives_the_bits_of_single_ones(tiny: Capture, settings: dict[str, Any]) -> None:
    check(trainer_of(tiny, replace(CONFIG, **settings)))


def test_any_number_of_threads_gives_the_same_bits(tiny: Capture) -> None:
    trainer = trainer_of(tiny, replace(CONFIG, batch=2))
    before, found = cuda_ext.threads(), []
    try:
        for threads in (1, 2, 3):
            cuda_ext.set_threads(threads)
            found.append(gradients(trainer, True))
    finally:
        cuda_ext.set_threads(before)
    assert all(torch.equal(value, other[name]) for other in found[1:] for name, value in found[0].items())


def test_pose_blendshapes_give_the_bits_of_single_operations(tiny: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pose_blendshapes, "MIN_POSES", 2)
    trainer = trainer_of(tiny, CONFIG)
    assert trainer.avatar.part(PoseBlendshapes) is not None
    check(trainer)


@pytest.mark.parametrize("batch", [1, 2])
def test_known_torsos_and_weights_of_images_give_the_same_bits(tiny: Capture, batch: int) -> None:
    check(trainer_of(tiny, replace(CONFIG, batch=batch), torso=True, weights=True))


def test_what_is_known_of_an_image_follows_the_frames(tiny: Capture) -> None:
    trainer = trainer_of(tiny, CONFIG, torso=True)
    states = trainer.full.states
    trainer.full = replace(trainer.full, states=replace(states, vertices=states.vertices.flip(0)))
    check(trainer)
    trainer._relocate(trainer.full)
    check(trainer)


class _Brighter(PartTraining):
    """A part with a loss of its own."""

    key = "brighter"

    def loss(self, step: Step) -> Tensor | None:
        return step.rgb.mean()


@pytest.fixture
def brighter() -> Iterator[None]:
    from avatar.training.parts import registry

    register(_Brighter)
    yield
    registry._PARTS.remove(_Brighter)


def test_a_part_that_reads_the_image_gets_one(tiny: Capture, brighter: None) -> None:
    trainer = trainer_of(tiny, CONFIG)
    assert not trainer.image_loss._fused


@pytest.mark.parametrize("settings", [{"light": True}, {"wrinkles": True}], ids=["light", "wrinkles"])
def test_a_part_that_renders_in_its_own_way_is_rendered(tiny: Capture, settings: dict[str, Any]) -> None:
    assert not trainer_of(tiny, replace(CONFIG, **settings)).image_loss._fused


def test_without_native_kernels_the_operations_are_called_one_by_one(tiny: Capture) -> None:
    trainer = trainer_of(tiny, CONFIG)
    with wrapped_native(lambda native: None):
        assert not ops.fuses_rendered_loss(trainer.avatar.offsets)
        assert not ImageLoss(trainer.avatar, CONFIG, trainer.parts)._fused


def test_arguments_that_do_not_fit_are_named(tiny: Capture) -> None:
    trainer = trainer_of(tiny, CONFIG)
    avatar, frames = trainer.avatar, trainer.full
    assert trainer.image_loss._scenes is not None
    scene, bones = trainer.image_loss._scenes(torch.tensor([0]))
    target = ops.LossTarget(frames.rgb[:1], frames.alpha[:1], torch.zeros(1, 3), 0.2, 0.02)
    extra, weight = torch.zeros(1, avatar.blendshapes.count, ops.DEFORM_CHANNELS), torch.ones(1)
    plain = replace(scene, layer=None)
    with pytest.raises(ValueError, match="the look of a layer belongs to a scene with a layer"):
        ops.rendered_loss(avatar.local, extra, bones, scene, target, weight)
    with pytest.raises(ValueError, match=r"truth: expected .*, got \[1,64,63,3\]"):
        wrong = replace(target, truth=target.truth[:, :, 1:])
        ops.rendered_loss(avatar.local, extra, bones, plain, wrong, weight)
    with pytest.raises(ValueError, match="extra: expected"):
        ops.rendered_loss(avatar.local, extra[0], bones, plain, target, weight)
    with pytest.raises(ValueError, match=r"weight: expected \[1\], got \[2\]"):
        ops.rendered_loss(avatar.local, extra, bones, plain, target, torch.ones(2))
    with pytest.raises(ValueError, match="only float32 on the CPU"):
        double = replace(avatar.local, offsets=avatar.offsets.double())
        ops.rendered_loss(double, extra, bones, plain, target, weight)


def test_steps_one_after_another_have_windows_on_all_rows() -> None:
    for block in range(50):
        rows = [ssim_rows(3, SSIM_STRIDE * block + k) for k in range(SSIM_STRIDE)]
        assert sorted(rows) == [(SSIM_STRIDE, first) for first in range(SSIM_STRIDE)]


@pytest.mark.parametrize("distance", [1, 2, 3, 4, 8, 50, 64])
def test_steps_at_a_regular_distance_have_windows_on_all_rows_alike(distance: int) -> None:
    steps = np.arange(7, 7 + 400 * distance, distance).tolist()
    share = np.mean([ssim_rows(0, step)[1] == 0 for step in steps])
    assert abs(share - 1 / SSIM_STRIDE) < 0.08  # three standard deviations of 400 independent draws


def test_windows_of_a_step_depend_on_the_seed() -> None:
    assert [ssim_rows(0, step) for step in range(64)] != [ssim_rows(1, step) for step in range(64)]


def test_a_step_has_the_loss_of_its_rows(tiny: Capture) -> None:
    trainer = trainer_of(tiny, CONFIG)
    frames, index = trainer.full, torch.tensor([3])
    loss = ImageLoss(trainer.avatar, trainer.config, trainer.parts)
    images = pick(frames.rgb, index), pick(frames.alpha, index)
    by_rows: dict[tuple[int, int], set[float]] = {}
    for number in range(8):
        step = Step(number, 0.5, frames, index, torch.full((1, 3), 0.5), *images)
        by_rows.setdefault(ssim_rows(CONFIG.seed, number), set()).add(float(loss(step, trainer._offsets(step))[0]))
    assert len(by_rows) == SSIM_STRIDE
    assert all(len(values) == 1 for values in by_rows.values())
    assert len(set.union(*by_rows.values())) == SSIM_STRIDE
