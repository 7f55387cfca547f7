"""Speech of synthetic voices to phones: what is found, and what is refused."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from avatar.errors import HeadsplatError
from avatar.performance.speech.features import RATE
from avatar.performance.speech.listen import listen
from avatar.performance.speech.phones import PHONES, SILENCE, VOWELS, Phone, Speech
from tests.support.closure_score import ClosureScore
from tests.support.espeak import synthesize
from tests.support.sounds import write_wav

SENTENCES = (
    "My mama bought a big map of Bombay.",
    "Please put the paper cup back on my table.",
    "The ship's captain spoke about problems with the pump, but nobody stopped to help him.",
    "When the sunlight strikes raindrops in the air, they act as a prism and form a rainbow.",
)
#: The voices with a variant are not among those of the training.
VOICES = ("en-us", "en-us+f3", "en-us+m7", "gmw/en", "gmw/en+f3", "gmw/en-GB-scotland", "gmw/en-GB-x-rp+robert")


def heard(folder: Path, text: str, voice: str, speed: int, *, with_text: bool) -> tuple[Speech, list[Phone]]:
    samples, rate, truth = synthesize(text, voice, speed)
    return listen(write_wav(folder / "a.wav", samples, rate), text if with_text else None), truth


def all_heard(folder: Path, *, with_text: bool) -> list[tuple[list[Phone], tuple[Phone, ...]]]:
    """True and recognized phones of every voice and sentence, at three speeds."""
    pairs = []
    for k, voice in enumerate(VOICES):
        for j, sentence in enumerate(SENTENCES):
            speech, truth = heard(folder, sentence, voice, (130, 160, 200)[(k + j) % 3], with_text=with_text)
            pairs.append((truth, speech.phones))
    return pairs


@pytest.fixture(scope="module")
def heard_with_text(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[list[Phone], tuple[Phone, ...]]]:
    pytest.importorskip("pocketsphinx")
    return all_heard(tmp_path_factory.mktemp("speech"), with_text=True)


def score(pairs: list[tuple[list[Phone], tuple[Phone, ...]]], fps: float) -> ClosureScore:
    found = ClosureScore(fps)
    for truth, phones in pairs:
        found.add(truth, phones)
    return found


def test_with_the_text_closures_are_found_to_a_frame_of_30_per_second(heard_with_text: list) -> None:
    found = score(heard_with_text, 30)
    assert found.recall >= 0.97 and found.precision >= 0.97


def test_with_the_text_closures_are_found_to_a_frame_of_60_per_second(heard_with_text: list) -> None:
    assert score(heard_with_text, 60).recall >= 0.95


def test_without_a_text_most_closures_are_found(tmp_path: Path) -> None:
    found = score(all_heard(tmp_path, with_text=False), 30)
    assert found.recall >= 0.85 and found.precision >= 0.9


@pytest.mark.parametrize("with_text", [True, False])
def test_phones_cover_the_sound_in_order(tmp_path: Path, with_text: bool) -> None:
    if with_text:
        pytest.importorskip("pocketsphinx")
    speech, _ = heard(tmp_path, SENTENCES[0], "en-us", 160, with_text=with_text)
    phones = speech.phones
    assert phones[0].start == 0 and phones[-1].end == speech.seconds
    assert all(a.end == b.start and a.start < a.end for a, b in pairwise(phones))
    assert {phone.name for phone in phones} <= set(PHONES)
    assert all(0 <= phone.confidence <= 1 and (phone.stress == 0 or phone.name in VOWELS) for phone in phones)
    assert len(speech.loudness) == len(speech.pitch) == int(speech.seconds * 100) + 1


def test_words_have_the_times_of_the_text(tmp_path: Path) -> None:
    pytest.importorskip("pocketsphinx")
    speech, truth = heard(tmp_path, "Bob, maybe seven.", "en-us", 150, with_text=True)
    assert [word.text for word in speech.words] == ["bob", "maybe", "seven"]
    starts = [next(p.start for p in truth if p.name == "B"), next(p.start for p in truth if p.name == "M")]
    assert [word.start for word in speech.words[:2]] == pytest.approx(starts, abs=0.05)


def test_the_loud_long_high_syllable_is_stressed(tmp_path: Path) -> None:
    pytest.importorskip("pocketsphinx")
    speech, _ = heard(tmp_path, "I said banana, and tomorrow.", "en-us", 150, with_text=True)
    banana = next(word for word in speech.words if word.text == "banana")
    vowels = [p for p in speech.phones if p.name in VOWELS and banana.start <= p.start < banana.end]
    assert [vowel.stress > 0 for vowel in vowels] == [False, True, False]
    assert any(p.stress == 1 for p in speech.phones)


@pytest.mark.parametrize("gain", [0.003, 0.05, 1.0])
def test_quiet_and_loud_recordings_give_the_same_phones(tmp_path: Path, gain: float) -> None:
    samples, rate, _ = synthesize(SENTENCES[0])
    loud = listen(write_wav(tmp_path / "a.wav", samples, rate, 32))
    quiet = listen(write_wav(tmp_path / "b.wav", samples * gain, rate, 32))
    assert [p.name for p in quiet.phones] == [p.name for p in loud.phones]


def test_the_format_of_the_file_hardly_matters(tmp_path: Path) -> None:
    samples, rate, truth = synthesize(SENTENCES[0])
    found = ClosureScore(30)
    found.add(truth, listen(write_wav(tmp_path / "a.wav", samples * 1.2, rate, 8)).phones)
    found.add(truth, listen(write_wav(tmp_path / "b.wav", np.stack((samples, samples * 0.2), 1), rate)).phones)
    found.add(truth, listen(write_wav(tmp_path / "c.wav", np.repeat(samples, 4), 4 * rate)).phones)
    assert found.recall >= 0.8


def test_silence_is_one_phone_and_a_note(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", np.zeros(RATE), RATE)
    speech = listen(path)
    assert [phone.name for phone in speech.phones] == [SILENCE] and speech.notes == ("The sound is silence.",)
    pytest.importorskip("pocketsphinx")
    with pytest.raises(
        HeadsplatError, match="is silence, in which no text is said; leave the text out or give another"
    ):
        listen(path, "hello")


def test_a_sound_of_a_few_samples_is_heard(tmp_path: Path) -> None:
    speech = listen(write_wav(tmp_path / "a.wav", np.full(5, 0.5), RATE))
    assert speech.phones[-1].end == pytest.approx(5 / RATE)


def test_a_clipped_sound_is_noted(tmp_path: Path) -> None:
    samples, rate, _ = synthesize(SENTENCES[0])
    speech = listen(write_wav(tmp_path / "a.wav", samples * 20, rate))
    assert any("of the sound is clipped, which hides phones; record it again with less gain" in n for n in speech.notes)


def test_words_that_the_dictionary_lacks_are_noted(tmp_path: Path) -> None:
    pytest.importorskip("pocketsphinx")
    speech, _ = heard(tmp_path, "The blorpify machine", "en-us", 150, with_text=True)
    assert any("guessed from their letters: blorpify." in note for note in speech.notes)


def test_a_text_that_is_too_long_for_the_sound_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("pocketsphinx")
    samples, rate, _ = synthesize("Hello")
    with pytest.raises(
        HeadsplatError, match=r"the text has 200 words, too many for .* s of sound; give the text of this"
    ):
        listen(write_wav(tmp_path / "a.wav", samples, rate), "hello world " * 100)


def test_a_text_of_another_sound_is_refused_or_noted(tmp_path: Path) -> None:
    pytest.importorskip("pocketsphinx")
    samples, rate, _ = synthesize(SENTENCES[3])
    path = write_wav(tmp_path / "a.wav", samples, rate)
    try:
        notes = listen(path, SENTENCES[0] + SENTENCES[1]).notes
    except HeadsplatError as error:
        assert "the text does not fit the sound (it starts with 'my mama bought a'); give what is said in it" in str(
            error
        )
    else:
        assert "The text fits the sound poorly; its times are uncertain." in notes


def test_noise_is_not_the_text(tmp_path: Path) -> None:
    pytest.importorskip("pocketsphinx")
    noise = np.random.default_rng(0).normal(0, 0.1, 3 * RATE)
    with pytest.raises(HeadsplatError, match="the text does not fit the sound"):
        listen(write_wav(tmp_path / "a.wav", noise, RATE), SENTENCES[0])
