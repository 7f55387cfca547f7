"""Timecodes of other programs: how many frames they count in a second, and rows whose timecodes are not their times."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from avatar.errors import HeadsplatError
from avatar.motion.arrays import MotionArrays
from avatar.motion.files.read import read_arrays
from tests.avatar.motion.files.small import live_link, live_link_row


def _code(frame: int, base: int, rest: str = ".000", point: str = ":") -> str:
    second = frame // base
    return f"00:{second // 60:02d}:{second % 60:02d}{point}{frame % base:02d}{rest}"


def _read(folder: Path, codes: Sequence[str], fps: float | None = None) -> MotionArrays:
    """A take with these timecodes, whose jaw opens once a second at 30 rows a second."""
    rows = [live_link_row(code, {"JawOpen": 0.5 - 0.5 * float(np.cos(k / 5))}) for k, code in enumerate(codes)]
    return read_arrays(live_link(folder / "take.csv", rows), fps)


@pytest.mark.parametrize("base", [24, 25, 30, 48, 50, 120])
@pytest.mark.parametrize("start", [0, 7])
def test_a_base_other_than_60_is_found_by_the_rows_of_each_second(base: int, start: int, tmp_path: Path) -> None:
    found = _read(tmp_path, [_code(start + k, base) for k in range(3 * base)])
    assert found.time == pytest.approx(np.arange(3 * base) / base)
    assert any(f"count {base} frames per second, not 60: the largest frame is {base - 1}" in n for n in found.notes)


def test_a_counter_of_rows_after_the_point_is_no_fraction(tmp_path: Path) -> None:
    """Some programs write the number of the row there, and four digits from the thousandth on."""
    found = _read(tmp_path, [_code(k, 30, f".{k:03d}") for k in range(1, 1100)])
    assert np.diff(found.time) == pytest.approx(1 / 30)


def test_timecodes_without_fractions_and_frames_counted_from_one(tmp_path: Path) -> None:
    assert np.diff(_read(tmp_path, [_code(k, 30, "") for k in range(75)]).time) == pytest.approx(1 / 30)
    codes = [f"00:00:{k // 25:02d}:{k % 25 + 1:02d}" for k in range(75)]
    assert np.diff(_read(tmp_path, codes).time) == pytest.approx(1 / 25)


def test_missing_rows_stay_missing_in_another_base(tmp_path: Path) -> None:
    frames = np.array([k for k in range(150) if k not in (29, 40, 41, 42, 60)])
    found = _read(tmp_path, [_code(k, 30) for k in frames])
    assert found.time == pytest.approx(frames / 30)


def test_numbers_left_out_by_drop_frame_codes_are_no_gaps(tmp_path: Path) -> None:
    numbers = [k for k in range(30 * 122) if k // 30 % 60 or k // 1800 % 10 == 0 or k % 30 > 1]
    found = _read(tmp_path, [_code(k, 30, "", ";") for k in numbers])
    assert np.diff(found.time) == pytest.approx(1.001 / 30)


@pytest.mark.parametrize("rate", [15, 24, 29.97, 30, 59.94, 60])
def test_the_apps_takes_are_read_at_60_ticks_at_any_camera_rate(rate: float, tmp_path: Path) -> None:
    ticks = np.round(np.arange(4 * rate) / rate * 60000).astype(int)
    codes = [f"10:00:{t // 60000:02d}:{t % 60000 / 1000:06.3f}" for t in ticks]
    found = _read(tmp_path, codes)
    assert found.time == pytest.approx(ticks / 60000)
    assert not any("--motion-fps" in note for note in found.notes)


def test_the_given_rate_wins_and_keeps_gaps_where_the_timecodes_number_the_rows(tmp_path: Path) -> None:
    frames = np.array([k for k in range(100) if k not in (40, 41, 42)])
    found = _read(tmp_path, [_code(k, 30) for k in frames], fps=29.97)
    assert found.time == pytest.approx(frames / 29.97)
    found = _read(tmp_path, [_code(k, 30) for k in frames], fps=12)
    assert found.time == pytest.approx(np.arange(97) / 12)
    assert any("the 97 rows have the given 12 fps, in their order" in note for note in found.notes)


def test_one_second_a_row_is_reported_and_the_given_rate_is_used(tmp_path: Path) -> None:
    codes = [f"00:00:{k:02d}:00.000" for k in range(50)]
    found = _read(tmp_path, codes)
    assert found.time[-1] == 49 and any("advance 1 s a row" in n and "--motion-fps" in n for n in found.notes)
    assert _read(tmp_path, codes, fps=25).time == pytest.approx(np.arange(50) / 25)


def test_one_timecode_for_all_rows_is_no_film_of_one_frame(tmp_path: Path) -> None:
    found = _read(tmp_path, ["00:00:00:00.000"] * 40)
    assert found.time == pytest.approx(np.arange(40) / 30)
    assert any("all rows have the timecode 00:00:00:00.000" in note for note in found.notes)


@pytest.mark.parametrize(
    ("codes", "sentence"),
    [
        ([_code(k % 40, 60) for k in range(80)], "go back in 1 of 80 rows, first in row 41"),
        ([f"00:00:{k // 30:02d}:00" for k in range(90)], "87 of 90 rows have the timecode of the row before"),
        ([f"00:00:{k // 20:02d}:{k % 20 + 7 * (k // 20 % 2):02d}" for k in range(120)], "fit no number of frames"),
        ([f"00:00:{k // 37:02d}:{k % 30:02d}" for k in range(148)], "go back in"),
        ([_code(k, 30) for k in range(25)], "do not show how many frames a second counts: 60"),
    ],
)
def test_timecodes_that_do_not_fit_get_a_sentence(codes: list[str], sentence: str, tmp_path: Path) -> None:
    found = _read(tmp_path, codes)
    assert any(sentence in note and "--motion-fps" in note for note in found.notes), found.notes


def test_a_frame_that_no_base_explains_is_refused(tmp_path: Path) -> None:
    codes = [_code(2 * k, 60) for k in range(90)]
    codes[40] = "00:00:01:77.000"
    with pytest.raises(HeadsplatError, match=r"line 42: '00:00:01:77.000' is not a timecode"):
        _read(tmp_path, codes)


@pytest.mark.parametrize("start", [0, 27 * 30, 59 * 30])
def test_a_short_clip_of_codes_that_leave_out_numbers_has_29_97_fps(start: int, tmp_path: Path) -> None:
    """The first minute ends at 00:00:59;29, and 00:01:00;02 follows."""
    frames = [start + k + 2 * (start + k >= 1800) for k in range(45)]
    codes = [f"00:{k // 1800:02d}:{k // 30 % 60:02d};{k % 30:02d}" for k in frames]
    rows = [live_link_row(code, {"JawOpen": k / 50}) for k, code in enumerate(codes)]
    found = read_arrays(live_link(tmp_path / "a.csv", rows))
    assert np.allclose(found.time, np.arange(45) * 1.001 / 30, atol=1e-6)


@pytest.mark.parametrize("base", [24, 25, 30])
def test_missing_rows_at_the_end_of_a_second_do_not_hide_the_base(base: int, tmp_path: Path) -> None:
    frames = [k for k in range(3 * base + 14) if k not in (base - 2, base - 1, base, 2 * base + 5)]
    found = _read(tmp_path, [_code(k, base) for k in frames])
    assert found.time == pytest.approx(np.array(frames) / base)
    short = [k for k in frames if 0 < k < 2 * base + 14 and k != 2 * base - 1]
    numbered = _read(tmp_path, [_code(k, base, f".{k:03d}") for k in short])
    assert numbered.time == pytest.approx((np.array(short) - 1) / base)


def test_numbers_left_out_by_codes_of_59_94_fps_are_no_gaps(tmp_path: Path) -> None:
    numbers = [k for k in range(60 * 62) if k // 60 % 60 or k // 3600 % 10 == 0 or k % 60 > 3]
    found = _read(tmp_path, [_code(k, 60, "", ";") for k in numbers])
    assert np.diff(found.time) == pytest.approx(1.001 / 60)
    given = _read(tmp_path, [_code(k, 60, "", ";") for k in numbers], fps=59.94)
    assert given.time == pytest.approx(np.arange(len(numbers)) / 59.94)


def test_a_short_clip_of_more_than_60_frames_a_second_is_refused_with_the_option(tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError, match=r"do not show how many frames a second counts; give .* --motion-fps"):
        _read(tmp_path, [_code(k, 120) for k in range(100)])
    assert np.diff(_read(tmp_path, [_code(k, 120) for k in range(100)], fps=120).time) == pytest.approx(1 / 120)


def test_few_rows_that_do_not_show_the_base_get_a_sentence(tmp_path: Path) -> None:
    for codes in ([_code(k, 12, "") for k in range(8)], [_code(2 * k, 30, "") for k in range(8)]):
        assert any("do not show how many frames a second counts" in note for note in _read(tmp_path, codes).notes)
    for codes in ([_code(2 * k, 60) for k in range(8)], [_code(k, 60, ".652") for k in range(30)]):
        assert not any("do not show" in note for note in _read(tmp_path, codes).notes)


@pytest.mark.parametrize(
    ("start", "rest"),
    [
        ("", ".{frame:02d}"),
        ("", ".{milli:03d}"),
        ("", ".{centi:02d}"),  # a decimal fraction, though two digits
        ("", ",{milli:03d}"),
        ("2024-05-01T", ".{milli:03d}"),
    ],
)
@pytest.mark.parametrize("first", [36000, 86399])
def test_times_of_day_and_frames_after_a_point_are_told_apart(
    start: str, rest: str, first: int, tmp_path: Path
) -> None:
    rows = []
    for k in range(75):
        second = (first + k // 30) % 86400 if not start else first % 86000 + k // 30
        clock = f"{start}{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
        clock += rest.format(frame=k % 30, milli=round(k % 30 / 0.03), centi=k % 30 * 10 // 3)
        rows.append(live_link_row("X", {"JawOpen": k / 75}).replace(",", ";").replace("X", clock))
    path = live_link(tmp_path / "take.csv", rows)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0].replace(",", ";"), *lines[1:]]))
    assert read_arrays(path).time == pytest.approx(np.arange(75) / 30, abs=0.011)


def test_a_table_and_json_lines_may_have_timecodes(tmp_path: Path) -> None:
    csv = tmp_path / "a.csv"
    csv.write_text("\n".join(["SMPTE,jawOpen", *[f"{_code(k, 25, '')},{k / 60}" for k in range(60)]]))
    lines = tmp_path / "a.jsonl"
    lines.write_text("\n".join(json.dumps({"timecode": _code(k, 25, ""), "jawOpen": k / 60}) for k in range(60)))
    for path in (csv, lines):
        assert read_arrays(path).time == pytest.approx(np.arange(60) / 25)


def test_timecodes_with_decimal_commas_are_read(tmp_path: Path) -> None:
    path = live_link(tmp_path / "a.csv", [live_link_row(_code(2 * k, 60), {"JawOpen": k / 60}) for k in range(60)])
    path.write_text(path.read_text().replace(",", ";").replace(".", ","))
    assert read_arrays(path).time == pytest.approx(np.arange(60) / 30)


def test_a_comma_at_the_end_of_each_row_is_no_column(tmp_path: Path) -> None:
    path = live_link(
        tmp_path / "a.csv", [live_link_row(_code(2 * k, 60), {"JawOpen": k / 60}) + "," for k in range(60)]
    )
    assert len(read_arrays(path)) == 60
