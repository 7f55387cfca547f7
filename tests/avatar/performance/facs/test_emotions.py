"""Emotions of action units, the valence-arousal pad, and phrases."""

from __future__ import annotations

import numpy as np
import pytest

from avatar.errors import HeadsplatError
from avatar.head.arkit import ARKIT_52
from avatar.performance.facs.emotions import EmotionReader, chosen_labels, emotion_units, face_of
from avatar.performance.facs.phrases import PhraseReader, face_of_text
from avatar.performance.facs.table import FacsTable
from avatar.performance.facs.units import UnitReader

TABLE = FacsTable.load()
UNITS, EMOTIONS, PHRASES = UnitReader(TABLE), EmotionReader(TABLE), PhraseReader(TABLE)
NAMES = [emotion.name for emotion in TABLE.emotions]


def through_weights(faces: np.ndarray) -> np.ndarray:
    """Intensities [T,U,2] read from the weights that the faces [T,U,2] drive."""
    return UNITS.sides(UNITS.weights(faces))


def label(sides: np.ndarray, speech: float = 0.0) -> str:
    """The most probable label of a face [1,U,2]."""
    return TABLE.labels[int(chosen_labels(EMOTIONS(sides, speech).distribution)[0])]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("intensity", [0.5, 0.75, 1.0])
def test_a_preset_reads_as_its_own_label(name: str, intensity: float) -> None:
    assert label(through_weights(EMOTIONS.face(name, intensity)[None])) == name


@pytest.mark.parametrize("name", NAMES)
def test_the_probability_of_a_preset_rises_with_its_intensity(name: str) -> None:
    faces = np.stack([EMOTIONS.face(name, intensity) for intensity in np.linspace(0, 1, 11)])
    affect = EMOTIONS(through_weights(faces))
    column = TABLE.labels.index(name)
    assert (np.diff(affect.distribution[:, column]) > 0).all()
    assert (np.diff(affect.scores[:, column]) > 0).all()


@pytest.mark.parametrize("name", [*NAMES, "neutral"])
def test_at_intensity_0_every_preset_is_neutral(name: str) -> None:
    assert label(through_weights(emotion_units(name, 0.0)[None])) == "neutral"


@pytest.mark.parametrize("emotion", TABLE.emotions, ids=lambda emotion: emotion.name)
def test_every_variant_reads_as_its_emotion(emotion) -> None:
    assert [label(face[None]) for face in emotion.faces] == [emotion.name] * len(emotion.faces)


@pytest.mark.parametrize("key", ["AU34", "AU19", "AU30", "AU18", "AU29"])
def test_a_strong_unit_of_no_emotion_is_unknown(key: str) -> None:
    sides = np.zeros((1, len(TABLE.units), 2))
    sides[0, TABLE.keys.index(key)] = 1.0
    distribution = EMOTIONS(sides).distribution[0]
    assert label(sides) in ("unknown", "neutral")
    assert distribution[TABLE.labels.index("unknown")] > max(distribution[: len(NAMES)])


def test_distributions_add_up_to_one() -> None:
    sides = np.random.default_rng(0).random((30, len(TABLE.units)))
    affect = EMOTIONS(np.stack([sides, sides], -1))
    np.testing.assert_allclose(affect.distribution.sum(1), 1.0)
    assert np.abs(np.stack([affect.valence, affect.arousal])).max() <= 1


@pytest.mark.parametrize("speech", [0.0, 0.6])
def test_the_contributions_of_the_weights_add_up_to_the_scores(speech: float) -> None:
    weights = np.random.default_rng(3).random((20, 52)) ** 2
    sides = UNITS.sides(weights)
    parts = EMOTIONS.contributions(weights, sides, speech)
    np.testing.assert_allclose(parts.sum(2), EMOTIONS(sides, speech).scores, atol=1e-12)
    smile = np.zeros((1, 52))
    smile[:, [ARKIT_52.index("mouthSmileLeft"), ARKIT_52.index("mouthSmileRight")]] = 0.8
    part = EMOTIONS.contributions(smile, UNITS.sides(smile))[0, NAMES.index("happiness")]
    assert part[ARKIT_52.index("mouthSmileLeft")] == pytest.approx(part.sum() / 2)


def test_mouth_shapes_of_speech_are_no_emotion() -> None:
    weights = np.zeros((1, 52))
    for name, weight in {"mouthUpperUp": 0.5, "mouthStretch": 0.5, "mouthLowerDown": 0.5}.items():
        weights[:, [ARKIT_52.index(f"{name}{side}") for side in ("Left", "Right")]] = weight
    assert label(UNITS.sides(weights), speech=1.0) == "neutral"
    assert label(UNITS.sides(weights), speech=0.0) != "neutral"


def test_a_smile_while_speaking_is_still_a_smile() -> None:
    assert label(through_weights(EMOTIONS.face("happiness", 0.8)[None]), speech=1.0) == "happiness"


