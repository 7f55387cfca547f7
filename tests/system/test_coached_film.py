"""A drawn person before the camera: what they do is seen in their pixels, and another person is seen beside them."""

from __future__ import annotations

from pathlib import Path

from tests.support.actor import Role
from tests.support.rehearsal import Rehearsal, asked_although_shown, requests, ticks, warned

#: Few frames a second, and the first requests only: each frame is rendered and tracked.
FPS = 10.0
SOON = 3.0


def test_what_a_person_does_is_ticked_off_once_and_nothing_else(tmp_path: Path) -> None:
    rehearsal = Rehearsal.of(Role("noor"), tmp_path / "film.capture", fps=FPS)
    rows = rehearsal.run(lambda row: row.advice.request == "blinking" or row.time > 12)
    asked = requests(rows)
    assert asked == ["rest", "turn left", "turn right", "mouth open", "blinking"]
    assert list(ticks(rows)) == asked[:-1]
    assert {row.advice.warning for row in rows} == {""}
    assert not asked_although_shown(rows, rehearsal.acted, 0.0)
    assert rehearsal.filming.kept > 20


def test_a_second_person_is_warned_of_and_nothing_counts_meanwhile(tmp_path: Path) -> None:
    rehearsal = Rehearsal.of(Role("ines", "second", ((2.5, 5.0),)), tmp_path / "film.capture", fps=FPS)
    rows = rehearsal.run(lambda row: row.time > 7.5)
    delay = warned(rows, 2.5, 5.0, ("people",))
    assert delay is not None and delay < SOON
    assert not any(row.advice.counts for row in rows if row.advice.warning == "people" and row.time < 5)
    assert rows[-1].advice.warning == ""
