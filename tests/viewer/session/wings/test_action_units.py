"""Action units, points of the valence-arousal plane and texts as weights of the sliders, and read from them."""

from __future__ import annotations

import pytest

from avatar.errors import HeadsplatError
from avatar.head.arkit import ARKIT_52
from avatar.performance.facs.table import LEFT, RIGHT
from viewer.session.wings.action_units import (
    affect_of,
    face_at,
    face_described,
    matching_units,
    on_pad,
    places,
    table,
    units_of,
    with_unit,
)

KEYS = table().keys


def intensities(weights: dict[str, float], key: str) -> tuple[float, float]:
    """Of the right and the left side."""
    unit = next(unit for unit in units_of(weights) if unit.key == key)
    return unit.right, unit.left


def test_no_unit_of_the_resting_face_has_a_letter() -> None:
    # The face panel counts them without the table.
    assert not [unit.key for unit in units_of({}) if unit.letter]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("intensity", [0.3, 0.9])
def test_a_unit_set_on_a_resting_face_reads_as_set(key: str, intensity: float) -> None:
    weights = with_unit({}, key, LEFT, intensity, mirrored=True)
    assert set(weights) <= set(ARKIT_52)
    assert max(intensities(weights, key)) == pytest.approx(intensity, abs=0.01)


@pytest.mark.parametrize("key", KEYS)
def test_a_unit_set_to_zero_leaves_the_resting_face(key: str) -> None:
    assert with_unit(with_unit({}, key, LEFT, 0.8, True), key, LEFT, 0.0, True) == {}


@pytest.mark.parametrize("key", [unit.key for unit in table().units if unit.sided and unit.key != "AU30"])
def test_both_sides_move_where_edits_are_mirrored(key: str) -> None:
    right, left = intensities(with_unit({}, key, RIGHT, 0.6, mirrored=True), key)
    assert right == pytest.approx(left, abs=1e-6)


def test_one_side_moves_where_edits_are_not_mirrored() -> None:
    weights = with_unit({}, "AU12", LEFT, 0.6, mirrored=False)
    assert weights == {"mouthSmileLeft": 0.6}


def test_a_movement_to_a_side_is_never_mirrored() -> None:
    assert with_unit({}, "AU30", RIGHT, 0.5, mirrored=True) == {"jawRight": 0.5}


def test_other_weights_stay() -> None:
    before = {"browInnerUp": 0.4, "mouthLeft": 0.2}
    assert with_unit(before, "AU12", LEFT, 0.5, mirrored=False) == {**before, "mouthSmileLeft": 0.5}


def test_units_that_share_weights_add_up() -> None:
    tight = with_unit({}, "AU23", LEFT, 1.0, mirrored=True)
    both = with_unit(tight, "AU24", LEFT, 0.3, mirrored=True)
    assert both["mouthPressLeft"] == pytest.approx(tight["mouthPressLeft"] + 0.3)
    assert intensities(both, "AU23")[0] == pytest.approx(1.0, abs=0.01)
    assert intensities(both, "AU24")[0] == pytest.approx(0.3, abs=0.01)


def test_the_gap_between_the_lips_counts_what_opens_them_already() -> None:
    funnel = {"mouthFunnel": 0.2}
    parted = with_unit(funnel, "AU25", LEFT, 0.8, mirrored=True)
    assert parted["mouthFunnel"] == 0.2
    assert intensities(parted, "AU25")[0] == pytest.approx(0.8, abs=0.01)
    assert parted["jawOpen"] < with_unit({}, "AU25", LEFT, 0.8, mirrored=True)["jawOpen"]


@pytest.mark.parametrize("search", ["lip corner puller", "AU12", "zygomaticus", "smile"])
def test_units_are_found_by_number_name_muscle_and_phrase(search: str) -> None:
    assert "AU12" in matching_units(search) and "AU4" not in matching_units(search)


def test_an_empty_search_finds_all_units() -> None:
    assert matching_units("") == KEYS


@pytest.mark.parametrize("point", [(0.5, 0.2), (-0.5, -0.3), (0.0, 0.6), (-0.4, 0.5)])
def test_a_face_of_the_pad_reads_as_its_point(point: tuple[float, float]) -> None:
    assert affect_of(face_at(*point)) == pytest.approx(point, abs=0.02)


def test_the_middle_of_the_pad_is_the_resting_face() -> None:
    assert face_at(0.0, 0.0) == {} and affect_of({}) == pytest.approx((0.0, 0.0), abs=1e-9)


def test_points_outside_the_pad_are_moved_onto_its_circle() -> None:
    assert on_pad(3.0, 4.0) == (0.6, 0.8) and on_pad(0.3, -0.2) == (0.3, -0.2)


def test_the_pad_has_seven_emotions() -> None:
    names = [name for name, *_ in places()]
    assert set(names) == {"happiness", "surprise", "fear", "sadness", "anger", "disgust", "contempt"}


def test_a_text_becomes_a_face() -> None:
    weights, understood = face_described("wink left and big smile")
    assert weights["eyeBlinkLeft"] == 1.0 and "eyeBlinkRight" not in weights
    assert weights["mouthSmileLeft"] == weights["mouthSmileRight"] > 0.5
    assert len(understood) == 2


def test_a_text_that_is_not_understood_names_the_word() -> None:
    with pytest.raises(HeadsplatError, match='the word "surprissed" is not known; did you mean surprised'):
        face_described("slightly surprissed")
