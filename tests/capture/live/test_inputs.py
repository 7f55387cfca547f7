"""Motions that play at their own times, and sliders."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar.arkit import ARKIT_52
from avatar.errors import HeadsplatError
from avatar.records import JAW
from capture.live import Input
from capture.live.inputs import MotionInput, SliderInput, UdpInput, listen
from tests.capture.live.made_up import made_up_take


class Clock:
    """Seconds that go on when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def playing(frames: int = 10, **options: float | bool) -> tuple[MotionInput, Clock]:
    """A take of `frames` frames at 10 a second that has just been started."""
    clock = Clock()
    source = MotionInput(made_up_take(frames, 10.0), clock=clock, **options)  # type: ignore[arg-type]
    source.start()
    return source, clock


def frame_at(source: MotionInput) -> int | None:
    """Which frame `latest` gives."""
    sample = source.latest()
    if sample is None:
        return None
    off = (source.motion.weights - torch.from_numpy(sample.weights)).abs().amax(1)
    assert float(off.min()) == 0
    return int(off.argmin())


def frames_at(source: MotionInput, clock: Clock, seconds: list[float]) -> list[int | None]:
    """What `latest` gives so many seconds after the start."""
    found = []
    for moment in seconds:
        clock.now = 100 + moment
        found.append(frame_at(source))
    return found


def test_every_input_has_the_four_calls() -> None:
    inputs: list[Input] = [playing()[0], SliderInput(), listen("vmc")]
    for source in inputs:
        assert {"received", "dropped", "malformed", "rate"} <= set(source.facts())


def test_frames_come_once_and_at_their_times() -> None:
    source, clock = playing()
    assert frames_at(source, clock, [0, 0.05, 0.1, 0.19, 0.2, 0.9]) == [0, None, 1, None, 2, 9]


def test_uneven_times_are_kept() -> None:
    clock, motion = Clock(), made_up_take(3, 10.0)
    uneven = MotionInput(type(motion)(**{**vars(motion), "time": torch.tensor([5, 5.5, 5.6]).double()}), clock=clock)
    uneven.start()
    assert frames_at(uneven, clock, [0, 0.49, 0.5, 0.6]) == [0, None, 1, 2]


def test_a_loop_goes_on_with_the_first_frame_after_the_last_ones_time() -> None:
    source, clock = playing(3)
    assert frames_at(source, clock, [0, 0.2, 0.29, 0.31, 0.41, 3.05]) == [0, 2, None, 0, 1, 0]


def test_without_a_loop_it_ends_on_its_last_frame() -> None:
    source, clock = playing(3, loop=False)
    assert frames_at(source, clock, [0, 7, 8]) == [0, 2, None]
    assert source.facts()["finished"]


def test_speed_changes_on_the_way_without_a_jump() -> None:
    source, clock = playing(10, speed=2.0)
    assert frames_at(source, clock, [0, 0.1]) == [0, 2]
    source.speed = 0
    assert frames_at(source, clock, [5]) == [None]
    source.speed = 0.5
    assert frames_at(source, clock, [5.1, 5.21]) == [None, 3]


def test_seeking_gives_the_frame_there_even_standing_still() -> None:
    source, _ = playing(10, speed=0.0)
    for seconds, frame in ((0.55, 5), (0.5, 5), (-1.0, 0), (99.0, 9)):
        source.seek(seconds)
        assert frame_at(source) == frame
    assert source.position == pytest.approx(0.9)


def test_a_stopped_motion_goes_on_where_it_stood() -> None:
    source, clock = playing()
    clock.now = 100.25
    source.stop()
    assert frames_at(source, clock, [5]) == [None]
    source.start()
    assert frame_at(source) == 2


def test_frames_that_nobody_asked_for_are_counted_and_the_newest_says_when_it_was_due() -> None:
    source, clock = playing()
    assert frames_at(source, clock, [0]) == [0]
    clock.now = 100.55
    sample = source.latest()
    assert sample is not None and sample.time == pytest.approx(100.5)
    assert (source.facts()["samples"], source.facts()["dropped"]) == (2, 4)


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.floats(0, 2), max_size=12),
    loop=st.booleans(),
    speed=st.sampled_from([0.0, 0.3, 1.0, 7.0]),
)
def test_times_never_go_back_and_lie_in_the_past(steps: list[float], loop: bool, speed: float) -> None:
    source, clock = playing(5, loop=loop, speed=speed)
    last = 0.0
    for step in steps:
        clock.now += step
        if sample := source.latest():
            assert last < sample.time <= clock.now
            last = sample.time


@pytest.mark.parametrize("speed", [-1.0, 101.0, float("nan")])
def test_a_speed_that_is_none_is_refused(speed: float) -> None:
    with pytest.raises(HeadsplatError, match=r"^speed: expected 0 to 100 times the motion's own, got "):
        playing(speed=speed)


def test_sliders_give_their_face_at_the_start_and_after_each_change() -> None:
    clock = Clock()
    sliders = SliderInput(clock=clock)
    sliders.set({"jawOpen": 0.5})
    assert sliders.latest() is None  # not started
    sliders.start()
    first, again = sliders.latest(), sliders.latest()
    assert first is not None and first.weights[ARKIT_52.index("jawOpen")] == 0.5
    assert again is None
    clock.now += 1
    sliders.set({"mouthPucker": 0.25}, {"jaw": (0.1, 0, 0)})
    second = sliders.latest()
    assert second is not None and (second.time, second.weights.sum()) == (101, 0.75)
    np.testing.assert_allclose(second.joint_rot[JAW], [0.1, 0, 0])
    assert first.weights.sum() == 0.5  # a sample is not changed afterwards


def test_sliders_go_back_to_rest() -> None:
    sliders = SliderInput(("a", "b"), "mine")
    sliders.set({"b": 1.0})
    sliders.reset()
    assert sliders.values() == {"a": 0, "b": 0}


@pytest.mark.parametrize(
    ("values", "turns", "sentence"),
    [
        ({"jawOpn": 1.0}, None, "sliders: no expression is called 'jawOpn'; did you mean jawOpen?"),
        ({}, {"nose": (0, 0, 0)}, "sliders: no joint is called 'nose'; the first of them is root"),
        (
            {"jawOpen": float("nan")},
            None,
            "sliders: a weight is a number, a joint's turn three (radians); set them again",
        ),
        ({}, {"jaw": (0, 0)}, "sliders: a weight is a number, a joint's turn three (radians); set them again"),
    ],
)
def test_sliders_say_what_is_wrong_and_stay(
    values: dict[str, float], turns: dict[str, tuple[float, ...]] | None, sentence: str
) -> None:
    sliders = SliderInput()
    with pytest.raises(HeadsplatError) as failure:
        sliders.set({"browInnerUp": 0.5, **values}, turns)
    assert str(failure.value) == sentence
    assert sliders.values()["browInnerUp"] == 0


def test_an_input_that_never_began_stops_in_silence() -> None:
    for source in (playing()[0], SliderInput(), UdpInput(listen("vmc").protocol)):
        source.stop()
        source.stop()
        assert source.latest() is None
