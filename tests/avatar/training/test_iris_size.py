"""The irises of a person get the size at which frames with open eyes show them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from avatar import ops
from avatar.data.training_frames import HeadStates
from avatar.head.load import load_head
from avatar.head.model import HeadModel
from avatar.model.avatar import bake_identity
from avatar.model.parts.eye_light import EYES
from avatar.ops.backend import kernels_on_threads
from avatar.training.iris_size import MIN_FRAMES, SIZES, size_errors, with_fitted_irises, with_iris_size
from avatar.types import LEFT_EYE, RIGHT_EYE, HeadParams
from tests.support.layer_film import FRAMES, filmed


@pytest.fixture(scope="module")
def head() -> HeadModel:
    built_in = load_head()
    return bake_identity(built_in, torch.zeros(built_in.shapedirs.shape[2]))


def glances(head: HeadModel, blink: float = 0.0) -> HeadParams:
    """Looks from one side to the other [FRAMES], half a meter before the camera."""
    params = head.neutral_params(FRAMES)
    joint_rot, expression = params.joint_rot.clone(), params.expression.clone()
    joint_rot[:, LEFT_EYE, 1] = joint_rot[:, RIGHT_EYE, 1] = torch.linspace(-0.3, 0.3, FRAMES)
    for name in ("eyeBlinkLeft", "eyeBlinkRight"):
        expression[:, head.expression_index(name)] = blink
    back = torch.tensor([[0.0, 0.0, -0.5]]).repeat(FRAMES, 1)
    return replace(params, joint_rot=joint_rot, expression=expression, translation=back)


def iris_radius(head: HeadModel) -> Tensor:
    """Distance of the rim of each iris from its middle, meters."""
    iris = head.mask("iris")
    points = [head.v_template[iris & head.mask(name)] for name in EYES]
    return torch.stack([(p - p.mean(0)).norm(dim=1).max() for p in points])


@pytest.mark.parametrize("size", [0.8, 1.2])
def test_irises_take_the_size_that_the_frames_show(head: HeadModel, size: float) -> None:
    person = with_iris_size(head, size)
    frames = filmed(head, person, glances(head))
    errors = size_errors(head, frames)
    assert errors is not None and SIZES[int(errors.argmin())] == pytest.approx(size)
    fitted, moved = with_fitted_irises(head, frames)
    torch.testing.assert_close(fitted.v_template, person.v_template, atol=1e-6, rtol=0)
    torch.testing.assert_close(moved.states.vertices, HeadStates.of(glances(head), person).vertices, atol=1e-6, rtol=0)


def test_only_the_front_of_the_eyeballs_changes_and_irises_scale(head: HeadModel) -> None:
    larger, smaller = with_iris_size(head, 1.2), with_iris_size(head, 0.8)
    assert bool((iris_radius(larger) > 1.15 * iris_radius(head)).all())
    assert bool((iris_radius(smaller) < 0.85 * iris_radius(head)).all())
    elsewhere = ~head.mask(*EYES)
    assert torch.equal(larger.v_template[elsewhere], head.v_template[elsewhere])
    torch.testing.assert_close(with_iris_size(head, 1.0).v_template, head.v_template, atol=1e-7, rtol=0)
    for name in EYES:
        eye = head.v_template[head.mask(name)]
        back = eye[:, 2] < eye[:, 2].mean() - 0.01
        turned = larger.v_template[head.mask(name)]
        assert bool(back.any())
        torch.testing.assert_close(turned[back], eye[back], atol=1e-6, rtol=0)


def test_irises_of_the_right_size_stay_as_they_are(head: HeadModel) -> None:
    frames = filmed(head, head, glances(head))
    fitted, same = with_fitted_irises(head, frames)
    assert fitted is head and same is frames


def test_a_size_beyond_those_compared_is_not_taken(head: HeadModel) -> None:
    frames = filmed(head, with_iris_size(head, SIZES[-1] + 0.2), glances(head))
    errors = size_errors(head, frames)
    assert errors is not None and int(np.argmin(errors)) == len(SIZES) - 1
    assert with_fitted_irises(head, frames)[0] is head


def test_closed_eyes_and_few_frames_say_nothing(head: HeadModel) -> None:
    closed = filmed(head, with_iris_size(head, 0.8), glances(head, blink=1.0))
    assert size_errors(head, closed) is None and with_fitted_irises(head, closed)[0] is head
    frames = filmed(head, with_iris_size(head, 0.8), glances(head))
    few = replace(frames, rgb=frames.rgb[: MIN_FRAMES - 1], step=frames.step[: MIN_FRAMES - 1])
    assert size_errors(head, few) is None


def test_errors_are_the_same_on_one_thread_and_two(head: HeadModel) -> None:
    frames = filmed(head, with_iris_size(head, 0.8), glances(head))
    errors = []
    for threads in (1, 2):
        with kernels_on_threads(threads), ops.one_thread():
            errors.append(size_errors(head, frames))
    assert errors[0] is not None and np.array_equal(*errors)


def test_a_head_without_irises_is_left_as_it_is(head: HeadModel) -> None:
    bare = replace(head, regions={name: mask for name, mask in head.regions.items() if name != "iris"})
    frames = filmed(head, head, glances(head))
    assert with_fitted_irises(bare, frames) == (bare, frames)
