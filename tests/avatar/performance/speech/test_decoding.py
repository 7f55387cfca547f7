"""The most likely path through probabilities of phones."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from avatar.performance.speech import decoding
from avatar.performance.speech.acoustic import AcousticModel
from avatar.performance.speech.decoding import SHORTEST, PathFinder, Run, free_graph, lips_together, text_graph
from avatar.performance.speech.phones import PHONES, SILENCE
from avatar.performance.speech.runs import continuous, phones_of_runs

COUNT = len(PHONES)


@pytest.fixture
def model() -> AcousticModel:
    """A model in which all phones are as common as each other and last ten frames."""
    even = np.full((COUNT, COUNT), -np.log(COUNT), np.float32)
    share = np.full(COUNT, -np.log(COUNT), np.float32)
    none = np.zeros((1, 1), np.float32)
    return AcousticModel((), (), none, none[0], even, np.full(COUNT, 10.0, np.float32), share)


def heard(*phones: tuple[str, int]) -> np.ndarray:
    """Log probabilities in which each phone is likely for a number of frames."""
    names = [PHONES.index(name) for name, frames in phones for _ in range(frames)]
    probabilities = np.full((len(names), COUNT), 0.2 / (COUNT - 1))
    probabilities[np.arange(len(names)), names] = 0.8
    return np.log(probabilities).astype(np.float32)


def named(runs: list[Run]) -> list[tuple[str, int, int]]:
    return [(PHONES[run.phone], run.start, run.end) for run in runs]


def test_the_likeliest_phones_are_found_without_a_text(model: AcousticModel) -> None:
    finder = PathFinder(free_graph(model), model)
    finder.push(heard(("SIL", 10), ("M", 8), ("AA", 12), ("P", 6)))
    assert named(finder.finish()) == [("SIL", 0, 10), ("M", 10, 18), ("AA", 18, 30), ("P", 30, 36)]


def test_a_single_unlikely_frame_makes_no_phone(model: AcousticModel) -> None:
    finder = PathFinder(free_graph(model), model)
    finder.push(heard(("M", 8), ("N", 1), ("M", 8)))
    assert named(finder.finish()) == [("M", 0, 17)]


def test_parts_of_a_sound_give_the_path_of_the_whole(model: AcousticModel) -> None:
    rows = heard(("SIL", 5), ("B", 7), ("IY", 9), ("SIL", 4))
    whole, parts = PathFinder(free_graph(model), model), PathFinder(free_graph(model), model)
    whole.push(rows)
    for part in np.array_split(rows, 7):
        parts.push(part)
    assert whole.finish() == parts.finish()


def words_of(model: AcousticModel, words: list[list[tuple[str, ...]]], rows: np.ndarray) -> list[tuple[str, int]]:
    graph, places = text_graph(words, model)
    finder = PathFinder(graph, model)
    finder.push(rows)
    return [(PHONES[run.phone], places[run.owner][0]) for run in finder.finish()]


def test_a_text_is_followed_where_the_sound_is_unclear(model: AcousticModel) -> None:
    rows = heard(("M", 8), ("AE", 9), ("T", 8))
    assert words_of(model, [[("M", "AE", "P")]], rows) == [("M", 0), ("AE", 0), ("P", 0)]


def test_a_pause_between_words_is_silence_of_no_word(model: AcousticModel) -> None:
    rows = heard(("M", 8), ("AA", 9), ("SIL", 20), ("P", 8), ("AA", 9))
    found = words_of(model, [[("M", "AA")], [("P", "AA")]], rows)
    assert found == [("M", 0), ("AA", 0), (SILENCE, -1), ("P", 1), ("AA", 1)]


def test_words_without_a_pause_follow_each_other(model: AcousticModel) -> None:
    rows = heard(("M", 8), ("AA", 9), ("P", 8), ("AA", 9))
    assert (SILENCE, -1) not in words_of(model, [[("M", "AA")], [("P", "AA")]], rows)


def test_the_pronunciation_that_was_said_is_chosen(model: AcousticModel) -> None:
    rows = heard(("DH", 6), ("IY", 9), ("SIL", 9))
    assert words_of(model, [[("DH", "AH"), ("DH", "IY")]], rows)[:2] == [("DH", 0), ("IY", 0)]


def test_a_sound_of_any_length_is_final_up_to_half_a_minute(
    model: AcousticModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "LAG", 50)
    rows = heard(*[("M", 8), ("AA", 9), ("SIL", 13)] * 20)
    finder = PathFinder(free_graph(model), model)
    finder.push(rows)
    assert len(finder._back) < 2 * 50
    assert named(finder.finish()) == [
        (name, 30 * k + start, 30 * k + end)
        for k in range(20)
        for name, start, end in (("M", 0, 8), ("AA", 8, 17), ("SIL", 17, 30))
    ]


def test_a_long_text_is_followed_when_its_start_is_final(model: AcousticModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "LAG", 50)
    found = words_of(model, [[("M", "AA")]] * 20, heard(*[("M", 8), ("AA", 9), ("SIL", 13)] * 20))
    assert [word for _, word in found] == [word for k in range(20) for word in (k, k, -1)]


def test_a_text_far_longer_than_what_is_final_is_followed(
    model: AcousticModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "LAG", 50)
    monkeypatch.setattr(decoding, "_BEAM", 40.0)
    found = words_of(
        model, [[("M", "AA", "P"), ("P",)]] * 60, heard(*[("M", 8), ("AA", 9), ("P", 5), ("SIL", 13)] * 60)
    )
    assert [word for _, word in found] == [word for k in range(60) for word in (k, k, k, -1)]


def test_nothing_heard_is_no_path(model: AcousticModel) -> None:
    assert PathFinder(free_graph(model), model).finish() == []


def test_phones_cover_the_sound_and_last_at_least_two_frames(model: AcousticModel) -> None:
    rows = np.log(np.random.default_rng(0).dirichlet(np.ones(COUNT), 300)).astype(np.float32)
    finder = PathFinder(free_graph(model), model)
    finder.push(rows)
    runs = finder.finish()
    assert all(run.end - run.start >= SHORTEST for run in runs[:-1])
    phones = phones_of_runs(runs, 2.995)
    assert phones[0].start == 0 and phones[-1].end == 2.995
    assert all(a.end == b.start for a, b in pairwise(phones))


def test_a_short_silence_in_speech_belongs_to_the_phone_before_it() -> None:
    sil, m, aa = (PHONES.index(name) for name in ("SIL", "M", "AA"))
    runs = [
        Run(0, sil, 0, 3, 1),
        Run(1, m, 3, 9, 0.5),
        Run(0, sil, 9, 12, 1),
        Run(2, aa, 12, 20, 1),
        Run(0, sil, 20, 40, 1),
    ]
    assert named(continuous(runs)) == [("SIL", 0, 3), ("M", 3, 12), ("AA", 12, 20), ("SIL", 20, 40)]


def test_lips_are_shut_even_if_it_is_unclear_for_which_sound(model: AcousticModel) -> None:
    names = [PHONES.index(name) for name in ("B", "M", "P", "N")]
    probabilities = np.full((8, COUNT), 0.1 / (COUNT - 4))
    probabilities[:, names] = 0.2, 0.19, 0.18, 0.33
    rows = np.concatenate((heard(("AA", 8)), np.log(probabilities).astype(np.float32), heard(("IY", 8))))
    finder = PathFinder(free_graph(model), model)
    finder.push(rows)
    assert [name for name, _, _ in named(finder.finish())] == ["AA", "B", "IY"]
    assert np.exp(lips_together(rows))[10, names] == pytest.approx((0.57, 0.5415, 0.513, 0.33))
