"""Acting: seeds, blinks, gaze, brows and head of a speaking face."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from avatar.head.arkit import ARKIT_52
from avatar.performance.speech.acting import (
    AT_ZERO,
    HEAD_LIMIT,
    PER_DEGREE,
    accents,
    gaze_weights,
    saccades,
    speaking_at,
)
from avatar.performance.speech.pulses import add_pulse, minimum_jerk
from avatar.performance.speech.speaking import SpeakOptions, speak
from avatar.performance.speech.style import SpeakingStyle
from avatar.types import ROOT
from tests.support.scripted_speech import SENTENCE, scripted, weight

MINUTE = scripted(" ".join([SENTENCE] * 24))
MOUTH = [column for column, name in enumerate(ARKIT_52) if name.startswith(("jaw", "mouth", "tongue", "cheekPuff"))]


def test_the_same_seed_gives_the_same_bits() -> None:
    speech = scripted(SENTENCE)
    first, second = (speak(speech, SpeakOptions(seed=7)) for _ in range(2))
    assert (first.weights == second.weights).all() and (first.joint_rot == second.joint_rot).all()


def test_another_seed_acts_differently_with_the_same_mouth() -> None:
    first, second = (speak(MINUTE, SpeakOptions(seed=seed)) for seed in (1, 2))
    assert (first.weights[:, MOUTH] == second.weights[:, MOUTH]).all()
    for name in ("eyeBlinkLeft", "eyeLookDownLeft", "browInnerUp"):
        assert np.abs(weight(first, name) - weight(second, name)).max() > 0.05
    assert (first.joint_rot - second.joint_rot).abs().max() > 0.01


def test_without_acting_only_the_mouth_moves() -> None:
    motion = speak(MINUTE, SpeakOptions(acting=0))
    others = [column for column in range(len(ARKIT_52)) if column not in MOUTH]
    assert motion.weights[:, others].abs().max() == 0 and motion.joint_rot.abs().max() == 0


def test_acting_does_not_move_the_mouth() -> None:
    still, acted = (speak(MINUTE, SpeakOptions(acting=acting)) for acting in (0.0, 1.5))
    assert (still.weights[:, MOUTH] == acted.weights[:, MOUTH]).all()


def blinks(motion_weight: np.ndarray) -> list[tuple[int, int]]:
    edges = np.diff(np.concatenate(([False], motion_weight > 0.01, [False])).astype(int))
    return list(zip(np.flatnonzero(edges > 0), np.flatnonzero(edges < 0), strict=True))


def test_blinks_come_at_about_the_rate_of_the_style() -> None:
    rates = [len(blinks(weight(speak(MINUTE, SpeakOptions(seed=seed)), "eyeBlinkLeft"))) for seed in range(6)]
    per_minute = float(np.mean(rates)) * 60 / MINUTE.seconds
    assert 12 < per_minute < 24


def test_lids_close_faster_than_they_open() -> None:
    lid = weight(speak(MINUTE, SpeakOptions(fps=240)), "eyeBlinkLeft")
    found = blinks(lid)[1:-1]
    closing = [start + lid[start:end].argmax() - start for start, end in found]
    opening = [end - start - lid[start:end].argmax() for start, end in found]
    assert np.mean(closing) < 0.6 * np.mean(opening)
    assert all(0.15 < (end - start) / 240 < 0.5 for start, end in found)


def test_blinks_are_drawn_to_the_ends_of_phrases() -> None:
    ends = np.array([phone.start for phone in MINUTE.phones if phone.name == "SIL"])
    near = []
    for seed in range(5):
        starts = np.array(
            [start / 60 for start, _ in blinks(weight(speak(MINUTE, SpeakOptions(seed=seed)), "eyeBlinkLeft"))]
        )
        near += [np.abs(ends - start).min() < 0.2 for start in starts]
    chance = 0.4 * len(ends) / MINUTE.seconds
    assert np.mean(near) > chance + 0.1


def test_the_head_stays_within_its_limits_and_moves_smoothly() -> None:
    motion = speak(MINUTE, SpeakOptions(fps=120, acting=1.5))
    degrees = np.rad2deg(motion.joint_rot[:, ROOT].numpy())
    assert (np.abs(degrees).max(0) <= HEAD_LIMIT).all() and degrees.std(0).min() > 0.3
    assert np.abs(np.diff(degrees, 2, axis=0)).max() * 120**2 < 800  # degrees per second squared


def test_the_head_rests_in_a_long_pause() -> None:
    speech = scripted(SENTENCE + " SIL:8")
    speeds = []
    for seed in range(4):
        degrees = np.rad2deg(speak(speech, SpeakOptions(seed=seed)).joint_rot[:, ROOT].numpy())
        speed = np.linalg.norm(np.diff(degrees, axis=0), axis=1)
        speeds.append((speed[:120].mean(), speed[-360:].mean()))
    spoken, silent = np.mean(speeds, 0)
    assert silent < 0.5 * spoken


def test_nods_and_brows_come_with_accents() -> None:
    marks = accents(MINUTE)
    assert len(marks) > 10
    raised = np.zeros(0)
    for seed in range(4):
        brow = weight(speak(MINUTE, SpeakOptions(seed=seed)), "browInnerUp")
        raised = np.append(raised, [brow[round(mark.time * 60)] for mark in marks])
    anywhere = brow.mean()
    assert raised.mean() > 1.3 * anywhere


def test_accents_are_stressed_vowels_that_are_apart() -> None:
    times = [mark.time for mark in accents(MINUTE)]
    middles = {(phone.start + phone.end) / 2 for phone in MINUTE.phones if phone.stress == 1}
    assert np.diff(times).min() >= 0.45 - 1e-9 and set(times) <= middles


def test_nobody_speaks_in_a_long_pause() -> None:
    times = np.array([0.2, 1.5, 2.8])
    assert speaking_at(scripted("AA1:.6 SIL:2 AA1:.6"), times).tolist() == [1, 0, 1]


def test_saccades_follow_the_main_sequence() -> None:
    times = np.arange(0, MINUTE.seconds, 0.001)
    gaze = saccades(MINUTE, times, np.random.default_rng(0))
    moving = np.linalg.norm(np.diff(gaze, axis=0), axis=1) > 1e-9
    edges = np.diff(np.concatenate(([False], moving, [False])).astype(int))
    spans = list(zip(np.flatnonzero(edges > 0), np.flatnonzero(edges < 0), strict=True))
    assert len(spans) > 20
    for start, end in spans:
        size = float(np.linalg.norm(gaze[end] - gaze[start]))
        assert (end - start) / 1000 == pytest.approx(AT_ZERO + PER_DEGREE * size, abs=0.003)


def test_eyes_stay_on_the_listener_while_the_head_turns() -> None:
    head = np.array([[4.0, 6.0, 0.0]])
    weights = gaze_weights(np.zeros((1, 2)), head)
    assert weights["eyeLookUpLeft"][0] > 0.1 and weights["eyeLookInLeft"][0] > 0.1
    assert weights["eyeLookOutLeft"][0] == 0 and weights["eyeLookDownRight"][0] == 0


def test_the_blink_rate_of_a_style_is_used() -> None:
    slow, fast = (
        len(blinks(weight(speak(MINUTE, SpeakOptions(style=SpeakingStyle(blink_rate=rate))), "eyeBlinkLeft")))
        for rate in (6, 40)
    )
    assert fast > 3 * slow


def test_a_still_head_of_a_style_is_used() -> None:
    style = dataclasses.replace(SpeakingStyle(), head_degrees=(0.1, 0.1, 0.1), head_mean=(2.0, 0.0, 0.0))
    degrees = np.rad2deg(speak(scripted("SIL:5"), SpeakOptions(style=style)).joint_rot[:, ROOT].numpy())
    assert degrees[:, 0].mean() == pytest.approx(2, abs=0.2) and degrees.std(0).max() < 0.2


def test_a_pulse_rises_stays_and_falls() -> None:
    values, times = np.zeros(101), np.arange(101) / 100
    add_pulse(values, times, 0.1, (0.2, 0.1, 0.4), 2.0)
    assert values[10] == 0 and values[35] == pytest.approx(2) and values[20] == pytest.approx(1) and values[85] == 0


def test_a_minimum_jerk_step_is_flat_at_both_ends() -> None:
    part = np.linspace(-0.5, 1.5, 2001)
    slope = np.gradient(minimum_jerk(part), part)
    assert np.abs(np.diff(slope)).max() < 0.01 and slope[0] == slope[-1] == 0
