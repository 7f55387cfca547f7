"""Gaussians around an eye learn from the expressions of that eye, whatever the rest of the face does."""

from __future__ import annotations

import pytest
import torch

from avatar.data.capture_folder import Capture
from avatar.data.training_frames import pick
from avatar.head import load_head
from avatar.head.arkit import ARKIT_52
from avatar.training.closures import FEWEST
from avatar.training.config import TrainConfig
from avatar.training.initialization import build_avatar
from avatar.training.parts.blendshapes import BlendshapeTraining
from avatar.training.parts.lid_features import LidFeatures
from avatar.training.parts.part import Step
from avatar.training.prepared_frames import prepared_frames
from avatar.training.trainer import Trainer

HEAD = load_head()
COUNT = len(HEAD.expression_names) + 9
CONFIG = TrainConfig(size=64, gaussians=900, batch=2)


def column(name: str) -> int:
    return HEAD.expression_names.index(name)


def frames_of_closed_eyes(count: int) -> torch.Tensor:
    """Features of 40 frames, `count` of them with closed eyes."""
    features = torch.zeros(40, COUNT)
    features[:count, [column("eyeBlinkLeft"), column("eyeBlinkRight")]] = 0.9
    return features


def test_some_filmed_closures_but_not_many_change_what_is_learned() -> None:
    known = [LidFeatures.of(HEAD, frames_of_closed_eyes(count), 0) for count in (FEWEST - 1, FEWEST, 6)]
    assert [lids is not None for lids in known] == [False, True, False]


def test_with_more_closures_fewer_steps_have_features_of_other_frames() -> None:
    features = torch.arange(50.0)[:, None].expand(50, COUNT).contiguous()
    lids = LidFeatures(HEAD, COUNT, 3, 0.25)
    changed = [bool((lids.mixed(features, torch.tensor([7]), number)[0] != 7).any()) for number in range(400)]
    assert 0.18 < sum(changed) / len(changed) < 0.32


def test_each_eye_keeps_its_own_expressions_and_takes_all_others_from_another_frame() -> None:
    features = torch.arange(50.0)[:, None].expand(50, COUNT).contiguous()
    rows = torch.tensor([7, 12])
    mixed = LidFeatures(HEAD, COUNT, 3).mixed(features, rows, 11)
    own = mixed == rows[None, :, None]
    expressions = len(HEAD.expression_names)
    for eye, (side, other) in enumerate((("Left", "Right"), ("Right", "Left"))):
        for name in ("eyeBlink", "eyeSquint", "eyeLookDown", "browDown"):
            assert own[eye, :, column(name + side)].all()
            assert not own[eye, :, column(name + other)].any()
        assert own[eye, :, column("browInnerUp")].all()
        # Jaw, left eye, right eye.
        rotations = own[eye, :, expressions:].all(0).tolist()
        assert rotations == [False] * 3 + [side == "Left"] * 3 + [side == "Right"] * 3
        assert not own[eye, :, [column(name) for name in ARKIT_52 if name.startswith(("mouth", "jaw"))]].any()
    # One other frame for each image and eye.
    assert all(len(values.unique()) == 2 for values in mixed.flatten(0, 1))


def test_random_frames_follow_from_seed_step_and_image_alone() -> None:
    features = torch.arange(50.0)[:, None].expand(50, COUNT).contiguous()
    lids = LidFeatures(HEAD, COUNT, 3)
    both, one = lids.mixed(features, torch.tensor([7, 12]), 11), lids.mixed(features, torch.tensor([12]), 11)
    assert torch.equal(both[:, 1:], one)
    assert not torch.equal(one, lids.mixed(features, torch.tensor([12]), 12))
    assert not torch.equal(one, LidFeatures(HEAD, COUNT, 4).mixed(features, torch.tensor([12]), 11))


@pytest.fixture(scope="module")
def trainer(tiny: Capture) -> Trainer:
    """A trainer with random bases in which lids have the features of other frames in all steps."""
    person, frames = prepared_frames(tiny, HEAD, CONFIG)
    trainer = Trainer(build_avatar(person, frames, CONFIG), frames, CONFIG)
    trainer.avatar.blendshapes.basis.data.normal_(0, 0.1, generator=torch.Generator().manual_seed(0))
    part = trainer.part(BlendshapeTraining)
    assert part is not None
    part._lids = LidFeatures(HEAD, COUNT, 0)
    return trainer


def test_offsets_and_their_gradients_are_those_of_the_mixed_features(trainer: Trainer) -> None:
    part = trainer.part(BlendshapeTraining)
    assert part is not None and part._lids is not None
    frames = trainer.full
    rows = torch.tensor([1, 5])
    truth, matte = pick(frames.rgb, rows), pick(frames.alpha, rows)
    step = Step(4, 0.5, frames, rows, torch.zeros(2, 3), truth, matte)
    extra = part.offsets(step)

    # The same from the features alone, with autograd.
    avatar = trainer.avatar
    shapes = avatar.blendshapes
    basis = shapes.basis.detach().clone().requires_grad_()
    features = frames.states.features
    whole = torch.einsum("bk,kmc->bmc", avatar.weights(features[rows]), basis)
    around = part._lids.rows(avatar.rig.triangles, shapes.count)
    assert all(len(each) > 10 for each in around)
    for eye, of_eye in zip(around, part._lids.mixed(features, rows, 4), strict=True):
        mine = torch.zeros(shapes.count, dtype=torch.bool).index_fill_(0, eye, True)
        alone = torch.einsum("bk,kmc->bmc", avatar.weights(of_eye), basis)
        whole = torch.where(mine[:, None], alone, whole)
    torch.testing.assert_close(extra, whole.detach(), rtol=1e-4, atol=1e-5)

    gradient = torch.linspace(-1, 1, extra.numel()).view_as(extra)
    extra.grad = gradient
    whole.backward(gradient)
    assert part._blended is not None
    weights = part._blended[0]
    found = torch.einsum("bk,bmc->kmc", weights, part._gradients(extra))
    torch.testing.assert_close(found, basis.grad, rtol=1e-4, atol=1e-4)
