"""Small argument languages: colours, sizes, frame ranges."""

from __future__ import annotations

import pytest

from avatar.cli.arguments import parse_colour, parse_frames, parse_size
from avatar.errors import HeadsplatError


def test_colours() -> None:
    assert parse_colour("white") == (1, 1, 1)
    assert parse_colour("black") == (0, 0, 0)
    assert parse_colour("#ff0033") == (1, 0, 0.2)


@pytest.mark.parametrize("text", ["green", "#fff", "#gg0000", "", "#ff00000"])
def test_what_is_no_colour_is_refused(text: str) -> None:
    with pytest.raises(HeadsplatError, match=r"--background: .* is no colour; give white, black or #rrggbb"):
        parse_colour(text)


def test_size() -> None:
    assert parse_size("640x480") == (640, 480)


@pytest.mark.parametrize("text", ["640", "640*480", "0x480", "9000x10", "-1x5", "axb", ""])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(HeadsplatError, match=r"--size: .* is no size; give WIDTHxHEIGHT"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "frames"), [(":", range(10)), ("2:5", range(2, 5)), ("7:", range(7, 10)), (":99", range(10))]
)
def test_frame_ranges(text: str, frames: range) -> None:
    assert parse_frames(text, 10) == frames


@pytest.mark.parametrize("text", ["5", "a:b", "1:2:3", "-3:", "1.5:2"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(HeadsplatError, match=r"--frames: .* is no range; give FIRST:END"):
        parse_frames(text, 10)


@pytest.mark.parametrize("text", ["10:", "5:5", "6:2"])
def test_empty_range_names_the_frames_there_are(text: str) -> None:
    with pytest.raises(HeadsplatError, match="picks none of the 10 frames; give a range inside 0:10"):
        parse_frames(text, 10)
