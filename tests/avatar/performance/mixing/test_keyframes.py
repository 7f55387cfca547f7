"""Keyframed tracks and their files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar.errors import HeadsplatError
from avatar.performance.mixing.keyframes import Track, is_keyframes, keyframed_motion, read_keyframes
from tests.avatar.performance.mixing.made_up import column


@given(st.lists(st.floats(0, 1, width=32), min_size=2, max_size=8))
@settings(max_examples=60, deadline=None)
def test_a_smooth_track_never_leaves_the_range_of_its_two_keys(values: list[float]) -> None:
    track = Track.of([(float(time), value, "smooth") for time, value in enumerate(values)], "x")
    times = np.linspace(0, len(values) - 1, 50 * (len(values) - 1) + 1)
    found = track(times)
    row = np.minimum(times.astype(int), len(values) - 2)
    low, high = (pick(np.array(values)[row], np.array(values)[row + 1]) for pick in (np.minimum, np.maximum))
    assert (found >= low - 1e-12).all() and (found <= high + 1e-12).all()


def test_keys_are_met_by_every_easing() -> None:
    track = Track.of([(0, 0.1, "linear"), (1, 0.5, "hold"), (2, 0.2, "smooth"), (3, 0.9, "smooth")], "x")
    assert np.allclose(track(np.arange(4.0)), [0.1, 0.5, 0.2, 0.9])


def test_easings_shape_the_way_between() -> None:
    track = Track.of([(0, 0, "linear"), (1, 1, "hold"), (2, 0, "smooth"), (3, 1, "smooth")], "x")
    assert np.allclose(track(np.array([0.25, 1.99, 2.5])), [0.25, 1, 0.5])
    assert track(np.array([2.1]))[0] < 0.1


def test_a_smooth_track_has_no_corner() -> None:
    track = Track.of([(0, 0, "smooth"), (1, 0.5, "smooth"), (3, 0.8, "smooth")], "x")
    left, middle, right = track(np.array([1 - 1e-5, 1, 1 + 1e-5]))
    assert (middle - left) == pytest.approx(right - middle, rel=1e-3)


def test_a_track_is_constant_outside_its_keys() -> None:
    track = Track.of([(1, 0.2, "smooth"), (2, 0.4, "smooth")], "x")
    assert np.allclose(track(np.array([-1, 0, 5])), [0.2, 0.2, 0.4])
    assert Track.of([(1, 0.3, "smooth")], "x")(np.array([0, 9])).tolist() == [0.3, 0.3]


TOML = """
easing = "linear"
[[key]]
time = 0
weights = { jawOpen = 0, browInnerUp = 1 }
[[key]]
time = 1
weights = { jawOpen = 0.5 }
easing = "hold"
[[key]]
time = 2
weights = { jawOpen = 1 }
"""


def test_toml_and_csv_give_the_same_tracks(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(TOML)
    (tmp_path / "a.csv").write_text(
        "time,name,weight,easing\n2,jawOpen,1,linear\n0,jawOpen,0,linear\n\n1,jawOpen,.5,hold\n0,browInnerUp,1,linear\n"
    )
    times = np.linspace(0, 2, 9)
    one, other = read_keyframes(tmp_path / "a.toml"), read_keyframes(tmp_path / "a.csv")
    assert one.keys() == other.keys() == {"jawOpen", "browInnerUp"}
    assert all(np.array_equal(one[name](times), other[name](times)) for name in one)
    assert one["jawOpen"](times)[[0, 2, 4, 6, 8]].tolist() == [0, 0.25, 0.5, 0.5, 1]


def test_tracks_become_a_motion_of_their_names_up_to_the_last_key(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(TOML)
    motion = keyframed_motion(read_keyframes(tmp_path / "a.toml"))
    assert motion.names == ("jawOpen", "browInnerUp") and float(motion.time[-1]) == 2
    assert column(motion, "jawOpen")[60] == pytest.approx(0.25)


def test_one_key_is_a_face(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("time,name,weight\n0,jawOpen,1\n")
    assert len(keyframed_motion(read_keyframes(tmp_path / "a.csv"))) == 1


def test_keyframes_are_recognized_by_content(tmp_path: Path) -> None:
    texts = {"a.csv": ("time, name, weight\n", True), "b.csv": ("Timecode,Count\n", False), "c.csv": ("\xff", False)}
    for name, (text, expected) in texts.items():
        (tmp_path / name).write_bytes(text.encode("latin-1"))
        assert is_keyframes(tmp_path / name) is expected
    assert is_keyframes(tmp_path, {"key": []}) and not is_keyframes(tmp_path, {"layer": []})


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.toml", "", "no keys; give [[key]] tables with time and weights"),
        ("a.toml", "speed = 1", "unknown key `speed`; known keys: easing, key"),
        ("a.toml", "key = 3", "`key` is not a list of tables; write each one as [[key]]"),
        ("a.toml", "[[key]]\ntime = 1", "key 1: no weights; give such as weights = { jawForward = 0.5 }"),
        ("a.toml", "[[key]]\nweights = {jawOpen=1}", "key 1: no time; give seconds, such as time = 0.5"),
        ("a.toml", "[[key]]\ntime=1\neas=1\nweights = {jawOpen=1}", "key 1: unknown key `eas`; did you mean `easing`?"),
        ("a.toml", "[[key]]\ntime=1\nweights = {jawOpen=true}", "key 1: 'jawOpen' is True, expected a number"),
        ("a.toml", "[[key]]\ntime=1\nweights = {jawOpn=1}", "no expression 'jawOpn'; did you mean jawOpen?"),
        ("a.toml", "[[key]]\ntime=1\nweights = {jawOpen=nan}", "jawOpen is nan at 1 s, expected a weight from 0 to 1"),
        (
            "a.toml",
            "[[key]]\ntime=-1\nweights = {jawOpen=1}",
            "jawOpen: the time -1.0 of a key is not 0 or more seconds",
        ),
        (
            "a.toml",
            "[[key]]\ntime=nan\nweights = {jawOpen=1}",
            "jawOpen: the time nan of a key is not 0 or more seconds",
        ),
        ("a.csv", "time,name,weight\n1,jawOpen,.1\n1,jawOpen,.2", "jawOpen: two keys at 1 s; keep one of them"),
        ("a.csv", "time,name,weight\n1,jawOpen,x", "line 2: time or weight is not a number; correct it"),
        ("a.csv", "time,name,weight\n1,jawOpen", "line 2: 2 columns, expected 3"),
        ("a.csv", "time,name\n", "line 1: expected the columns time,name,weight and optionally easing"),
        ("a.csv", "time,name,weight,easing\n1,jawOpen,1,bounce", "easing 'bounce' at 1 s; give linear, smooth, hold"),
        ("a.csv", "time,name,weight\n1,jawOpen,7", "jawOpen is 7 at 1 s, expected a weight from 0 to 1"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(HeadsplatError) as caught:
        read_keyframes(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name)) and message in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError, match=r"no such keyframes file; check its path"):
        read_keyframes(tmp_path / "none.toml")
    with pytest.raises(HeadsplatError, match=r"none\.csv"):
        read_keyframes(tmp_path / "none.csv")


def test_a_csv_of_other_bytes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"time,name,weight\n\xff")
    with pytest.raises(HeadsplatError, match=r"not text in UTF-8; write it again"):
        read_keyframes(tmp_path / "a.csv")
