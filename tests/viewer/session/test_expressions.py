"""Expressions for editing by hand: groups, counterparts, rows, presets."""

from __future__ import annotations

import pytest

from avatar.cli.arguments import parse_angles, parse_weights
from avatar.head.arkit import ARKIT_52
from avatar.performance.mixing.presets import PRESETS, Preset
from viewer.session.expressions import (
    as_text,
    at_rest,
    counterpart,
    groups,
    matching,
    rows,
    with_weight,
)
from viewer.session.state import Sliders


def test_each_arkit_expression_is_in_one_group() -> None:
    assert sorted(name for names in groups(ARKIT_52).values() for name in names) == sorted(ARKIT_52)


def test_names_of_no_group_come_last() -> None:
    assert list(groups(("expr_000", "browInnerUp"))) == ["brows", "others"]


@pytest.mark.parametrize("name", ARKIT_52)
def test_a_twins_twin_is_itself(name: str) -> None:
    other = counterpart(name)
    assert other is None or (other in ARKIT_52 and counterpart(other) == name)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("mouthSmileLeft", "mouthSmileRight"),
        ("eyeLookInLeft", "eyeLookOutRight"),
        ("eyeLookUpRight", "eyeLookUpLeft"),
        ("eyelidLeft", "eyelidRight"),
        ("jawLeft", None),
        ("mouthRight", None),
        ("jawOpen", None),
    ],
)
def test_counterparts_are_of_the_other_side_and_eyes_look_the_same_way(name: str, other: str | None) -> None:
    assert counterpart(name) == other


def test_a_mirrored_edit_sets_both_sides_and_another_does_not() -> None:
    assert with_weight({"jawOpen": 0.2}, "browDownLeft", 0.5, mirrored=True) == {
        "jawOpen": 0.2,
        "browDownLeft": 0.5,
        "browDownRight": 0.5,
    }
    assert with_weight({}, "browDownLeft", 0.5, mirrored=False) == {"browDownLeft": 0.5}


def test_weights_of_0_are_removed() -> None:
    assert with_weight({"browDownLeft": 0.5, "browDownRight": 0.5}, "browDownRight", 0.0, mirrored=True) == {}


def test_both_sides_share_a_row_in_the_order_of_the_image() -> None:
    assert rows(("mouthLeft", "mouthRight", "mouthSmileLeft", "mouthSmileRight", "jawOpen")) == [
        ("mouthLeft",),
        ("mouthRight",),
        ("mouthSmileRight", "mouthSmileLeft"),
        ("jawOpen",),
    ]


def test_a_search_for_one_side_gives_a_row_for_it() -> None:
    assert rows(matching(ARKIT_52, "smile left")) == [("mouthSmileLeft",)]


def test_a_search_matches_names_and_titles() -> None:
    assert matching(ARKIT_52, "BROW outer") == ("browOuterUpLeft", "browOuterUpRight")
    assert "eyeBlinkLeft" in matching(ARKIT_52, "lids")
    assert matching(ARKIT_52, "") == ARKIT_52
    assert not matching(ARKIT_52, "elbow")


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_presets_are_arkit_weights(preset: Preset) -> None:
    assert set(preset.weights) <= set(ARKIT_52)
    assert all(0 < weight <= 1 for weight in preset.weights.values())


def test_the_text_of_a_face_is_parsed_by_the_command_line() -> None:
    sliders = Sliders({"jawOpen": 0.25, "tongueOut": 0.5}, {"jawOpen": 0.1, "expr_3": -0.5}, head=(10.0, -5.0, 2.5))
    words = as_text(sliders).split()
    assert parse_weights(words[1:-1]) == {"jawOpen": 0.35, "tongueOut": 0.5, "expr_3": -0.5}
    assert parse_angles(words[-1].removeprefix("--head-pose=")) == sliders.head


def test_reset_keeps_the_options() -> None:
    sliders = Sliders({"jawOpen": 1.0}, {"jawOpen": 1.0}, (1.0, 2.0, 3.0), (4.0, 5.0), (6.0, 7.0), False, True, "brow")
    assert at_rest(sliders) == Sliders(mirrored=False, soft_clamp=True, search="brow")
