"""Parsing of sizes, frame ranges and factors."""

from __future__ import annotations

import pytest

from avatar.cli.progress import say
from avatar.errors import HeadsplatError
from avatar.jobs.parsing import chosen_frames, parse_frames, parse_gain, parse_size


@pytest.mark.parametrize(("text", "size"), [("640x480", (640, 480)), ("512", (512, 512)), ("1x4096", (1, 4096))])
def test_sizes(text: str, size: tuple[int, int]) -> None:
    assert parse_size(text, 4096) == size


@pytest.mark.parametrize("text", ["640*480", "0x480", "5000", "9000x10", "-1x5", "axb", ""])
def test_an_invalid_size_is_refused(text: str) -> None:
    with pytest.raises(HeadsplatError, match=r"--size: .* is not a size; give WIDTHxHEIGHT in pixels \(at most 4096\)"):
        parse_size(text, 4096)


@pytest.mark.parametrize(("text", "frames"), [(None, range(10)), ("2:5", range(2, 5)), ("7:", range(7, 10))])
def test_frame_ranges(text: str | None, frames: range, capsys: pytest.CaptureFixture[str]) -> None:
    assert chosen_frames(parse_frames(text), 10, say) == frames
    assert capsys.readouterr().err == ""


def test_a_range_past_the_end_is_clipped_with_a_message(capsys: pytest.CaptureFixture[str]) -> None:
    assert chosen_frames(parse_frames("9:50"), 10, say) == range(9, 10)
    assert capsys.readouterr().err == "--frames: 9:50 extends past the 10 frames: 9:10 is used\n"


@pytest.mark.parametrize("text", ["5", "a:b", "1:2:3", "-3:", "1.5:2"])
def test_an_invalid_range_is_refused(text: str) -> None:
    with pytest.raises(HeadsplatError, match=r"--frames: .* is not a range; give FIRST:END"):
        parse_frames(text)


@pytest.mark.parametrize("text", ["5:5", "6:2", ":0"])
def test_an_empty_range_is_refused_before_the_frames_are_known(text: str) -> None:
    with pytest.raises(HeadsplatError, match=f"--frames: {text} selects no frame"):
        parse_frames(text)


def test_a_range_after_the_last_frame_is_refused() -> None:
    with pytest.raises(HeadsplatError, match="--frames: 10: selects none of the 10 frames; give a range inside 0:10"):
        chosen_frames(parse_frames("10:"), 10, say)


def test_factors() -> None:
    assert parse_gain(()) == {}
    assert parse_gain(["mouth=1e1, head=-1", "jaw=.5"]) == {"mouth": 10, "head": -1, "jaw": 0.5}


@pytest.mark.parametrize("text", ["mouth", "=2", "mouth=", "mouth=nan", "mouth=1,", ""])
def test_an_invalid_factor_is_refused(text: str) -> None:
    with pytest.raises(HeadsplatError, match=r"--gain: .* is not a factor; give NAME=NUMBER"):
        parse_gain([text])


def test_a_factor_given_twice_is_refused() -> None:
    with pytest.raises(HeadsplatError, match="--gain: mouth is given twice"):
        parse_gain(["mouth=2", "mouth=3"])