def test_a_smile_that_is_a_little_uneven_is_no_contempt() -> None:
    sides = np.zeros((1, len(TABLE.units), 2))
    sides[0, TABLE.keys.index("AU12")] = 0.8, 0.6
    assert label(sides) == "happiness"


def test_the_pad_is_neutral_at_its_center_and_has_the_presets_at_their_places() -> None:
    assert not face_of(0, 0).any()
    for emotion in TABLE.emotions:
        np.testing.assert_allclose(face_of(emotion.valence, emotion.arousal), emotion.faces[0], atol=1e-9)


def test_the_pad_reads_back() -> None:
    points = [(r * np.cos(angle), r * np.sin(angle)) for r in (0.2, 0.6) for angle in np.linspace(0, 6.2, 24)]
    affect = EMOTIONS(through_weights(np.stack([EMOTIONS.face_of(*point) for point in points])))
    np.testing.assert_allclose(np.stack([affect.valence, affect.arousal], 1), points, atol=0.03)


def test_the_pad_is_continuous() -> None:
    angles = np.linspace(0, 2 * np.pi, 2000)
    faces = np.stack([EMOTIONS.face_of(0.8 * np.cos(angle), 0.8 * np.sin(angle)) for angle in angles])
    assert np.abs(np.diff(faces, axis=0)).max() < 0.03
    assert EMOTIONS.face_of(5, 5).max() <= 1


def test_bad_places_and_intensities_are_refused() -> None:
    with pytest.raises(HeadsplatError, match="valence and arousal: expected numbers from -1 to 1, got NaN or infinity"):
        face_of(float("nan"), 0)
    with pytest.raises(HeadsplatError, match="emotion fear: expected an intensity from 0 to 1, got 2"):
        emotion_units("fear", 2)
    with pytest.raises(HeadsplatError, match="'bored' is not an emotion"):
        emotion_units("bored")


def units_of(text: str) -> dict[str, tuple[float, float]]:
    """The units of a text with their two sides, rounded."""
    units = PHRASES(text).units
    return {key: tuple(np.round(row, 2).tolist()) for key, row in zip(TABLE.keys, units, strict=True) if row.any()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("smile", {"AU12": (0.8, 0.8)}),
        ("Smile!", {"AU12": (0.8, 0.8)}),
        ("slight smile", {"AU12": (0.35, 0.35)}),
        ("smile slightly", {"AU12": (0.35, 0.35)}),
        ("a very slight smile", {"AU12": (0.35, 0.35)}),
        ("wink left", {"AU43": (1.0, 0.0)}),
        ("wink", {"AU43": (0.0, 1.0)}),
        ("raise your brows", {"AU1": (0.72, 0.72), "AU2": (0.72, 0.72)}),
        ("raise your left outer eyebrow", {"AU2": (0.8, 0.0)}),
        ("smile on the left side", {"AU12": (0.8, 0.0)}),
        ("look left", {"AU61": (0.8, 0.8)}),
        ("smile, no raised cheeks", {"AU12": (0.8, 0.8)}),
        ("very happy but not a smile", {"AU6": (0.7, 0.7), "AU25": (0.5, 0.5)}),
        ("wide-eyed with a strong frown", {"AU4": (1.0, 1.0), "AU5": (0.8, 0.8)}),
        ("AU4 and AU9", {"AU4": (0.8, 0.8), "AU9": (0.8, 0.8)}),
        ("neutral", {}),
        ("don\N{RIGHT SINGLE QUOTATION MARK}t smile", {}),
    ],
)
def test_phrases_make_faces(text: str, expected: dict[str, tuple[float, float]]) -> None:
    assert units_of(text) == expected


def test_an_adverb_scales_an_emotion() -> None:
    np.testing.assert_allclose(face_of_text("slightly surprised").units, emotion_units("surprise", 0.35))
    assert face_of_text("slightly surprised and sad").understood == ("surprised 0.35", "sad 0.8")


@pytest.mark.parametrize("name", NAMES)
def test_every_word_of_an_emotion_makes_its_face(name: str) -> None:
    for word in (name, *TABLE.emotion(name).words):
        np.testing.assert_allclose(face_of_text(word).units, emotion_units(name, 0.8), err_msg=word)


def test_every_known_phrase_is_understood() -> None:
    for phrase in PHRASES.known():
        assert PHRASES(phrase).understood, phrase


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'the text is empty; write a phrase such as "slightly surprised and sad"'),
        ("the and", '"the and" names no expression; write a phrase such as'),
        ("slightly", '"slightly" names no expression'),
        ("supprised", 'the word "supprised" is not known; did you mean surprised or surprise?'),
        ("smile qwxz", 'the word "qwxz" is not known; write a phrase such as'),
        ("x" * 3000, "the text has 3000 characters; write at most 2000"),
        ("sm\x1bile", "is not known"),
    ],
)
def test_a_text_that_is_not_understood_is_reported(text: str, message: str) -> None:
    with pytest.raises(HeadsplatError) as caught:
        face_of_text(text)
    assert message in str(caught.value)
    assert "\x1b" not in str(caught.value)
