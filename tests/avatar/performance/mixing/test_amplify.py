"""Amplification with a soft knee, and opposites."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar.errors import HeadsplatError
from avatar.performance.mixing.amplify import FIRST_OVER_SECOND, OPPOSITES, amplified, without_contradictions
from avatar.performance.mixing.regions import NAMES


def weights(**named: float) -> np.ndarray:
    table = np.zeros((1, len(NAMES)))
    for name, value in named.items():
        table[0, NAMES.index(name)] = value
    return table


def value(table: np.ndarray, name: str) -> float:
    return float(table[0, NAMES.index(name)])


@given(st.floats(1, 1.5), st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=80, deadline=None)
def test_amplified_weights_grow_keep_their_order_and_stay_within_1(factor: float, one: float, other: float) -> None:
    low, high = sorted((one, other))
    first, second = (value(amplified(weights(jawOpen=w), {"jaw": factor}), "jawOpen") for w in (low, high))
    assert low - 1e-12 <= first <= second + 1e-9 and second <= 1


def test_small_weights_grow_by_the_factor() -> None:
    assert value(amplified(weights(jawOpen=0.1), {"jaw": 1.5}), "jawOpen") == pytest.approx(0.15, rel=1e-3)


def test_a_factor_of_1_and_other_regions_change_no_bit() -> None:
    table = np.random.default_rng(0).random((20, len(NAMES)))
    assert np.array_equal(amplified(table, {"all": 1.0}), table)
    found = amplified(table, {"brows.left": 1.4})
    changed = {NAMES[index] for index in np.flatnonzero((found != table).any(0))}
    assert changed == {"browDownLeft", "browOuterUpLeft"}


def test_a_later_selector_overrides_an_earlier_one() -> None:
    found = amplified(weights(mouthSmileLeft=0.1, mouthSmileRight=0.1), {"lips": 1.5, "lips.left": 0.0})
    assert value(found, "mouthSmileLeft") == 0 and value(found, "mouthSmileRight") > 0.14


@pytest.mark.parametrize("factor", [1.6, -0.1, float("nan"), True])
def test_factors_out_of_range_are_refused(factor: float) -> None:
    with pytest.raises(HeadsplatError, match=r"amplify: jaw is .*, expected a factor from 0 to 1.5"):
        amplified(weights(), {"jaw": factor})


def test_a_closed_lid_is_not_wide_and_stays_closed() -> None:
    found = without_contradictions(weights(eyeBlinkLeft=1, eyeWideLeft=0.6), np.ones(len(NAMES), bool))
    assert value(found, "eyeBlinkLeft") == 1 and value(found, "eyeWideLeft") == 0


@pytest.mark.parametrize("pair", OPPOSITES, ids=lambda pair: pair[0])
def test_opposites_sum_to_1_at_most_in_their_proportion(pair: tuple[str, str]) -> None:
    found = without_contradictions(weights(**dict(zip(pair, (0.9, 0.6), strict=True))), np.ones(len(NAMES), bool))
    assert value(found, pair[0]) == pytest.approx(0.6) and value(found, pair[1]) == pytest.approx(0.4)


def test_pairs_that_a_mix_has_not_touched_stay() -> None:
    names = {name for pair in (*OPPOSITES, *FIRST_OVER_SECOND) for name in pair}
    table = weights(**dict.fromkeys(names, 0.8))
    assert np.array_equal(without_contradictions(table, np.zeros(len(NAMES), bool)), table)
