"""Lip closures: found in speech, and kept in a mix."""

from __future__ import annotations

import numpy as np
import pytest

from avatar.performance.mixing.closures import ClosureOptions, closed_frames, keep_closures, runs
from avatar.performance.mixing.mouth import mouth_model
from avatar.performance.mixing.regions import NAMES
from tests.avatar.performance.mixing.made_up import padded, talking

FPS = 60.0


def spoken() -> np.ndarray:
    return padded(talking(fps=FPS))


def test_runs_are_found_up_to_both_ends() -> None:
    assert runs(np.array([1, 1, 0, 0, 1], bool)) == [(0, 2), (4, 5)]
    assert runs(np.zeros(3, bool)) == []


def test_closures_are_where_the_lips_meet() -> None:
    gap = mouth_model().gap(spoken())
    closed = closed_frames(gap, np.ones(len(gap), bool), FPS, ClosureOptions())
    assert len(runs(closed)) >= 9 and (gap[closed] < 0.6).all() and (gap[~closed] > 0.5).all()


def test_a_tracked_mouth_that_never_quite_closes_has_closures_too() -> None:
    gap = mouth_model().gap(spoken()) + 1.8
    assert closed_frames(gap, np.ones(len(gap), bool), FPS, ClosureOptions()).sum() > 20


def test_an_open_mouth_has_no_closures() -> None:
    gap = np.full(100, 6.0)
    assert not closed_frames(gap, np.ones(100, bool), FPS, ClosureOptions()).any()


def test_a_rest_is_kept_closed_at_its_ends_only() -> None:
    gap = np.where(np.arange(120) % 119 == 0, 9.0, 0.0)
    closed = closed_frames(gap, np.ones(120, bool), FPS, ClosureOptions(edge=0.1, rest=0.4))
    assert runs(closed) == [(1, 7), (113, 119)]


def test_frames_without_speech_are_no_closures() -> None:
    assert not closed_frames(np.zeros(50), np.zeros(50, bool), FPS, ClosureOptions()).any()


@pytest.mark.parametrize("name", ["jawOpen", "mouthFunnel", "mouthUpperUpLeft", "tongueOut"])
def test_lips_close_under_any_opener(name: str) -> None:
    weights = spoken()
    gap = mouth_model().gap(weights)
    closed = closed_frames(gap, np.ones(len(gap), bool), FPS, ClosureOptions())
    weights[:, NAMES.index(name)] = 1.0
    found, report = keep_closures(weights, closed, FPS, mouth_model(), ClosureOptions())
    assert mouth_model().gap(found)[closed].max() <= 1e-6 and report.gap_before > 3 and report.gap_after <= 1e-6
    assert report.count == len(runs(closed)) and found.min() >= 0 and found.max() <= 1


def test_frames_away_from_closures_and_other_expressions_change_no_bit() -> None:
    weights = np.random.default_rng(0).random((200, len(NAMES)))
    closed = np.zeros(200, bool)
    closed[100:105] = True
    found, _ = keep_closures(weights, closed, FPS, mouth_model(), ClosureOptions(ramp=0.05))
    away = np.abs(np.arange(200) - 102) > 6
    assert np.array_equal(found[away], weights[away])
    fixed = [index for index in range(len(NAMES)) if mouth_model().opening[index] == 0]
    assert np.array_equal(found[:, fixed], weights[:, fixed])


def test_the_correction_comes_and_goes_smoothly() -> None:
    weights = np.zeros((60, len(NAMES)))
    weights[:, NAMES.index("jawOpen")] = 0.5
    closed = np.zeros(60, bool)
    closed[30] = True
    jaw = keep_closures(weights, closed, FPS, mouth_model(), ClosureOptions(ramp=0.1))[0][:, NAMES.index("jawOpen")]
    assert (np.diff(jaw[:31]) <= 0).all() and (np.diff(jaw[30:]) >= 0).all() and np.abs(np.diff(jaw)).max() < 0.15


def test_lips_that_are_pressed_stay_pressed() -> None:
    weights = np.zeros((10, len(NAMES)))
    weights[:, NAMES.index("mouthClose")] = 0.1
    found, _ = keep_closures(weights, np.ones(10, bool), FPS, mouth_model(), ClosureOptions())
    assert np.array_equal(found, weights)


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"`closures.ramp` is 2, expected 0 to 1"):
        ClosureOptions(ramp=2)


def test_the_report_says_what_was_done() -> None:
    weights, closed = np.zeros((9, len(NAMES))), np.zeros(9, bool)
    assert (
        keep_closures(weights, closed, FPS, mouth_model(), ClosureOptions())[1].to_text()
        == "no lip closures in the speech"
    )
    closed[3] = True
    weights[:, NAMES.index("jawOpen")] = 0.5
    text = keep_closures(weights, closed, FPS, mouth_model(), ClosureOptions())[1].to_text()
    assert text.startswith("1 lip closure kept: largest gap 0.0 mm, 13.") and text.endswith("mm before")
