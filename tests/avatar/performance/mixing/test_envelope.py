"""Fades, and pulses of onset, apex and offset."""

from __future__ import annotations

import numpy as np
import pytest

from avatar.errors import HeadsplatError
from avatar.performance.mixing.envelope import Pulse, faded


def strength(pulse: Pulse, times: np.ndarray, seed: int = 0) -> np.ndarray:
    return pulse.strength(times, np.random.default_rng(seed))


def test_a_pulse_has_its_durations() -> None:
    times = np.arange(0, 2, 1e-3)
    found = strength(Pulse((0.5,), onset=0.1, apex=0.2, offset=0.3), times)
    assert times[found > 0].min() == pytest.approx(0.5, abs=0.002) and times[found > 0].max() == pytest.approx(
        1.1, abs=0.002
    )
    full = times[found >= 1 - 1e-9]
    assert (full.min(), full.max()) == (pytest.approx(0.6, abs=0.002), pytest.approx(0.8, abs=0.002))


def test_the_onset_is_faster_than_the_offset() -> None:
    found = strength(Pulse((0,), onset=0.2, apex=0, offset=0.2), np.array([0.1, 0.3]))
    assert found[0] == pytest.approx(0.75) and found[1] == pytest.approx(0.5)


def test_pulses_repeat_and_the_stronger_of_two_counts() -> None:
    times = np.arange(0, 5, 0.01)
    found = strength(Pulse((0.0, 0.1), 0.1, 0.2, 0.1, every=2.0), times)
    assert found.max() <= 1 and found[times == 1.5] == 0 and found[np.argmin(abs(times - 2.25))] == 1


def test_jitter_depends_on_the_seed_only() -> None:
    pulse, times = Pulse((1.0, 2.0, 3.0), jitter=0.1, vary=0.5), np.arange(0, 4, 0.01)
    assert np.array_equal(strength(pulse, times, 1), strength(pulse, times, 1))
    assert not np.array_equal(strength(pulse, times, 1), strength(pulse, times, 2))
    assert strength(pulse, times, 1).max() < 1


def test_a_longer_motion_leaves_earlier_pulses() -> None:
    pulse = Pulse((0.5,), every=1.0, jitter=0.1, vary=0.5)
    times = np.arange(0, 9, 0.01)
    assert np.array_equal(strength(pulse, times[:300])[:250], strength(pulse, times)[:250])


def test_no_onset_and_no_offset_is_a_step() -> None:
    found = strength(Pulse((1.0,), 0, 0.5, 0), np.array([0.99, 1.0, 1.4, 1.51]))
    assert found.tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"onset": -1}, "`pulse.onset` is -1, expected 0 to 3600 seconds"),
        ({"offset": float("nan")}, "`pulse.offset` is nan, expected 0 to 3600 seconds"),
        ({"vary": 2}, "`pulse.vary` is 2, expected 0 to 1"),
        ({"times": (-1.0,)}, "`pulse.times` has a time that is negative or too large; give seconds from 0 on"),
        ({"times": ()}, "`pulse.times` is empty; give the seconds at which it starts, such as [1.0, 3.5]"),
        ({"onset": 0, "apex": 0, "offset": 0}, "`pulse` lasts 0 s; give onset, apex or offset"),
    ],
)
def test_bad_pulses_are_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        Pulse(**values)  # type: ignore[arg-type]
    assert str(caught.value) == message


def test_too_many_pulses_are_refused() -> None:
    with pytest.raises(
        HeadsplatError, match=r"`pulse.every` of 1e-05 s gives \d+ pulses in 10 s, at most 10000 are played"
    ):
        strength(Pulse((0.0,), every=1e-5), np.array([0.0, 10.0]))


def test_fades_are_level_at_their_ends() -> None:
    found = faded(np.array([0.9, 1.0, 1.5, 2.0, 3.0, 3.5, 4.0, 4.1]), 1, 4, 1, 1)
    assert found.tolist() == [0, 0, 0.5, 1, 1, 0.5, 0, 0]


def test_without_fades_a_layer_is_full_or_absent() -> None:
    assert faded(np.array([0.9, 1, 9]), 1, float("inf"), 0, 2).tolist() == [0, 1, 1]
