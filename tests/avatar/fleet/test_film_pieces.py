"""Pieces of films: their frames, and the report and command of the joined film; the joining itself is replaced."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatar.errors import HeadsplatError
from avatar.fleet import film_pieces
from avatar.fleet.film_pieces import MULTIPLE, Frames, frames_of, join_pieces, ranges
from avatar.fleet.jobs import Argument, Input, Job, Needs, Output
from avatar.fleet.process import Ended
from avatar.fleet.store import Store
from avatar.video.codecs import KEYFRAME_INTERVAL


@given(whole=st.integers(0, 20_000), multiple=st.integers(1, 20))
def test_pieces_cover_all_frames_once_and_start_where_encoders_do(whole: int, multiple: int) -> None:
    length = multiple * MULTIPLE
    spans = [tuple(map(int, span.split(":"))) for span in ranges(whole, length)]
    assert [frame for start, end in spans for frame in range(start, end)] == list(range(whole))
    assert all(start % length == 0 and 0 < end - start <= length for start, end in spans)


def test_pieces_start_at_key_frames() -> None:
    assert MULTIPLE % KEYFRAME_INTERVAL == 0


def report(folder: Path, frames: int, files: dict[str, str], **values: Any) -> None:
    """Write the report of a rendering, with some of its figures."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"headsplat": "0", "frames": frames, "frames_whole": 250, "seconds_film": frames / 25} | values
    content |= {"seconds_drawing": 2.1, "frames_a_second": frames / 2.1, "files": files}
    (folder / "anna.mp4.report.json").write_text(json.dumps(content))


def test_the_frames_of_a_rendering_are_in_its_report(tmp_path: Path) -> None:
    report(tmp_path, 120, {})
    assert frames_of(tmp_path) == Frames(120, 250)


class Joins:
    """Stands for `headsplat join`: keeps its command lines."""

    def __init__(self, code: int = 0) -> None:
        self.code = code
        self.calls: list[list[str]] = []

    def __call__(self, arguments: Sequence[str], needs: Needs, log: Path, folder: Path, limit: float | None) -> Ended:
        self.calls.append(list(arguments))
        return Ended(self.code, False, "headsplat: no", 1.0, 0.5, 1)


@pytest.fixture
def joins(monkeypatch: pytest.MonkeyPatch) -> Joins:
    found = Joins()
    monkeypatch.setattr(film_pieces, "run_command", found)
    return found


def film(*options: Argument) -> Job:
    arguments = ("render", Input("/a.avatar", "a.avatar"), "-o", Output("anna.mp4"), *options)
    keys = tuple(f"pieces/anna/{number}" for number in range(3))
    return Job("render/anna", "anna", arguments, Needs(), 60.0, keys)


def stored(store: Path, files: dict[str, str], *, folder: str = "", images: bool = False) -> None:
    """Three rendered pieces of 250 frames."""
    for number, frames in enumerate((120, 120, 10)):
        place = store / "pieces" / "anna" / str(number)
        report(place, frames, files, first=number == 0)
        for name in files.values():
            path = place / folder / name
            (path.mkdir(parents=True) if images else path.write_bytes(b"video"))


def test_pieces_are_joined_in_their_order_with_the_report_of_the_whole(tmp_path: Path, joins: Joins) -> None:
    stored(tmp_path / "store", {"rgb": "anna.mp4"})
    ended = join_pieces(film(), Store(str(tmp_path / "store")), tmp_path / "work")
    parts = [str(tmp_path / "store" / "pieces" / "anna" / str(number) / "anna.mp4") for number in range(3)]
    assert joins.calls == [["join", *parts, "-o", str(tmp_path / "work" / "out" / "anna.mp4")]]
    assert ended.code == 0
    whole = json.loads((tmp_path / "work" / "out" / "anna.mp4.report.json").read_text())
    assert (whole["frames"], whole["frames_whole"], whole["seconds_film"]) == (250, 250, 10.0)
    assert (whole["seconds_drawing"], whole["frames_a_second"]) == (6.3, 39.68)
    assert whole["first"] is True and whole["files"] == {"rgb": "anna.mp4"}


def test_every_pass_is_joined_and_the_first_one_has_the_sound(tmp_path: Path, joins: Joins) -> None:
    (tmp_path / "a.wav").touch()
    stored(tmp_path / "store", {"rgb": "anna.mp4", "depth": "anna.depth.mp4"})
    job = film("--audio", Input(str(tmp_path / "a.wav"), "a.wav"))
    join_pieces(job, Store(str(tmp_path / "store")), tmp_path / "work")
    out = tmp_path / "work" / "out"
    assert [call[4:] for call in joins.calls] == [
        ["-o", str(out / "anna.mp4"), "--audio", str(tmp_path / "a.wav")],
        ["-o", str(out / "anna.depth.mp4")],
    ]


def test_passes_as_folders_of_images_are_joined_below_their_folder(tmp_path: Path, joins: Joins) -> None:
    stored(tmp_path / "store", {"rgb": "rgb", "alpha": "alpha"}, folder="anna", images=True)
    join_pieces(film(), Store(str(tmp_path / "store")), tmp_path / "work")
    out = tmp_path / "work" / "out" / "anna"
    assert [call[-1] for call in joins.calls] == [str(out / "rgb"), str(out / "alpha")]
    assert joins.calls[0][1] == str(tmp_path / "store" / "pieces" / "anna" / "0" / "anna" / "rgb")


def test_a_failed_join_ends_the_job(tmp_path: Path, joins: Joins) -> None:
    joins.code = 1
    stored(tmp_path / "store", {"rgb": "anna.mp4", "depth": "anna.depth.mp4"})
    ended = join_pieces(film(), Store(str(tmp_path / "store")), tmp_path / "work")
    assert ended.code == 1 and len(joins.calls) == 1
    assert not list((tmp_path / "work" / "out").glob("*.json"))


def test_a_missing_piece_is_named(tmp_path: Path, joins: Joins) -> None:
    stored(tmp_path / "store", {"rgb": "anna.mp4"})
    (tmp_path / "store" / "pieces" / "anna" / "1").rename(tmp_path / "elsewhere")
    with pytest.raises(HeadsplatError, match=r"^pieces/anna/1: no such file or folder"):
        join_pieces(film(), Store(str(tmp_path / "store")), tmp_path / "work")
    assert joins.calls == []


def test_pieces_without_frames_are_named(tmp_path: Path, joins: Joins) -> None:
    stored(tmp_path / "store", {})
    with pytest.raises(HeadsplatError) as caught:
        join_pieces(film(), Store(str(tmp_path / "store")), tmp_path / "work")
    assert str(caught.value) == "pieces/anna/0: has no frames; delete this folder and run the command again"
