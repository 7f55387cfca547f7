"""Times of rows: their unit shows in their step, frame numbers are no times, and what looks wrong is said."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from avatar.errors import HeadsplatError
from avatar.motion.files.clock import clock_column, is_time, time_value, times_of
from avatar.motion.files.read import read_arrays
from tests.avatar.motion.files.other_programs import TIME, as_csv, as_json, check, weight_columns, weights


@pytest.mark.parametrize(
    ("size", "start", "unit"),
    [
        (1, 0.0, ""),
        (1, 1690536009.462, ""),
        (1e3, 0.0, "milliseconds"),
        (1e3, 1690536009462.0, "milliseconds"),
        (1e6, 0.0, "microseconds"),
        (1e7, 6.3e17, "units of 100 nanoseconds"),
        (1e9, 1690536009462e6, "nanoseconds"),
    ],
)
@pytest.mark.parametrize("fps", [10.0, 25.0, 60.0])
def test_the_unit_shows_in_the_step(size: float, start: float, unit: str, fps: float) -> None:
    notes: list[str] = []
    found = times_of(start + size * np.arange(40) / fps, "timestamp", "a.csv", None, notes)
    assert np.allclose(found - found[0], np.arange(40) / fps, atol=1e-3)
    backward = times_of(start + size * np.arange(40)[::-1] / fps, "timestamp", "a.csv", None, [])
    assert np.allclose(backward[::-1], found, atol=1e-3)
    assert bool(unit) == any(f"a row: read as {unit}" in note for note in notes)


def test_a_file_of_few_rows_has_the_unit_of_its_name() -> None:
    assert times_of(np.array([0.0, 40.0]), "time_ms", "a", None, []).tolist() == [0.0, 0.04]
    assert times_of(np.array([0.0, 1.0, 2.0]), "time", "a", None, []).tolist() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("name", ["time", "timeCode", "frame", "index", ""])
def test_frame_numbers_have_the_given_rate_or_30(name: str) -> None:
    notes: list[str] = []
    assert times_of(np.arange(5.0, 45.0), name, "a", None, notes)[-1] == pytest.approx(39 / 30)
    assert times_of(np.arange(5.0, 45.0), name, "a", 25.0, [])[-1] == pytest.approx(39 / 25)
    assert ("advances 1 a row: read as the number of the frame" in notes[0]) == name.startswith("time")


def test_slow_equal_and_endless_times_are_said() -> None:
    notes: list[str] = []
    times_of(1.5 * np.arange(20), "time", "a", None, notes)
    assert "time advances 1.5 s a row, slower than any face is recorded" in notes[0]
    assert times_of(np.full(20, 3.0), "time", "a", None, notes)[-1] == pytest.approx(19 / 30)
    assert "all rows have the same time: they are taken in their order at 30 fps" in notes[1]
    with pytest.raises(HeadsplatError, match=r"a: time: reaches .* which no take lasts"):
        times_of(np.array([0.0, 1e9]), "time", "a", None, [])
    assert times_of(np.arange(20.0)[::-1] / 30, "time", "a", None, []).max() == pytest.approx(19 / 30)


def test_times_of_day_are_seconds() -> None:
    assert time_value("10:00:01.5", "") == 36001.5 and time_value("0:01,5".replace(",", "."), "") == 1.5
    dates = ["2024-05-31T10:00:00Z", "2024-05-31 10:00:00.250", "2024-05-31T12:00:00.500+02:00"]
    assert np.diff([time_value(date, "") for date in dates]).tolist() == [0.25, 0.25]
    assert is_time("12.5") and not any(map(is_time, ("jawOpen", "", "9" * 400, "nan", "99:99:99:99")))


def test_the_clock_is_found_by_its_name() -> None:
    assert clock_column(["", "frame", "Timestamp_ms", "jawOpen"]) == 2
    assert clock_column(["Frame ID", "jawOpen"]) == 0 and clock_column(["", "jawOpen"]) == 0
    assert clock_column(["jawOpen", "timeline", "framework"]) is None


@pytest.mark.parametrize(
    ("scale", "words"), [(1000, "time.* advances 33.33 a row: read as milliseconds"), (30, "number of the frame")]
)
def test_named_json_and_audio2face_have_other_units_too(scale: float, words: str, tmp_path: Path) -> None:
    frames = [
        {"time": round(scale * float(t), 4), "weights": [w["jawOpen"]]}
        for t, w in zip(TIME, map(weights, range(60)), strict=True)
    ]
    named = read_arrays(as_json(tmp_path / "a", {"names": ["jawOpen"], "frames": frames}))
    columns = {
        "timeCode": lambda k: round(scale * float(TIME[k]), 4),
        **weight_columns(spelled=lambda n: f"blendShapes.{n}"),
    }
    audio2face = read_arrays(as_csv(tmp_path / "b", columns))
    check(audio2face)
    for found in (named, audio2face):
        assert found.time[-1] == pytest.approx(TIME[-1], abs=1e-3)
        assert any(re.search(words, note) for note in found.notes)


def test_audio2face_columns_with_another_clock_keep_their_times(tmp_path: Path) -> None:
    columns = {"timestamp": lambda k: round(float(k) / 25, 4), **weight_columns(spelled=lambda n: f"blendShapes.{n}")}
    check(read_arrays(as_csv(tmp_path / "a", columns)), fps=25)


def test_frames_of_named_json_may_have_another_clock(tmp_path: Path) -> None:
    frames = [{"timestamp_ms": 40 * k, "weights": [k / 60]} for k in range(60)]
    found = read_arrays(as_json(tmp_path / "a", {"names": ["jawOpen"], "frames": frames}))
    assert found.time[-1] == pytest.approx(59 / 25)
