"""The estimate of the time left: of steady, slowed, bursting and stopped work, by a scripted clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatar.common.time_left import BOUND_SECONDS, FACTOR, SHORTEST, Estimate, TimeLeft

Script = Iterable[tuple[float, float, float | None]]  # time, fraction, processor seconds


def estimates(script: Script) -> list[tuple[float, Estimate]]:
    """The estimates after each report of `script`."""
    model, found = TimeLeft(0.0), []
    for now, fraction, processor in script:
        model.report(now, fraction)
        found.append((now, model.estimate(now, processor)))
    return found


def work(rate: Callable[[float], float], share: Callable[[float], float | None], seconds: float) -> Script:
    """Work reported ten times a second, with `rate` (fraction per second) and processor `share` by time."""
    fraction, used = 0.0, 0.0
    for tick in range(1, round(seconds * 10) + 1):
        now = tick / 10
        fraction += rate(now) / 10
        part = share(now)
        used += (part or 0.0) / 10
        yield now, min(1.0, fraction), None if part is None else used


def check_agreement(found: list[tuple[float, Estimate]]) -> None:
    known = [(now, each.seconds_left) for now, each in found if each.seconds_left is not None and not each.busy]
    for index, (before, early) in enumerate(known):
        for now, late in known[index + 1 :]:
            if now - before > BOUND_SECONDS or late == 0:
                break
            assert late <= FACTOR * max(SHORTEST, early) + 1e-6
            assert late >= (early - (now - before)) / FACTOR - 1e-6


def test_steady_work_is_estimated_exactly_and_never_called_busy() -> None:
    found = estimates(work(lambda now: 0.01, lambda now: 1.0, 100))
    assert all(each.seconds_left is None for now, each in found if now < 2)
    known = [(now, each) for now, each in found if now >= 2]
    assert all(each.seconds_left == pytest.approx(100 - now, abs=0.1) and not each.busy for now, each in known)


@pytest.mark.parametrize("processor", [None, 2.0])
def test_work_slowed_five_times_by_others_is_busy_and_its_estimate_follows(processor: float | None) -> None:
    def rate(now: float) -> float:
        return 0.002 if 30 < now <= 70 else 0.01

    found = estimates(work(rate, lambda now: processor and (0.4 if 30 < now <= 70 else processor), 100))
    check_agreement(found)
    by_time = dict(found)
    assert not any(each.busy for now, each in found if now <= 30 or now > 80)
    assert all(each.busy for now, each in found if 37 < now <= 70)
    assert by_time[60.0].seconds_left == pytest.approx((1 - 0.36) / 0.002, rel=0.05)
    assert by_time[90.0].seconds_left == pytest.approx((1 - 0.58) / 0.01, rel=0.05)


def test_a_machine_that_is_busy_from_early_on_is_called_so_all_the_time() -> None:
    def slow(now: float) -> bool:
        return 5 < now <= 65

    found = estimates(work(lambda now: 0.002 if slow(now) else 0.01, lambda now: 0.4 if slow(now) else 2.0, 100))
    check_agreement(found)
    assert all(each.busy for now, each in found if 12 < now <= 65)
    assert not any(each.busy for now, each in found if now > 73)


def test_work_that_is_slower_by_itself_is_not_called_busy_and_doubles_step_by_step() -> None:
    found = estimates(work(lambda now: 0.02 if now <= 20 else 0.002, lambda now: 2.0, 80))
    assert not any(each.busy for _, each in found)
    check_agreement(found)
    assert dict(found)[80.0].seconds_left == pytest.approx((1 - 0.52) / 0.002, rel=0.05)


def test_faster_work_halves_the_estimate_step_by_step() -> None:
    found = estimates(work(lambda now: 0.001 if now <= 30 else 0.01, lambda now: 1.0, 90))
    check_agreement(found)
    assert dict(found)[90.0].seconds_left == pytest.approx((1 - 0.63) / 0.01, rel=0.1)


def test_bursts_do_not_disturb_the_estimate() -> None:
    script = ((tick / 10, (tick // 30) * 0.03, tick / 10) for tick in range(1, 900))
    found = estimates(script)
    check_agreement(found)
    assert not any(each.busy for _, each in found)
    assert all(each.seconds_left == pytest.approx(100 - now, abs=4) for now, each in found if 10 < now < 90)


def test_a_pause_with_unknown_cause_is_said_and_forgotten() -> None:
    found = estimates(work(lambda now: 0.0 if 30 < now <= 50 else 0.01, lambda now: None, 100))
    check_agreement(found)
    assert all(each.busy for now, each in found if 42 < now <= 50)
    assert dict(found)[70.0] == Estimate(pytest.approx(50, rel=0.1), False)


def test_nothing_is_known_before_the_first_progress_and_nothing_is_left_after_the_last() -> None:
    model = TimeLeft(100.0)
    assert model.estimate(150.0, 3.0) == Estimate(None, False)
    model.report(160.0, 0.5)
    model.report(161.0, 0.4)  # ignored
    assert model.estimate(161.0).seconds_left == pytest.approx(60, abs=2)
    model.report(161.5, 0.5 + 1e-300)  # does not count
    assert model.estimate(161.5).seconds_left == pytest.approx(60, abs=2)
    model.report(162.0, 1.0)
    assert model.estimate(170.0) == Estimate(0.0, False)


@given(
    st.lists(
        st.tuples(st.floats(0.01, 30), st.floats(0, 0.2), st.one_of(st.none(), st.floats(0, 2))),
        min_size=1,
        max_size=60,
    )
)
def test_estimates_agree_or_say_why(steps: list[tuple[float, float, float | None]]) -> None:
    now, fraction, used, script = 0.0, 0.0, 0.0, []
    for seconds, done, share in steps:
        now, fraction, used = now + seconds, fraction + done, used + seconds * (share or 0.0)
        script.append((now, fraction, None if share is None else used))
    found = estimates(script)
    assert all(each.seconds_left is None or each.seconds_left >= 0 for _, each in found)
    check_agreement(found)
