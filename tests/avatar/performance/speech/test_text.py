"""Written text to spoken words, and words to phones."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar.errors import HeadsplatError
from avatar.performance.speech import pronunciation, text
from avatar.performance.speech.phones import PHONES
from avatar.performance.speech.pronunciation import guessed_pronunciation, pronounced
from avatar.performance.speech.text import number_words, spoken_words


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Hello, World!", "hello world"),
        ("don’t “quote” — it's rock’n’roll", "don't quote it's rock'n'roll"),
        (
            "42 1,234,567 007",
            "forty two one million two hundred thirty four thousand five hundred sixty seven zero zero seven",
        ),
        ("3.14", "three point one four"),
        ("$5.50 and £1.01 and €20", "five dollars and fifty cents and one pound and one penny and twenty euros"),
        ("50%", "fifty percent"),
        (
            "in 1984, 2015, 1900 and 2005",
            "in nineteen eighty four twenty fifteen nineteen hundred and two thousand five",
        ),
        ("the 1st, 2nd, 21st and 20th", "the first second twenty first and twentieth"),
        ("the 1980s", "the nineteen eighties"),
        ("at 10:30, 9:05 and 7:00", "at ten thirty nine oh five and seven o'clock"),
        ("Dr. Smith vs. Mrs. Jones, e.g.", "doctor smith versus missus jones for example"),
        ("U.S.A.", "u s a"),
        ("Tom & Jerry @ home", "tom and jerry at home"),
        ("twenty-one well-known", "twenty one well known"),
        ("naïve café Straße", "naive cafe strasse"),
        ("-5 degrees", "minus five degrees"),
        ("B2B", "b two b"),
        ("the end.", "the end"),
    ],
)
def test_text_becomes_words(written: str, said: str) -> None:
    assert " ".join(spoken_words(written)) == said


@pytest.mark.parametrize("written", ["", "   ", "...", "你好", "!?", "🙂"])
def test_a_text_without_words_is_refused(written: str) -> None:
    with pytest.raises(HeadsplatError, match="has no word that can be said; give the words of the sound"):
        spoken_words(written)


def test_a_text_that_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "MAX_CHARACTERS", 10)
    with pytest.raises(
        HeadsplatError, match="the text has 11 characters, more than the 10 that are read; cut text and sound"
    ):
        spoken_words("hello world")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_any_text_gives_words_of_letters_or_one_sentence(written: str) -> None:
    try:
        words = spoken_words(written)
    except HeadsplatError as error:
        assert "has no word" in str(error)
    else:
        assert words and all(set(word) <= set("abcdefghijklmnopqrstuvwxyz'") for word in words)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**15 - 1))
def test_every_number_has_words(number: int) -> None:
    assert all(word.isalpha() for word in number_words(number))


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("bombastic", "B AA M B AE S T IH K"),
        ("blake", "B L EY K"),
        ("phone", "F OW N"),
        ("thumb", "TH AH M"),
        ("headsplat", "HH IY D S P L AE T"),
        ("yip", "Y IH P"),
        ("fbi", "F B IH"),
        ("xml", "EH K S EH M EH L"),
        ("e", "IY"),
    ],
)
def test_unknown_words_are_guessed_from_their_letters(word: str, phones: str) -> None:
    assert " ".join(guessed_pronunciation(word)) == phones


@settings(max_examples=200, deadline=None)
@given(st.from_regex(r"[a-z][a-z']{0,11}", fullmatch=True))
def test_every_word_can_be_guessed(word: str) -> None:
    phones = guessed_pronunciation(word)
    assert phones and set(phones) <= set(PHONES)


def test_words_of_the_dictionary_have_its_pronunciations() -> None:
    pytest.importorskip("pocketsphinx")
    found, guessed = pronounced(["people", "the", "blorpify's", "blorpify", "maps'"])
    assert found["people"][0] == ("P", "IY", "P", "AH", "L")
    assert len(found["the"]) > 1
    assert found["maps'"][0] == ("M", "AE", "P", "S")
    assert guessed == ["blorpify's", "blorpify"]


def test_a_possessive_ends_as_its_word_demands() -> None:
    pytest.importorskip("pocketsphinx")
    found, _ = pronounced(["aaker's", "aachen's", "zurich's"])
    assert found["aaker's"][0][-1] == "Z" and found["aachen's"][0][-1] == "Z"


def test_without_the_dictionary_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    with pytest.raises(HeadsplatError, match=r"pip install 'headsplat\[speech\]', or leave the text out"):
        pronounced(["hello"])


def test_a_missing_dictionary_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module = pytest.importorskip("pocketsphinx")
    monkeypatch.setattr(module, "get_model_path", lambda name: str(tmp_path / name))
    with pytest.raises(HeadsplatError, match="the dictionary of pocketsphinx is missing; install it again"):
        pronunciation.pronounced(["hello"])
