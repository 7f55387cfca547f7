"""Editing motions: invariants of resampling, trimming, smoothing and gain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar.errors import HeadsplatError
from avatar.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle, mean_rotation
from avatar.motion.edit import gain, gaps, resample, smooth, trim
from avatar.types import JAW, NECK, ROOT, Motion

NAMES = ("jawOpen", "mouthSmileLeft", "browInnerUp", "eyeBlinkLeft")
FEW = settings(max_examples=25, deadline=None, derandomize=True)


def wave(times: np.ndarray, hertz: float = 0.5) -> Motion:
    """A motion whose values oscillate at `hertz`, sampled at `times`."""
    time = torch.from_numpy(np.asarray(times, np.float64))
    swing = torch.sin(2 * torch.pi * hertz * time)[:, None]
    weights = 0.5 + 0.4 * swing * torch.tensor([1.0, 0.5, -1.0, 0.2], dtype=torch.float64)
    joint_rot = 0.8 * swing[:, :, None] * torch.ones(1, 5, 3, dtype=torch.float64)
    return Motion(time, NAMES, weights, "arkit52", joint_rot, 0.1 * swing.expand(-1, 3))


def constant(times: np.ndarray) -> Motion:
    first = wave(np.array([0.3]))
    count = len(times)
    return replace(
        first,
        time=torch.from_numpy(np.asarray(times, np.float64)),
        weights=first.weights.repeat(count, 1),
        joint_rot=first.joint_rot.repeat(count, 1, 1),
        translation=first.translation.repeat(count, 1),
    )


def matrices(motion: Motion) -> torch.Tensor:
    return axis_angle_to_matrix(motion.joint_rot)


uneven = st.lists(st.floats(0.005, 0.08), min_size=3, max_size=40).map(lambda steps: 100 + np.cumsum([0.0, *steps]))


@FEW
@given(uneven, st.floats(3, 120))
def test_resampled_frames_are_exactly_at_their_times_and_never_after_the_end(times: np.ndarray, fps: float) -> None:
    found = resample(wave(times), fps).time.numpy()
    assert np.array_equal(found, times[0] + np.arange(len(found)) / fps)
    assert times[-1] - 1 / fps < found[-1] <= times[-1] + 1e-6


@FEW
@given(uneven, st.floats(3, 120), st.floats(0, 1))
def test_constant_values_stay_constant(times: np.ndarray, fps: float, seconds: float) -> None:
    steady = constant(times)
    for edited in (resample(steady, fps), smooth(steady, seconds)):
        assert torch.allclose(edited.weights, steady.weights[:1].expand(len(edited), -1), atol=1e-9)
        assert torch.allclose(matrices(edited), matrices(steady)[:1].expand(len(edited), 5, 3, 3), atol=1e-7)
        assert torch.allclose(edited.translation, steady.translation[:1].expand(len(edited), 3), atol=1e-9)


def test_a_tiny_window_changes_nothing() -> None:
    motion = wave(np.arange(9) / 30)
    assert torch.equal(smooth(motion, 5e-324).weights, motion.weights)


@pytest.mark.parametrize("fps", [24.0, 59.94, 120.0])
def test_resampling_twice_is_nearly_the_identity_for_smooth_motion(fps: float) -> None:
    motion = wave(np.arange(120) / 30)
    back = resample(resample(motion, fps), 30.0)
    count = len(back)
    assert count >= 119
    assert (back.weights - motion.weights[:count]).abs().max() < 0.005
    assert (matrices(back) - matrices(motion)[:count]).abs().max() < 0.02


def turned(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Angles between rotations, radians."""
    return matrix_to_axis_angle(left.mT @ right).norm(dim=-1)


@FEW
@given(uneven)
def test_resampled_rotations_lie_on_the_arc_between_their_neighbors(times: np.ndarray) -> None:
    turns = torch.from_numpy(np.random.default_rng(len(times)).normal(0, 2, (len(times), 5, 3)))
    motion = replace(wave(times), joint_rot=turns)
    found = resample(motion, 1 / float(np.diff(times).min()) + 1)  # never slower than the motion: nothing is smoothed
    after = np.searchsorted(times, found.time.numpy(), side="right").clip(1, len(times) - 1)
    rotation, before, behind = matrices(found), matrices(motion)[after - 1], matrices(motion)[after]
    assert torch.allclose(turned(before, rotation) + turned(rotation, behind), turned(before, behind), atol=1e-5)


def test_jitter_above_the_new_rate_is_not_aliased() -> None:
    times = np.arange(240) / 60
    shake = torch.cos(2 * torch.pi * 29 * torch.from_numpy(times))[:, None]
    shaking = replace(wave(times), weights=0.5 + 0.3 * shake.expand(-1, 4))
    assert (resample(shaking, 15.0).weights - 0.5).abs()[2:-2].max() < 0.03


def test_frames_without_a_face_are_interpolated_and_stay_marked() -> None:
    motion = wave(np.arange(20) / 20, hertz=0.1)
    confidence = torch.ones(20)
    confidence[8:12] = 0
    lost = replace(motion, confidence=confidence, weights=motion.weights.clone())
    lost.weights[8:12] = 9.0
    found = resample(lost, 40.0)
    assert found.weights.max() < 1
    assert (resample(motion, 40.0).weights - found.weights).abs().max() < 0.01
    marked = found.time[found.confidence == 0] * 20
    assert len(marked) >= 7 and marked.min() >= 7.5 and marked.max() <= 11.5


@pytest.mark.parametrize(("fps", "sentence"), [(0.0, "above 0 fps, got 0"), (1e9, "give a lower rate or trim")])
def test_an_invalid_rate_is_refused(fps: float, sentence: str) -> None:
    with pytest.raises(HeadsplatError, match=sentence):
        resample(wave(np.arange(30) / 30), fps)


