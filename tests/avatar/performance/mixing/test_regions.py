"""Regions: each name in one, sides, soft masks, and errors with suggestions."""

from __future__ import annotations

import numpy as np
import pytest

from avatar.errors import HeadsplatError
from avatar.performance.mixing.regions import GROUPS, NAMES, REGIONS, TRANSLATION, Mask, region_of, selected, side_of
from avatar.types import JAW, LEFT_EYE, NECK, RIGHT_EYE, ROOT


def test_each_name_is_in_exactly_one_region() -> None:
    assert sorted(name for names in REGIONS.values() for name in names) == sorted(NAMES)


def test_upper_and_lower_share_nothing_and_make_the_face() -> None:
    upper, lower = set(selected("upper")[0]), set(selected("lower")[0])
    assert not upper & lower and upper | lower == set(selected("face")[0]) == set(NAMES)


@pytest.mark.parametrize(
    ("selector", "joints"),
    [("gaze", {LEFT_EYE, RIGHT_EYE}), ("gaze.left", {LEFT_EYE}), ("mouth", {JAW}), ("head", {ROOT, NECK, TRANSLATION})],
)
def test_regions_have_joints(selector: str, joints: set[int]) -> None:
    assert set(selected(selector)[1]) == joints


def test_a_side_has_its_names_only() -> None:
    left = selected("face.left")[0]
    assert "mouthSmileLeft" in left and "browInnerUp" not in left
    assert all(side_of(name) == "left" for name in left)
    assert len(left) == len(selected("face.right")[0])


def test_a_movement_to_the_left_is_not_of_the_left_side() -> None:
    assert side_of("jawLeft") == side_of("mouthRight") == "" and "mouthLeft" not in selected("lips.left")[0]


def test_weights_make_soft_masks_and_the_larger_counts() -> None:
    mask = Mask.of({"mouth": 1, "cheeks": 0.5, "face": 0.25})
    assert mask.names[NAMES.index("jawOpen")] == 1 and mask.names[NAMES.index("cheekPuff")] == 0.5
    assert mask.names[NAMES.index("browInnerUp")] == 0.25 and mask.joints[JAW] == 1 and mask.joints[ROOT] == 0


def test_all_reaches_everything() -> None:
    mask = Mask.of("all")
    assert (mask.names == 1).all() and (mask.joints == 1).all()


def test_every_group_has_regions() -> None:
    assert all(np.isin(regions, list(REGIONS)).all() for regions in GROUPS.values())


@pytest.mark.parametrize("name", NAMES)
def test_the_region_of_a_name_has_it(name: str) -> None:
    assert name in REGIONS[region_of(name)]


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ("browz", "regions: no region or expression 'browz'; did you mean brows?"),
        ("jawopen", "regions: no region or expression 'jawopen'; did you mean jawOpen?"),
        ("expr0", "regions: no region or expression 'expr0'; regions are brows, lids"),
        ("brows.up", "regions: 'brows.up' has the side 'up'; give .left or .right, or no side"),
        ("jawOpen.left", "regions: jawOpen is one expression and has no side; leave out .left"),
        ("jaw.left", "regions: 'jaw.left': nothing in jaw belongs to one side; leave out .left"),
        ([], "regions: names no region; give one, such as mouth, or leave the key out"),
        ({"jaw": 2}, "regions: 'jaw' is 2, expected a weight from 0 to 1"),
        ({"jaw": True}, "regions: 'jaw' is True, expected a weight from 0 to 1"),
        ({"jaw": float("nan")}, "regions: 'jaw' is nan, expected a weight from 0 to 1"),
    ],
)
def test_bad_selections_are_refused(selection: object, message: str) -> None:
    with pytest.raises(HeadsplatError) as caught:
        Mask.of(selection)  # type: ignore[arg-type]
    assert str(caught.value).startswith(message)


def test_an_unknown_name_has_no_region() -> None:
    with pytest.raises(HeadsplatError, match=r"no expression 'jawOpn'; did you mean jawOpen?"):
        region_of("jawOpn")
