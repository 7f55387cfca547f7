"""The true size of a head: its file, blends, and lengths that state it."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from avatar.editing.blend import blend_avatars
from avatar.editing.edit import Edit
from avatar.editing.edits import Edits, with_edits
from avatar.editing.style import Style
from avatar.errors import HeadsplatError
from avatar.jobs.inspection import describe_file
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import read_avatar, save_avatar
from avatar.model.avatar_header import check_header, read_header, read_stored
from avatar.model.head_lengths import INTERPUPILLARY, HeadLengths, size_from_interocular, size_from_length
from avatar.model.true_size import TrueSize, mixed_size
from avatar.types import LEFT_EYE, RIGHT_EYE

SIZE = TrueSize(1.05, 0.03, "a test")
DATA = Path(__file__).parents[2] / "data"


@pytest.fixture
def sized(tiny_avatar: Avatar) -> Avatar:
    result = copy.copy(tiny_avatar)
    result.true_size = SIZE
    return result


@pytest.fixture(scope="module")
def lengths(tiny_avatar: Avatar) -> HeadLengths:
    return HeadLengths.of(tiny_avatar.head)


def test_a_file_keeps_it_and_its_tensors_are_the_same(sized: Avatar, tiny_avatar: Avatar, tmp_path: Path) -> None:
    save_avatar(tmp_path / "usual.avatar", tiny_avatar)
    save_avatar(tmp_path / "sized.avatar", sized)
    usual, header = read_header(tmp_path / "usual.avatar"), read_header(tmp_path / "sized.avatar")
    assert header.pop("true_size") == {"scale": 1.05, "sigma": 0.03, "source": "a test"}
    assert header == usual
    assert read_avatar(tmp_path / "sized.avatar")[1].true_size == SIZE


def test_files_from_before_have_the_mean_of_the_head_model() -> None:
    assert read_avatar(DATA / "version4.avatar")[1].true_size == TrueSize()
    assert describe_file(DATA / "version4.avatar")["true_size"]["scale"] == 1


@pytest.mark.parametrize(
    "entry",
    [
        None, 3, {}, {"scale": 1.0, "sigma": 0.1}, {"scale": "1", "sigma": 0.1, "source": "x"},
        {"scale": math.nan, "sigma": 0.1, "source": "x"}, {"scale": 1e9, "sigma": 0.1, "source": "x"},
        {"scale": 1.0, "sigma": -1, "source": "x"}, {"scale": 1.0, "sigma": 0.1, "source": "x" * 300},
        {"scale": True, "sigma": 0.1, "source": "x"},
    ],
)  # fmt: skip
def test_a_wrong_entry_is_damage(entry: Any) -> None:
    header = read_header(DATA / "version4.avatar") | {"true_size": entry}
    with pytest.raises(ValueError, match="true_size"):
        check_header(header)


def test_edits_keep_it(sized: Avatar) -> None:
    assert with_edits(sized, Edits(Style(Edit(skin=0.2)))).true_size == SIZE


def test_a_blend_is_between(sized: Avatar, tiny_avatar: Avatar) -> None:
    assert blend_avatars(tiny_avatar, sized, 0.5).true_size.scale == pytest.approx(1.05**0.5)
    assert mixed_size([(TrueSize(), 0.5), (TrueSize(), 0.5)]) == TrueSize()
    assert mixed_size([(SIZE, 1.0)]).scale == pytest.approx(1.05)


def test_the_distance_of_the_pupils_is_that_of_the_eyes_of_the_head(tiny_avatar: Avatar, lengths: HeadLengths) -> None:
    joints = tiny_avatar.head.joint_locations(torch.zeros(0))
    expected = float((joints[LEFT_EYE] - joints[RIGHT_EYE]).norm())
    assert lengths.meters(INTERPUPILLARY) == pytest.approx(expected, rel=1e-5)
    assert size_from_interocular(lengths, 63.0).scale == pytest.approx(0.063 / expected, rel=1e-5)
    assert lengths.millimeters(size_from_interocular(lengths, 63.0))[INTERPUPILLARY] == pytest.approx(63, rel=1e-5)


def test_lengths_of_the_file_are_those_of_the_head(tiny_avatar: Avatar, lengths: HeadLengths, tmp_path: Path) -> None:
    save_avatar(tmp_path / "me.avatar", tiny_avatar)
    stored = HeadLengths.stored(read_stored(tmp_path / "me.avatar")[1])
    assert stored.millimeters(SIZE) == pytest.approx(lengths.millimeters(SIZE))


def test_a_known_length_makes_it_true(lengths: HeadLengths) -> None:
    for name, millimeters in (("face-width", 139.0), ("33,263", 92.5), ("head-width", 150)):
        size = size_from_length(lengths, f"{name}={millimeters}")
        meters = lengths.meters(name)
        assert meters is not None and 1000 * size.scale * meters == pytest.approx(millimeters)
        assert size.source == f"given: {name} {millimeters:g} mm"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("nose=3", "the head has no length 'nose'"),
        ("33,33=3", "the head has no length"),
        ("33,999=3", "the head has no length"),
        ("face-width", "'face-width' is not a length; give NAME=MM"),
        ("face-width=nan", "is not a length"),
        ("face-width=-3", "is not a length"),
        ("face-width=2", "times that of the avatar"),
    ],
)
def test_other_lengths_are_refused(lengths: HeadLengths, text: str, sentence: str) -> None:
    with pytest.raises(HeadsplatError, match=sentence):
        size_from_length(lengths, text)
