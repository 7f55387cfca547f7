"""Expressions refined against an avatar: errors are corrected, within limits."""

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
from tests.avatar.refine.conftest import SIZE, Trained
from tests.avatar.refine.made_up import first


def refined(
    trained: Trained, few: TrainingFrames, values: Tensor, options: RefineOptions
) -> tuple[ExpressionFit, Controls]:
    """The fit of `few` from the controls `values`."""
    controls = Controls.of(trained.avatar.head)
    start = HeadStates.of(controls.write(few.states.params, values), trained.avatar.head)
    return refine_expressions(trained.avatar, Targets.of(few, SIZE), start, controls, options), controls


@pytest.mark.parametrize(("names", "remaining"), [(("jawOpen",), 0.3), (("mouthSmileLeft", "mouthSmileRight"), 0.8)])
def test_the_error_of_an_expression_is_reduced(
    trained: Trained, options: RefineOptions, names: tuple[str, ...], remaining: float
) -> None:
    few = first(trained.frames, 5)
    truth = Controls.of(trained.avatar.head).read(few.states.params)
    wrong, columns = truth.clone(), [NAMES.index(name) for name in names]
    wrong[:, columns] += torch.where(truth[:, columns] > 0.25, -0.25, 0.25)
    fit, _ = refined(trained, few, wrong, options)
    assert (fit.values - truth)[:, columns].abs().mean() < remaining * 0.25


def test_correct_expressions_hardly_change(trained: Trained, options: RefineOptions) -> None:
    few = first(trained.frames, 5)
    truth = Controls.of(trained.avatar.head).read(few.states.params)
    fit, _ = refined(trained, few, truth, options)
    assert (fit.values - truth).abs().mean() < 0.04
    assert fit.cost[1] <= fit.cost[0]


def test_limits_hold_for_initial_values_outside(trained: Trained, options: RefineOptions) -> None:
    few = first(trained.frames, 2)
    outside = Controls.of(trained.avatar.head).read(few.states.params) - 0.3
    outside[:, ::2] += 1.4
    fit, controls = refined(trained, few, outside, replace(options, expression_iterations=2))
    assert (fit.values >= controls.low).all() and (fit.values <= controls.high).all()


def test_a_large_anchor_weight_keeps_the_landmarks_values(trained: Trained, options: RefineOptions) -> None:
    few = first(trained.frames, 2)
    start = Controls.of(trained.avatar.head).read(few.states.params).clamp(0.1, 0.5)
    fit, _ = refined(trained, few, start, replace(options, pull=1e7))
    torch.testing.assert_close(fit.values, start, rtol=0, atol=1e-4)


def test_a_state_without_an_image_keeps_its_expression(trained: Trained, options: RefineOptions) -> None:
    few = first(trained.frames, 3)
    controls, targets = Controls.of(trained.avatar.head), Targets.of(few, SIZE).select(torch.tensor([0, 1]))
    fit = refine_expressions(trained.avatar, targets, few.states, controls, replace(options, expression_iterations=1))
    torch.testing.assert_close(fit.values[2], controls.read(few.states.params)[2], rtol=0, atol=1e-6)


def crop_of(trained: Trained, few: TrainingFrames) -> tuple[Targets, Targets, Tensor]:
    """The whole images, the crops of the faces, and the top left corners [m,2] of the crops."""
    whole = Targets.of(few, SIZE)
    face = face_crop(trained.avatar, whole, few.states, few.step)
    return whole, face, (whole.camera.K - face.camera.K)[:, :2, 2]


def test_a_crop_is_the_part_of_the_image_that_its_camera_shows(trained: Trained) -> None:
    whole, face, corner = crop_of(trained, first(trained.frames, 6))
    width, height = face.camera.width, face.camera.height
    for image, crop, (x, y) in zip(whole.rgb, face.rgb, corner.long().tolist(), strict=True):
        assert torch.equal(crop, image[y : y + height, x : x + width])


def test_the_projection_of_a_point_moves_by_the_corner_of_the_crop(trained: Trained) -> None:
    whole, face, corner = crop_of(trained, first(trained.frames, 6))
    point = torch.tensor([0.02, -0.03, -0.55, 1.0])
    spots = []
    for camera in (whole.camera, face.camera):
        seen = camera.K @ (camera.world_to_cam @ point)[:, :3, None]
        spots.append((seen[:, :2] / seen[:, 2:])[..., 0])
    torch.testing.assert_close(spots[1], spots[0] - corner)


def test_the_crop_contains_the_whole_mouth_and_both_eyes(trained: Trained) -> None:
    few = first(trained.frames, 6)
    _, face, _ = crop_of(trained, few)
    regions = trained.avatar.head.regions
    part = regions["lips"] | regions["left_eyeball"] | regions["right_eyeball"]
    world = few.states.vertices[:, part] @ few.states.rotation.transpose(1, 2) + few.states.translation[:, None]
    pixels = face.camera.project(world)
    assert pixels.min() >= 0
    assert (pixels <= torch.tensor([face.camera.width, face.camera.height])).all()


@pytest.mark.parametrize("aside", [(-0.25, 0.0), (0.25, 0.3), (1.5, 0.0)])
def test_the_crop_of_a_face_outside_the_image_stays_inside(trained: Trained, aside: tuple[float, float]) -> None:
    few = first(trained.frames, 3)
    shift = torch.tensor([*aside, 0.0])
    away = replace(few, states=replace(few.states, translation=few.states.translation + shift))
    _, face, corner = crop_of(trained, away)
    assert face.rgb.shape[1:3] == (face.camera.height, face.camera.width)
    assert (corner >= 0).all()
    assert (corner + torch.tensor(face.rgb.shape[2:0:-1]) <= SIZE).all()
