"""What the page of a recording receives of its state."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from avatar.jobs.filming import ready_view, view_of, working_view
from avatar.jobs.notices import Progress
from capture.coach.coach import Coach
from capture.film.session import Shown
from tests.capture.coach.actor import Actor
from viewer.session.film_view import FilmView
from viewer.web.film_server import view_message

IMAGES = {"image", "number", "avatar", "avatar_number"}


def test_a_message_has_all_of_a_state_but_its_images() -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    found = json.loads(view_message(FilmView(image=image, avatar=image, words="sit still", phase="working")))
    assert set(found) == {field.name for field in fields(FilmView)} - IMAGES
    assert (found["words"], found["phase"], found["pointing"]) == ("sit still", "working", None)


def test_a_message_of_a_recording_has_the_words_of_the_coach() -> None:
    coach, actor = Coach(), Actor()
    advice = coach.advice()
    while actor.time < 6.0:
        advice = coach.step(actor.frame(advice.request))
    view = view_of(Shown(np.zeros((4, 4, 3), np.uint8), advice, actor.time, 180, 87))
    found = json.loads(view_message(view))
    assert found["words"] == advice.words and found["recording"] and found["phase"] == "filming"
    assert [title for title, _, _ in found["items"]] == [item.title for item in advice.items]
    assert [share for _, share, _ in found["items"]] == pytest.approx([item.share for item in advice.items], abs=1e-3)
    assert found["ring"] == pytest.approx(advice.ring, abs=1e-3) and max(found["ring"]) > 0
    assert found["pointing"] == pytest.approx(advice.pointing, abs=1e-3)
    assert "87 frames kept" in found["note"] and found["keys"].startswith("space: pause    S: skip")


def test_a_state_says_whether_its_user_is_still_needed() -> None:
    working = working_view(Progress("training", 0.5, "text"))
    assert (working.phase, working.words, working.share) == ("working", "Making your avatar: training", 0.5)
    ready = ready_view(Path("folder/me.avatar"))
    assert (ready.phase, ready.words, ready.share) == ("ready", "Ready: me.avatar", 1.0)
    assert ready.note == f"it is in {Path('folder').absolute()}    drive it: headsplat live me.avatar"
