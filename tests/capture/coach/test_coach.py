"""The coach before scripted people: what it asks for and warns of, in which order, and how long."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from capture.coach.coach import LONGEST, SHORTEST, Advice, Coach
from capture.coach.face_state import FaceState
from capture.coach.requests import REQUESTS, WARNINGS, YAW_MIN, Reading, sentence
from tests.capture.coach.actor import FPS, Actor, film, with_values

EXPRESSIONS = ("mouth open", "blinking", "smile", "brows up", "brows down", "pucker", "wink left", "wink right")
TURNS = ("turn left", "turn right", "look up", "look down", "circle")
#: Seconds in which the coach must ask for the right thing.
SOON = 3.0


def gone(start: float, end: float) -> Callable[[FaceState], FaceState]:
    """Nobody is in the frame from `start` to `end` seconds."""
    return lambda state: replace(state, found=False, expression={}) if start < state.time < end else state


def steps(coach: Coach, state: FaceState, seconds: float) -> Advice:
    """The advice after `seconds` of frames that show `state`."""
    advice = coach.advice()
    for frame in range(round(seconds * FPS)):
        advice = coach.step(replace(state, time=state.time + (frame + 1) / FPS))
    return advice


def at_rest() -> Coach:
    """A coach that has seen the face at rest."""
    coach = Coach()
    assert steps(coach, FaceState(0, expression={"jawOpen": 0.05}), 1.2).request == "turn left"
    return coach


def test_a_person_who_follows_shows_everything() -> None:
    transcript = film(Actor())
    assert transcript.last is not None
    assert transcript.last.share == 1 and set(transcript.last.ring) == {1.0}
    assert {transcript.status(key) for key in REQUESTS} == {"done"}


def test_a_recording_takes_25_to_60_seconds() -> None:
    for actor in (Actor(), Actor(cannot=tuple(REQUESTS))):
        assert SHORTEST <= film(actor).seconds <= LONGEST + 1


def test_what_helps_most_is_asked_for_first() -> None:
    requests = film(Actor()).requests[:-1]
    assert requests == sorted(requests, key=lambda key: -REQUESTS[key].gain)


def test_nothing_is_asked_for_twice_that_was_shown() -> None:
    requests = film(Actor(cannot=("smile", "turn left"))).requests
    assert {key for key in requests if requests.count(key) > 1} == {"smile", "turn left"}


def test_what_is_shown_by_itself_is_never_asked_for() -> None:
    smiling = FaceState(2, expression={"jawOpen": 0.05, "mouthSmileLeft": 0.7, "mouthSmileRight": 0.7})
    coach = at_rest()
    steps(coach, smiling, 1)
    transcript = film(Actor(), coach=coach)
    assert "smile" not in transcript.requests and transcript.status("smile") == "done"


@pytest.mark.parametrize("key", EXPRESSIONS)
def test_an_expression_that_never_comes_is_given_up_and_asked_for_once_more(key: str) -> None:
    transcript = film(Actor(cannot=(key,)))
    tries = transcript.requests.count(key)
    assert tries == (2 if REQUESTS[key].gain >= 2 else 1)
    assert transcript.status(key) == "given up"


def test_who_never_opens_the_mouth_is_asked_to() -> None:
    transcript = film(Actor(cannot=("mouth open", "laugh", "speech")))
    assert transcript.requests.count("mouth open") == 2
    assert {key for key in REQUESTS if transcript.status(key) == "given up"} == {"mouth open", "laugh", "speech"}


def test_who_stays_frontal_is_asked_to_turn() -> None:
    transcript = film(Actor(cannot=TURNS))
    assert transcript.lines[1].request == "turn left" and transcript.lines[1].time < SOON
    assert transcript.requests.count("turn left") == transcript.requests.count("turn right") == 2
    assert transcript.last is not None and set(transcript.last.ring) == {0.0}


@pytest.mark.parametrize(
    ("values", "warning"),
    [
        ({"brightness": 0.1}, "dark"),
        ({"clipped": 0.2}, "overexposed"),
        ({"side_light": 0.4}, "side light"),
        ({"side_light": 2.5}, "side light"),
        ({"eye_pixels": 40.0}, "small"),
        ({"box": (0.1, 0.1, 0.9, 0.8)}, "large"),
        ({"box": (0.3, 0.0, 0.7, 1.0)}, "large"),
        ({"box": (0.0, 0.3, 0.4, 0.8)}, "edge"),
        ({"blur": 0.8}, "soft"),
        ({"faces": 2}, "people"),
    ],
)
def test_a_fault_is_warned_of_soon(values: dict[str, object], warning: str) -> None:
    transcript = film(Actor(change=with_values(**values)), 10)
    assert transcript.when(warning) < SOON
    assert transcript.warnings == {warning}


def test_fast_turns_that_blur_are_not_blamed_on_the_lens() -> None:
    coach = at_rest()
    state = FaceState(2, expression={"jawOpen": 0.05}, blur=0.75)
    warnings = {coach.step(replace(state, time=2 + k / FPS, yaw=3.0 * k)).warning for k in range(30)}
    assert warnings == {"", "blurred"}


def test_blurred_frames_show_nothing() -> None:
    blurred = film(Actor(change=lambda state: replace(state, blur=0.4 if state.time < 1 else 0.8)), 20)
    assert blurred.last is not None and set(blurred.last.ring) == {0.0} and not blurred.last.counts
    assert blurred.status("turn left") == "given up"


def test_of_a_camera_that_is_never_sharp_the_sharper_frames_count() -> None:
    assert film(Actor(change=with_values(blur=0.72))).status("turn left") == "done"


def test_the_light_is_set_right_before_the_face_at_rest_is_taken() -> None:
    transcript = film(Actor(change=lambda state: replace(state, brightness=0.1 if state.time < 3 else 0.5)))
    assert next(line.time for line in transcript.lines if line.request == "turn left") > 3
    assert transcript.lines[-1].warning == ""


def test_who_talks_all_the_time_is_asked_for_a_face_at_rest_and_not_to_talk() -> None:
    transcript = film(Actor(talks=True))
    assert transcript.requests[0] == "rest" and transcript.requests.count("rest") == 2
    assert "speech" not in transcript.requests and transcript.status("speech") == "done"
    assert transcript.status("mouth open") == "done"


def test_who_leaves_is_called_back_and_nothing_is_given_up_meanwhile() -> None:
    transcript = film(Actor(change=gone(10, 20)))
    assert 10 < transcript.when("no face") < 10 + SOON
    assert {transcript.status(key) for key in REQUESTS} == {"done"}


def test_a_recording_without_a_face_ends() -> None:
    transcript = film(Actor(change=gone(0, 1000)))
    assert transcript.last is not None and transcript.last.finished and transcript.last.share == 0


def test_while_a_second_person_is_there_nothing_counts() -> None:
    transcript = film(Actor(change=lambda state: replace(state, faces=2 if 6 < state.time < 16 else 1)), 15.9)
    assert transcript.last is not None and not transcript.last.counts
    assert transcript.last.warning == "people"
    assert 6 < transcript.when("people") < 6 + SOON


def test_expressions_are_relative_to_the_persons_own_face_at_rest() -> None:
    smiles = {"mouthSmileLeft": 0.5, "mouthSmileRight": 0.5}
    coach = Coach()
    advice = steps(coach, FaceState(0, expression=smiles), 3)
    assert advice.request == "turn left"
    assert next(item.share for item in advice.items if item.key == "smile") == 0


@pytest.mark.parametrize(("opening", "shown"), [(0.1, "pucker"), (0.7, "mouth open")])
def test_narrow_lips_that_are_open_show_the_inside_of_the_mouth(opening: float, shown: str) -> None:
    weights = {"jawOpen": opening, "mouthPucker": 0.8}
    advice = steps(at_rest(), FaceState(2, expression=weights), 1)
    assert {item.key for item in advice.items if item.share > 0} == {"rest", shown}


@pytest.mark.parametrize(("name", "request_after"), [("browInnerUp", "turn left"), ("jawOpen", "rest")])
def test_brows_that_are_measured_with_noise_are_at_rest_and_a_mouth_that_talks_is_not(
    name: str, request_after: str
) -> None:
    coach = Coach()
    for frame in range(round(1.5 * FPS)):
        weights = {"jawOpen": 0.05, "browInnerUp": 0.1, name: 0.15 + 0.07 * (-1) ** frame}
        advice = coach.step(FaceState((frame + 1) / FPS, expression=weights))
    assert advice.request == request_after


def test_a_camera_that_stands_low_does_not_show_the_face_from_above() -> None:
    advice = steps(Coach(), FaceState(0, pitch=-15, expression={"jawOpen": 0.05}), 4)
    assert advice.request == "turn left" and set(advice.ring) == {0.0} and advice.pointing == (0.0, 0.0)


def test_expressions_that_pass_in_speech_are_not_shown() -> None:
    coach = at_rest()
    for frame in range(300):
        smiles = dict.fromkeys(("mouthSmileLeft", "mouthSmileRight"), 0.5 if frame % 10 < 3 else 0.0)
        advice = coach.step(FaceState(2 + frame / FPS, expression={"jawOpen": 0.05, **smiles}))
    assert next(item.status for item in advice.items if item.key == "smile") != "done"


def test_skip_gives_up_for_good() -> None:
    coach = at_rest()
    coach.skip()
    transcript = film(Actor(), coach=coach)
    assert "turn left" not in transcript.requests and transcript.status("turn left") == "given up"


def test_skip_of_the_face_at_rest_takes_what_was_seen_for_it() -> None:
    coach = Coach()
    coach.skip()
    assert "done" in {film(Actor(talks=True), coach=coach).status(key) for key in ("turn left", "smile")}


def test_repeat_asks_again_for_what_was_done_last() -> None:
    coach = at_rest()
    turned = FaceState(2, yaw=30, expression={"jawOpen": 0.05})
    assert steps(coach, turned, 1).request == "turn right"
    coach.repeat()
    assert coach.advice().request == "turn left"
    assert steps(coach, replace(turned, time=4), 1).request == "turn right"


def test_nothing_counts_during_a_pause() -> None:
    coach = at_rest()
    coach.pause()
    turned = FaceState(2, yaw=30, expression={"jawOpen": 0.05})
    paused = steps(coach, turned, 200)
    assert paused.paused and not paused.counts and not paused.finished and paused.words == "Paused."
    coach.pause()
    assert steps(coach, replace(turned, time=300), 1).request == "turn right"


def test_what_an_earlier_part_has_shown_is_not_asked_for_again() -> None:
    coach = Coach()
    actor = Actor(cannot=("smile",))
    advice = coach.advice()
    while not advice.finished:
        advice = coach.step(actor.frame(advice.request))
    later = Coach()
    later.go_on(json.loads(json.dumps(coach.shown())))
    actor = Actor()
    asked = [later.advice().request]
    while not (advice := later.step(actor.frame(asked[-1]))).finished:
        asked += [advice.request] if advice.request != asked[-1] else []
    assert asked == ["rest", "smile"] and actor.time < 10


def test_frames_before_the_face_at_rest_is_known_count_if_the_face_is_sharp_and_alone() -> None:
    states = FaceState(0.0), FaceState(0.0, blur=0.75), FaceState(0.0, faces=2), FaceState(0.0, found=False)
    assert [Coach().step(state).counts for state in states] == [True, False, False, False]


def test_the_same_frames_give_the_same_advice() -> None:
    assert film(Actor()).lines == film(Actor()).lines


@pytest.mark.parametrize(
    ("yaw", "pitch", "sector"),
    [
        (YAW_MIN + 1, 0, "left"),
        (-YAW_MIN - 1, 0, "right"),
        (0, 12, "up"),
        (0, -12, "down"),
        (20, 9, "left up"),
        (10, 3, ""),
    ],
)
def test_sectors_of_the_ring_are_directions_of_the_person(yaw: float, pitch: float, sector: str) -> None:
    assert Reading(FaceState(0), {}, yaw, pitch, (0, 0)).sector == sector


def test_words_are_sentences() -> None:
    for words in [each.words for table in (REQUESTS, WARNINGS) for each in table.values()]:
        text = sentence(words)
        assert text[0].isupper() and text.rstrip('"').endswith(".") and ".." not in text


def test_the_filming_guide_asks_in_the_words_of_the_coach() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "filming.md").read_text(encoding="utf-8")
    shown = ("rest", "turn left", "mouth open", "blinking", "smile", "look up", "brows up", "gaze")
    assert [key for key in shown if REQUESTS[key].words not in guide] == []
