"""Frame counts, times and durations of written videos are exact."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatar.video import exact_rate, open_output
from avatar.video.codecs import KEYFRAME_INTERVAL
from tests.avatar.video.reading import fill, images, packet_times

RATES = [
    (23.976, Fraction(24000, 1001)),
    (24, Fraction(24)),
    (25, Fraction(25)),
    (29.97, Fraction(30000, 1001)),
    (30, Fraction(30)),
    (50, Fraction(50)),
    (59.94, Fraction(60000, 1001)),
    (60, Fraction(60)),
    (12.5, Fraction(25, 2)),
    (33.333333, Fraction(100, 3)),
    (7, Fraction(7)),
]


@pytest.mark.parametrize(("rate", "exact"), RATES)
@pytest.mark.parametrize("count", [1, 2, 7, KEYFRAME_INTERVAL + 3])
def test_n_frames_at_f_have_duration_n_over_f_and_times_k_over_f(
    tmp_path: Path, rate: float, exact: Fraction, count: int
) -> None:
    path = tmp_path / "a.mp4"
    fill(open_output(path, rate), images(count, height=16, width=16))
    times, end = packet_times(path)
    assert times == [k / exact for k in range(count)]
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.frames, stream.start_time, stream.duration * stream.time_base) == (count, 0, count / exact)
        assert abs(container.duration - count / exact * av.time_base) < 1
    assert end == count / exact


@pytest.mark.parametrize("suffix", [".mov", ".webm"])
def test_other_containers_keep_times_within_their_time_base(tmp_path: Path, suffix: str) -> None:
    path, exact = tmp_path / f"a{suffix}", Fraction(30000, 1001)
    fill(open_output(path, 29.97), images(9))
    times, end = packet_times(path)
    coarse = Fraction(1, 2000) if suffix == ".webm" else 0  # WebM counts milliseconds
    assert all(abs(time - k / exact) <= coarse for k, time in enumerate(times))
    assert abs(end - 9 / exact) <= 2 * coarse


def test_variable_times_are_kept_and_the_last_frame_has_the_duration_of_the_one_before(tmp_path: Path) -> None:
    times = np.array([1.0, 1.02, 1.1, 1.101, 1.5, 1.75])
    fill(open_output(tmp_path / "a.mp4", 30), images(6), times)
    found, end = packet_times(tmp_path / "a.mp4")
    assert [float(time) for time in found] == pytest.approx(list(times - 1.0), abs=1e-6)
    assert float(end) == pytest.approx(1.0, abs=1e-6)


def test_variable_times_of_an_ntsc_rate_are_exact(tmp_path: Path) -> None:
    exact = [Fraction(k * 1001, 30000) for k in range(5)]
    fill(open_output(tmp_path / "a.mp4", 30), images(5), np.array([float(time) for time in exact]))
    assert packet_times(tmp_path / "a.mp4")[0] == exact


@given(st.fractions(min_value=Fraction(1, 100), max_value=1000, max_denominator=1001))
def test_a_rate_near_a_small_fraction_is_that_fraction(rate: Fraction) -> None:
    ntsc = {Fraction(whole * 1000, 1001) for whole in (24, 30, 48, 60, 120, 240)}
    assert exact_rate(float(rate)) in {rate, *ntsc}


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_a_rate_that_is_not_positive_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="rate: expected a positive number of frames per second, got"):
        exact_rate(rate)
