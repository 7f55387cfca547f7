"""The score of closures at frames, which the other tests and the benchmark rely on."""

from __future__ import annotations

import pytest

from avatar.performance.speech.phones import Phone
from tests.support.closure_score import ClosureScore
from tests.support.espeak import synthesize
from tools.weights.espeak import arpabet


def score(*got: Phone, fps: float = 30) -> ClosureScore:
    """Against one true closure at 1.00 to 1.06 s."""
    truth = [Phone("AA", 0.0, 1.0), Phone("P", 1.0, 1.06), Phone("AA", 1.06, 2.0)]
    found = ClosureScore(fps)
    found.add(truth, got)
    return found


def test_a_closure_a_frame_away_is_found() -> None:
    assert score(Phone("B", 1.05, 1.08)).recall == 1
    assert score(Phone("B", 1.05, 1.08)).precision == 1


def test_a_closure_two_frames_away_is_not_found_and_lies_in_a_vowel() -> None:
    found = score(Phone("M", 1.13, 1.15))
    assert (found.found, found.right, found.in_vowels) == (0, 0, 1)


def test_a_closure_between_two_frames_shows_in_the_nearest() -> None:
    assert score(Phone("M", 1.035, 1.045)).recall == 1


def test_at_60_frames_per_second_half_the_error_is_allowed() -> None:
    assert score(Phone("M", 1.075, 1.08)).recall == 1
    assert score(Phone("M", 1.075, 1.08), fps=60).recall == 0


def test_other_phones_close_no_lips() -> None:
    found = score(Phone("N", 1.0, 1.06))
    assert (found.wanted, found.found, found.given) == (1, 0, 0)


@pytest.mark.parametrize(
    ("ipa", "phones"), [("ˈaɪɚ", ["AY", "ER"]), ("əl", ["AH", "L"]), ("tʃ", ["CH"]), ("", ["SIL"])]
)
def test_names_of_phonemes_become_phones(ipa: str, phones: list[str]) -> None:
    assert arpabet(ipa) == phones


def test_a_stop_lasts_from_the_end_of_the_vowel_to_its_burst() -> None:
    samples, rate, phones = synthesize("apple")
    stop = next(phone for phone in phones if phone.name == "P")
    inside = samples[int((stop.start + 0.01) * rate) : int((stop.end - 0.005) * rate)]
    assert abs(inside).max() < 0.02 * abs(samples).max() and 0.02 < stop.end - stop.start < 0.12
