"""Expressions refined against an avatar: wrong ones come back towards the truth, within limits."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from avatar.data.training_frames import HeadStates, TrainingFrames
from avatar.refine.controls import NAMES, Controls
from avatar.refine.expressions import ExpressionFit, face_crop, refine_expressions
from avatar.refine.options import RefineOptions
from avatar.refine.targets import Targets
from tests.avatar.refine.conftest import SIZE, Shown
from tests.avatar.refine.made_up import some


def refined(
    shown: Shown, few: TrainingFrames, values: Tensor, options: RefineOptions
) -> tuple[ExpressionFit, Controls]:
    """The fit of `few` from the controls `values`."""
    controls = Controls.of(shown.avatar.head)
    start = HeadStates.of(controls.write(few.states.params, values), shown.avatar.head)
    return refine_expressions(shown.avatar, Targets.of(few, SIZE), start, controls, options), controls


@pytest.mark.parametrize(("names", "left"), [(("jawOpen",), 0.3), (("mouthSmileLeft", "mouthSmileRight"), 0.65)])
def test_a_wrong_expression_comes_back_towards_the_truth(
    shown: Shown, options: RefineOptions, names: tuple[str, ...], left: float
) -> None:
    few = some(shown.frames, 5)
    truth = Controls.of(shown.avatar.head).read(few.states.params)
    wrong, columns = truth.clone(), [NAMES.index(name) for name in names]
    wrong[:, columns] += torch.where(truth[:, columns] > 0.25, -0.25, 0.25)
    fit, _ = refined(shown, few, wrong, options)
    assert (fit.values - truth)[:, columns].abs().mean() < left * 0.25


def test_right_expressions_hardly_move(shown: Shown, options: RefineOptions) -> None:
    few = some(shown.frames, 5)
    truth = Controls.of(shown.avatar.head).read(few.states.params)
    fit, _ = refined(shown, few, truth, options)
    assert (fit.values - truth).abs().mean() < 0.04
    assert fit.cost[1] <= fit.cost[0]


def test_limits_are_kept_even_from_outside(shown: Shown, options: RefineOptions) -> None:
    few = some(shown.frames, 2)
    outside = Controls.of(shown.avatar.head).read(few.states.params) - 0.3
    outside[:, ::2] += 1.4
    fit, controls = refined(shown, few, outside, replace(options, expression_iterations=2))
    assert (fit.values >= controls.low).all() and (fit.values <= controls.high).all()


def test_a_strong_pull_keeps_the_landmarks_values(shown: Shown, options: RefineOptions) -> None:
    few = some(shown.frames, 2)
    start = Controls.of(shown.avatar.head).read(few.states.params).clamp(0.1, 0.5)
    fit, _ = refined(shown, few, start, replace(options, pull=1e7))
    torch.testing.assert_close(fit.values, start, rtol=0, atol=1e-4)


def test_a_state_without_a_picture_keeps_its_expression(shown: Shown, options: RefineOptions) -> None:
    few = some(shown.frames, 3)
    controls, targets, seen = Controls.of(shown.avatar.head), Targets.of(few, SIZE), torch.tensor([0, 1])
    fewer = Targets(targets.rgb[seen], few.views(seen), targets.step[seen], targets.weight[seen], targets.dilation)
    fit = refine_expressions(shown.avatar, fewer, few.states, controls, replace(options, expression_iterations=1))
    torch.testing.assert_close(fit.values[2], controls.read(few.states.params)[2], rtol=0, atol=1e-6)


def crop_of(shown: Shown, few: TrainingFrames) -> tuple[Targets, Targets, Tensor]:
    """The whole pictures, those of the faces, and the corners [m,2] that the crop took away."""
    whole = Targets.of(few, SIZE)
    face = face_crop(shown.avatar, whole, few.states, few.step)
    return whole, face, (whole.camera.K - face.camera.K)[:, :2, 2]


def test_a_face_is_cut_out_where_its_camera_says(shown: Shown) -> None:
    whole, face, corner = crop_of(shown, some(shown.frames, 6))
    width, height = face.camera.width, face.camera.height
    for picture, cut, (x, y) in zip(whole.rgb, face.rgb, corner.long().tolist(), strict=True):
        assert torch.equal(cut, picture[y : y + height, x : x + width])


def test_a_point_is_seen_at_the_same_place_less_the_corner(shown: Shown) -> None:
    whole, face, corner = crop_of(shown, some(shown.frames, 6))
    point = torch.tensor([0.02, -0.03, -0.55, 1.0])
    spots = []
    for camera in (whole.camera, face.camera):
        seen = camera.K @ (camera.world_to_cam @ point)[:, :3, None]
        spots.append((seen[:, :2] / seen[:, 2:])[..., 0])
    torch.testing.assert_close(spots[1], spots[0] - corner)


def test_the_cut_holds_the_whole_mouth_and_both_eyes(shown: Shown) -> None:
    few = some(shown.frames, 6)
    _, face, _ = crop_of(shown, few)
    regions = shown.avatar.head.regions
    part = regions["lips"] | regions["left_eyeball"] | regions["right_eyeball"]
    world = few.states.vertices[:, part] @ few.states.rotation.transpose(1, 2) + few.states.translation[:, None]
    view = face.camera.world_to_cam
    seen = (world @ view[:, :3, :3].transpose(1, 2) + view[:, None, :3, 3]) @ face.camera.K.transpose(1, 2)
    spots = seen[..., :2] / seen[..., 2:]
    assert spots.min() >= 0
    assert (spots <= torch.tensor([face.camera.width, face.camera.height])).all()


@pytest.mark.parametrize("aside", [(-0.25, 0.0), (0.25, 0.3), (1.5, 0.0)])
def test_a_face_that_leaves_the_picture_is_cut_at_its_edge(shown: Shown, aside: tuple[float, float]) -> None:
    few = some(shown.frames, 3)
    shift = torch.tensor([*aside, 0.0])
    away = replace(few, states=replace(few.states, translation=few.states.translation + shift))
    _, face, corner = crop_of(shown, away)
    assert face.rgb.shape[1:3] == (face.camera.height, face.camera.width)
    assert (corner >= 0).all()
    assert (corner + torch.tensor(face.rgb.shape[2:0:-1]) <= SIZE).all()
