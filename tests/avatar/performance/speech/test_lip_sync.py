"""Lip sync: a mouth that follows the phones, late, shut or still, and the measure in `headsplat eval`."""

from __future__ import annotations

import numpy as np
import pytest

from avatar.data.capture_folder import Capture
from avatar.evaluation.landmarks import Landmarker
from avatar.model.avatar import Avatar
from avatar.performance.speech.lip_sync import LEAST_FRAMES, LipSyncRow, measure_lip_sync
from avatar.performance.speech.phones import BILABIALS, FRAME_RATE, PHONES, SILENCE, VOWELS, Phone, Speech, Word
from avatar.performance.speech.speaking_frames import OPENINGS, LipSync, measure_capture, opening_of

_SAID = (
    SILENCE,
    "M",
    "AA",
    "M",
    "AH",
    SILENCE,
    "B",
    "EH",
    "T",
    "IY",
    "P",
    "AE",
    "L",
    "OW",
    "M",
    "IY",
    "V",
    "AW",
    SILENCE,
)


def speech_of(names: tuple[str, ...] = _SAID, step: float = 0.11) -> Speech:
    """Phones of equal length; vowels are loud, silence is not."""
    phones = tuple(Phone(name, place * step, (place + 1) * step) for place, name in enumerate(names))
    seconds = len(names) * step
    clock = np.arange(round(seconds * FRAME_RATE)) / FRAME_RATE
    said = [names[min(int(time / step), len(names) - 1)] for time in clock]
    level = {SILENCE: -60.0, **dict.fromkeys(VOWELS, -3.0)}
    loudness = np.array([level.get(name, -20.0) for name in said], np.float32)
    return Speech(seconds, phones, (), loudness, np.zeros_like(loudness))


def mouth(speech: Speech, times: np.ndarray, late: float = 0.0) -> np.ndarray:
    """The opening that the phones ask for, `late` seconds later."""
    expected = opening_of(speech)
    return np.interp(times - late, np.arange(len(expected)) / FRAME_RATE, expected)


TIMES = np.arange(0, 2.0, 1 / 30)


def test_every_phone_has_an_opening_and_only_lips_that_close_have_none() -> None:
    assert set(OPENINGS) == set(PHONES)
    assert {name for name, opening in OPENINGS.items() if opening == 0} == {SILENCE, *BILABIALS}
    assert max(OPENINGS, key=OPENINGS.__getitem__) in VOWELS


def test_the_opening_is_smooth_within_0_and_1_and_lasts_as_long_as_the_sound() -> None:
    speech = speech_of()
    opening = opening_of(speech)
    assert len(opening) == round(speech.seconds * FRAME_RATE)
    assert opening.min() >= 0 and opening.max() <= 1 and np.abs(np.diff(opening)).max() < 0.2


@pytest.mark.parametrize("late", [-0.12, -0.03, 0.0, 0.05, 0.2])
def test_the_offset_of_a_late_mouth_is_found(late: float) -> None:
    speech = speech_of()
    row = measure_lip_sync(TIMES, mouth(speech, TIMES, late), speech, opening_of(speech))
    assert row is not None
    assert row.offset_ms == pytest.approx(1000 * late, abs=6) and row.correlation > 0.99
    assert row.correlation_in_place <= row.correlation + 1e-9


def test_closures_count_where_the_mouth_shuts_within_a_frame() -> None:
    speech = speech_of()
    in_time = measure_lip_sync(TIMES, mouth(speech, TIMES), speech, opening_of(speech))
    late = measure_lip_sync(TIMES, mouth(speech, TIMES, 0.13), speech, opening_of(speech))
    assert in_time is not None and late is not None
    assert in_time.closures == late.closures == 5
    assert in_time.closed == 1 and late.closed < 0.5


def test_the_scale_of_the_opening_and_frames_without_a_face_do_not_matter() -> None:
    speech = speech_of()
    opening = mouth(speech, TIMES, 0.04)
    row = measure_lip_sync(TIMES, opening, speech, opening_of(speech))
    scaled = 3 * opening - 7
    scaled[[3, 40]] = np.nan
    other = measure_lip_sync(TIMES, scaled, speech, opening_of(speech))
    assert row is not None and other is not None
    assert other.offset_ms == pytest.approx(row.offset_ms, abs=5) and other.correlation > 0.99


def test_a_random_mouth_does_not_correlate() -> None:
    speech = speech_of(_SAID * 4)
    times = np.arange(0, speech.seconds, 1 / 30)
    row = measure_lip_sync(times, np.random.default_rng(0).random(len(times)), speech, opening_of(speech))
    assert row is not None and row.correlation < 0.4


def test_too_little_speech_and_a_still_mouth_give_no_figure() -> None:
    speech = speech_of()
    few = TIMES[: LEAST_FRAMES - 1]
    assert measure_lip_sync(few, mouth(speech, few), speech, opening_of(speech)) is None
    assert measure_lip_sync(TIMES, np.ones_like(TIMES), speech, opening_of(speech)) is None
    silent = speech_of((SILENCE,) * 20)
    assert measure_lip_sync(TIMES, mouth(speech, TIMES), silent, opening_of(silent)) is None
    assert measure_lip_sync(TIMES, np.full_like(TIMES, np.nan), speech, opening_of(speech)) is None


def test_the_text_names_offset_correlations_and_closures() -> None:
    row = LipSyncRow(90, 40.2, 0.81, 0.7, 0.55, 12, 0.75)
    assert row.to_text() == (
        "+40 ms, correlation 0.81 with the phones (0.70 without a shift) and 0.55 with the loudness; shut in 75 % of "
        "12 m, b, p"
    )
    text = LipSync("talk.wav", "phones of the given text", row, None).to_text()
    assert text.splitlines()[0] == "Lip sync to talk.wav (phones of the given text):"
    assert text.splitlines()[2] == "- avatar: not measured, too few frames with speech."


def test_a_capture_is_measured_with_its_sound(tiny_avatar: Avatar, tiny: Capture) -> None:
    """The tiny capture has too few frames for a figure: what runs is the path from its frames to the report."""
    speech = speech_of()
    words = Speech(speech.seconds, speech.phones, (Word("mama", 0, 1),), speech.loudness, speech.pitch)
    asked: list[np.ndarray] = []

    def locate(image: np.ndarray, start: np.ndarray) -> np.ndarray:
        asked.append(start)
        assert image.dtype == np.uint8 and image.shape[:2] == tiny.size_at(64)[::-1]
        return start

    found = measure_capture(tiny_avatar, tiny, words, "a.wav", Landmarker(locate), 64)
    assert len(asked) == min(len(tiny), 300)
    assert found.phones == "phones of the given text"
    assert (found.avatar is None) == (found.film is None)
    if found.film is not None and found.avatar is not None:  # the network saw the tracked landmarks
        assert found.avatar.offset_ms == pytest.approx(found.film.offset_ms, abs=1)
    without = measure_capture(tiny_avatar, tiny, speech, "a.wav", None, 64)
    assert without.avatar is None and without.phones == "phones recognized without a text"
