"""Controls: which expression weights are refined, and their conversion to head parameters and back."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from avatar.head import load_head
from avatar.head.model import HeadModel
from avatar.refine.controls import GAZE, NAMES, STRONGEST, Controls
from avatar.types import JOINT_NAMES, LEFT_EYE, RIGHT_EYE, HeadParams
from tests.avatar.motion.made_up import flame_head


def modes_head() -> HeadModel:
    """A head whose expressions are numbered, like FLAME's."""
    head = flame_head()
    modes = [index for index, name in enumerate(head.expression_names) if name.startswith("expr")]
    return replace(
        head,
        exprdirs=head.exprdirs[:, :, modes],
        joint_dirs=head.joint_dirs[:, :, modes],
        expression_names=tuple(head.expression_names[index] for index in modes),
    )


def params(head: HeadModel, count: int = 3) -> HeadParams:
    source = torch.Generator().manual_seed(0)
    expression = torch.rand(count, len(head.expression_names), generator=source)
    joints = 0.1 * torch.randn(count, len(JOINT_NAMES), 3, generator=source)
    return HeadParams(torch.zeros(0), expression, joints, torch.zeros(count, 3))


def test_controls_of_the_embedded_head_are_lips_lids_and_brows_by_name() -> None:
    head = load_head()
    assert [head.expression_names[column] for column in Controls.of(head).columns] == list(NAMES)


def test_controls_of_a_head_with_numbered_expressions_are_the_strongest() -> None:
    head = modes_head()
    size = head.expression_motion().square().sum((0, 1))
    columns = Controls.of(head).columns
    others = [column for column in range(len(size)) if column not in columns.tolist()]
    assert len(columns) == STRONGEST
    assert size[columns].min() >= size[others].max()


def test_limits_are_those_of_the_head_and_of_the_gaze() -> None:
    head = modes_head()
    controls = Controls.of(head)
    assert controls.low.tolist() == pytest.approx([-3.0] * STRONGEST + [-0.6] * GAZE)
    assert controls.high.tolist() == pytest.approx([3.0] * STRONGEST + [0.6] * GAZE)


def test_lids_and_jaw_may_move_faster_than_brows() -> None:
    controls = Controls.of(load_head())
    sigma = {name: float(controls.sigma[index]) for index, name in enumerate(NAMES)}
    assert sigma["eyeBlinkLeft"] > sigma["jawOpen"] > sigma["browInnerUp"]


@pytest.mark.parametrize("head", [load_head, modes_head])
def test_written_values_are_read_back(head) -> None:  # type: ignore[no-untyped-def]
    controls, before = Controls.of(head()), params(head())
    values = controls.read(before) + 0.05 * torch.arange(len(controls))
    torch.testing.assert_close(controls.read(controls.write(before, values)), values)


def test_writing_values_that_were_read_changes_nothing() -> None:
    controls, before = Controls.of(load_head()), params(load_head())
    after = controls.write(before, controls.read(before))
    assert torch.equal(after.expression, before.expression) and torch.equal(after.joint_rot, before.joint_rot)


def test_writing_keeps_other_parameters_and_the_angle_between_the_eyes() -> None:
    controls, before = Controls.of(load_head()), params(load_head())
    after = controls.write(before, controls.read(before) + 0.1)
    rest = torch.ones(before.expression.shape[1], dtype=torch.bool)
    rest[controls.columns] = False
    assert torch.equal(after.expression[:, rest], before.expression[:, rest])
    others = [joint for joint in range(len(JOINT_NAMES)) if joint not in (LEFT_EYE, RIGHT_EYE)]
    assert torch.equal(after.joint_rot[:, others], before.joint_rot[:, others])
    angle = (each.joint_rot[:, LEFT_EYE] - each.joint_rot[:, RIGHT_EYE] for each in (before, after))
    torch.testing.assert_close(*angle)