def test_trimming_keeps_the_times_of_the_frames_inside() -> None:
    motion = wave(5 + np.arange(30) / 10)
    assert torch.equal(trim(motion, 1.0, 2.0).time, motion.time[10:20])
    assert len(trim(motion)) == 30
    with pytest.raises(HeadsplatError, match=r"no frame from 4 s on; the motion lasts 2\.900 s"):
        trim(motion, 4.0)


@FEW
@given(uneven, st.floats(0.02, 0.5))
def test_smoothing_keeps_straight_lines_at_any_times(times: np.ndarray, seconds: float) -> None:
    linear = wave(times)
    line = (linear.time - times[0])[:, None]
    linear = replace(linear, weights=line * torch.ones(4), joint_rot=0.2 * line[:, :, None] * torch.ones(1, 5, 3))
    found = smooth(linear, seconds)
    assert torch.allclose(found.weights, linear.weights, atol=1e-6)
    assert torch.allclose(found.joint_rot, linear.joint_rot, atol=1e-5)


def test_smoothing_has_no_delay_and_the_given_width() -> None:
    spike = constant(np.arange(101) / 100)
    spike.weights[:] = 0
    spike.weights[50] = 1
    found = smooth(spike, 0.1).weights[:, 0]
    assert torch.allclose(found, found.flip(0), atol=1e-9)
    wide = (found > found.max() / 2).sum() / 100
    assert 0.08 <= wide <= 0.12


def test_a_blink_longer_than_the_window_keeps_its_depth() -> None:
    blink = constant(np.arange(121) / 60)
    blink.weights[:] = 0
    blink.weights[54:66] = 1
    assert smooth(blink, 0.05).weights[60].min() > 0.98


def test_smoothing_averages_rotations_across_half_a_turn() -> None:
    motion = constant(np.arange(41) / 40)
    around = 3.1 + 0.2 * torch.from_numpy(np.random.default_rng(0).normal(0, 1, 41))
    turns = torch.zeros(41, 5, 3, dtype=torch.float64)
    turns[:, ROOT, 1] = around
    motion = replace(motion, joint_rot=matrix_to_axis_angle(axis_angle_to_matrix(turns)))
    middle = mean_rotation(matrices(motion)[:, ROOT])
    away = matrix_to_axis_angle(matrices(smooth(motion, 0.4))[:, ROOT] @ middle.T).norm(dim=-1)
    assert away.max() < 0.3


@FEW
@given(uneven)
def test_gain_of_one_changes_nothing(times: np.ndarray) -> None:
    motion = wave(times)
    found = gain(motion, {"mouth": 1.0, "head": 1.0, "jaw": 1.0, "eyeBlinkLeft": 1.0})
    assert torch.equal(found.weights, motion.weights)
    assert torch.allclose(matrices(found), matrices(motion), atol=1e-6)
    assert torch.allclose(found.translation, motion.translation, atol=1e-12)


def test_gain_scales_a_name_a_group_and_its_joints_and_nothing_else() -> None:
    motion = wave(np.arange(10) / 10)
    found = gain(motion, {"jaw": 2.0, "mouthSmileLeft": 0.5})
    assert torch.allclose(found.weights, motion.weights * torch.tensor([2.0, 0.5, 1.0, 1.0]))
    assert torch.allclose(found.joint_rot[:, JAW], 2 * motion.joint_rot[:, JAW])
    assert torch.equal(found.joint_rot[:, NECK], motion.joint_rot[:, NECK])


def test_head_gain_of_zero_stops_the_head() -> None:
    found = gain(wave(np.arange(40) / 20), {"head": 0.0})
    assert (matrices(found)[:, ROOT] - matrices(found)[:1, ROOT]).abs().max() < 1e-6
    assert found.joint_rot[:, NECK].abs().max() == 0 and found.translation.std(0).max() < 1e-9


@pytest.mark.parametrize(("name", "hint"), [("moth", "did you mean mouth?"), ("smile", "did you mean mouthSmileLeft?")])
def test_gain_of_an_unknown_name_suggests_one(name: str, hint: str) -> None:
    with pytest.raises(HeadsplatError) as caught:
        gain(wave(np.arange(3) / 3), {name: 2.0})
    assert hint in str(caught.value)


def test_gaps_are_found_where_frames_are_missing() -> None:
    times = np.concatenate([np.arange(30), np.arange(60, 90)]) / 30
    assert gaps(wave(times)) == [(pytest.approx(29 / 30), pytest.approx(31 / 30))]


def test_resampling_a_range_starts_at_its_start_and_excludes_its_end() -> None:
    found = resample(wave(5 + np.arange(80) / 29.982), 60.0, 0.5, 2.5)
    assert np.allclose(found.time.numpy(), 5.5 + np.arange(120) / 60, atol=1e-9)


def test_interpolated_gaps_within_the_range_are_noted() -> None:
    times = np.concatenate([np.arange(10) / 30, 2 + np.arange(10) / 30, 3 + np.arange(30) / 30])
    assert resample(wave(times), 30.0).notes == ("2 gaps of up to 1.70 s are interpolated",)
    assert resample(wave(times), 30.0, 2.5).notes == ("1 gap of 0.70 s is interpolated",)
    assert resample(wave(times), 30.0, 3.0).notes == ()


@pytest.mark.parametrize("edit", [trim, lambda motion, *span: resample(motion, 30.0, *span)])
def test_a_range_that_ends_before_it_starts_is_refused(edit: Callable[..., Motion]) -> None:
    with pytest.raises(HeadsplatError, match="no time from 2 to 1 s: the end is not after the start"):
        edit(wave(np.arange(90) / 30), 2.0, 1.0)
