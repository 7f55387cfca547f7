"""Acceptance of refined states by the regions of the head."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from avatar.data.training_frames import HeadStates, TrainingFrames
from avatar.evaluation.frame_rendering import render_avatar_frame
from avatar.refine.acceptance import REGIONS, RegionJudge, accept_changes, halfway, nowhere_worse, region_masks
from avatar.refine.clip import refine_clip
from avatar.refine.options import RefineOptions
from tests.avatar.refine.conftest import SIZE, Trained
from tests.avatar.refine.made_up import first, wrong

MOUTH = REGIONS.index("mouth")


def changed(trained: Trained, states: HeadStates, name: str, value: float) -> HeadStates:
    """`states` with another weight of the expression `name`, in the same poses."""
    expression = states.params.expression.clone()
    expression[:, trained.avatar.head.expression_index(name)] = value
    result = HeadStates.of(replace(states.params, expression=expression), trained.avatar.head)
    return replace(result, rotation=states.rotation, translation=states.translation, torso=states.torso)


def with_mouth_open(trained: Trained, states: HeadStates) -> HeadStates:
    """`states` with an open jaw."""
    return changed(trained, states, "jawOpen", 1.0)


def test_a_region_may_be_worse_by_the_tolerance_only() -> None:
    before = np.array([[20.0, 20.0], [20.0, 20.0], [20.0, np.nan]])
    after = np.array([[19.6, 30.0], [19.4, 30.0], [20.0, np.nan]])
    assert nowhere_worse(before, after, 0.5).tolist() == [True, False, True]


def test_regions_lie_in_the_head_and_do_not_overlap(trained: Trained) -> None:
    few = first(trained.frames, 2)
    for mouth, eyes, head, hair in region_masks(trained.avatar.head, few, few.states, torch.arange(2)):
        assert mouth.any() and eyes.any() and hair.any()
        assert (head | ~(mouth | eyes)).all()
        assert not (mouth & eyes).any() and not (hair & (mouth | eyes)).any()
        assert np.argwhere(mouth)[:, 0].mean() > np.argwhere(eyes)[:, 0].mean() > np.argwhere(hair)[:, 0].mean()


def test_a_wrong_mouth_lowers_the_score_of_the_mouth(trained: Trained) -> None:
    few = first(trained.frames, 3)
    rows = torch.arange(3)
    true, moved = (
        RegionJudge(trained.avatar, few, few.states).scores(states, rows)
        for states in (few.states, with_mouth_open(trained, few.states))
    )
    assert (moved[:, MOUTH] < true[:, MOUTH] - 1).all()


def test_a_state_has_the_same_scores_in_any_company(trained: Trained) -> None:
    few = first(trained.frames, 11)
    every = RegionJudge(trained.avatar, few, few.states).scores(few.states, torch.arange(11))
    some = RegionJudge(trained.avatar, few, few.states).scores(few.states, torch.tensor([9, 2]))
    assert np.array_equal(some, every[[9, 2]])


def test_outlines_are_reused_with_equal_scores(trained: Trained) -> None:
    few, rows = first(trained.frames, 3), torch.arange(3)
    moved = with_mouth_open(trained, few.states)
    judge = RegionJudge(trained.avatar, few, few.states)
    judge.scores(few.states, rows)
    fresh = RegionJudge(trained.avatar, few, few.states)
    assert np.array_equal(judge.scores(moved, rows), fresh.scores(moved, rows))


def psnr_of(trained: Trained, frames: TrainingFrames, states: HeadStates) -> float:
    """PSNR over all pixels of all images."""
    shown = replace(frames, states=states)
    images = [render_avatar_frame(trained.avatar, shown, index)[0] for index in range(len(frames))]
    matte = frames.alpha.numpy()[..., None] / 255
    truth = frames.rgb.numpy() / 255 * matte + 1 - matte
    return float(-10 * np.log10(np.square(np.stack(images) - truth).mean()))


def test_a_gain_of_the_whole_frame_that_harms_the_mouth_is_rejected(trained: Trained) -> None:
    few = first(trained.frames, 2)
    start = wrong(few.states, 0.5, 0.004, 0.01)
    broken = with_mouth_open(trained, few.states)  # the true pose, the wrong mouth
    assert psnr_of(trained, few, broken) > psnr_of(trained, few, start) + 0.5
    found, reverted = accept_changes(trained.avatar, few, start, broken, [few.states], 0.5)
    assert reverted.all()
    assert torch.equal(found.params.expression, few.states.params.expression)
    assert torch.equal(found.rotation, few.states.rotation)


def test_without_anything_better_the_initial_state_stays(trained: Trained) -> None:
    few = first(trained.frames, 4)
    broken = wrong(with_mouth_open(trained, few.states), 6.0)
    found, reverted = accept_changes(trained.avatar, few, few.states, broken, [broken], 0.5)
    assert reverted.all()
    assert torch.equal(found.rotation, few.states.rotation) and torch.equal(found.vertices, few.states.vertices)


def test_controls_of_the_mouth_alone_are_taken_back_where_they_make_it_worse(trained: Trained) -> None:
    few = first(trained.frames, 2)
    start = wrong(few.states, 0.5, 0.004, 0.01)
    found, reverted = accept_changes(trained.avatar, few, start, with_mouth_open(trained, few.states), [], 0.5)
    assert reverted.all()
    assert torch.equal(found.params.expression, few.states.params.expression)  # the mouth as at the start
    assert torch.equal(found.rotation, few.states.rotation)  # the pose as refined


def test_a_state_is_also_tried_halfway(trained: Trained) -> None:
    few = first(trained.frames, 4)
    start, far = wrong(few.states, 1.5, 0.0, 0.0), wrong(few.states, -1.5, 0.0, 0.0)
    middle = halfway(trained.avatar.head, start, far)
    torch.testing.assert_close(middle.rotation, few.states.rotation, rtol=0, atol=1e-5)
    torch.testing.assert_close(middle.translation, few.states.translation)


def test_states_that_make_nothing_worse_are_accepted_as_they_are(trained: Trained) -> None:
    few = first(trained.frames, 4)
    found, reverted = accept_changes(trained.avatar, few, wrong(few.states, 4.0), few.states, [], 0.5)
    assert not reverted.any() and found.rotation is few.states.rotation


def test_a_wrong_torso_is_taken_back_alone(trained: Trained) -> None:
    few = first(trained.frames, 3)
    pose = trained.avatar.rig.torso(few.states.rotation, few.states.translation)
    far = replace(few.states, torso=replace(pose, translation=pose.translation + torch.tensor([0.0, 0.12, 0.0])))
    found, reverted = accept_changes(trained.avatar, few, few.states, far, [], 0.2)
    assert reverted.all() and found.torso is not None
    torch.testing.assert_close(found.torso.translation, pose.translation)


def test_refinement_leaves_no_region_of_a_frame_worse(trained: Trained) -> None:
    few = first(trained.frames, 4)
    bad = replace(few, states=wrong(few.states, 2.0))
    options = RefineOptions(size=SIZE, expression_size=SIZE, accept_loss=0.2)
    found = refine_clip(trained.avatar, bad, options)
    rows = torch.arange(4)
    before = RegionJudge(trained.avatar, bad, bad.states).scores(bad.states, rows)
    after = RegionJudge(trained.avatar, bad, bad.states).scores(found.states, rows)
    assert (after > before - 0.4).all()  # the torso and the head may each lose 0.2
    assert np.nanmean(after - before) > 1
