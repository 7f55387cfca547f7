"""Speech to motion: closures, coarticulation, sliders, limits."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from avatar.errors import HeadsplatError
from avatar.head.arkit import ARKIT_52
from avatar.performance.speech.phones import BILABIALS, VOWELS, Phone, Speech
from avatar.performance.speech.speaking import SpeakOptions, speak
from tests.support.scripted_speech import SENTENCE, at_middle, lip_gap, scripted, weight

MOUTH = SpeakOptions(acting=0)


@pytest.mark.parametrize("fps", [24, 25, 30, 50, 60, 120])
@pytest.mark.parametrize("length", [0.03, 0.09])
def test_the_lips_meet_in_the_middle_of_every_bilabial(fps: float, length: float) -> None:
    speech = scripted(SENTENCE, length)
    motion = speak(speech, dataclasses.replace(MOUTH, fps=fps))
    gap = lip_gap(motion)
    closures = [phone for phone in speech.phones if phone.name in BILABIALS]
    assert closures and max(gap[at_middle(motion, phone)] for phone in closures) <= 0


@pytest.mark.parametrize(("jaw", "lips"), [(0.0, 0.0), (1.5, 1.5), (1.5, 0.0), (0.0, 1.5)])
def test_closures_are_met_at_any_jaw_and_lips(jaw: float, lips: float) -> None:
    speech = scripted(SENTENCE)
    motion = speak(speech, dataclasses.replace(MOUTH, jaw=jaw, lips=lips))
    inside = [phone for phone in speech.phones if phone.name in BILABIALS]
    assert max(lip_gap(motion)[at_middle(motion, phone)] for phone in inside) <= 0


def test_lips_are_pressed_by_less_than_a_millimeter() -> None:
    assert lip_gap(speak(scripted(SENTENCE), dataclasses.replace(MOUTH, jaw=1.5, lips=1.5))).min() > -1


def test_the_mouth_is_open_in_the_middle_of_every_vowel() -> None:
    speech = scripted(SENTENCE)
    motion = speak(speech, MOUTH)
    gaps = [lip_gap(motion)[at_middle(motion, phone)] for phone in speech.phones if phone.name in VOWELS]
    assert min(gaps) > 2


def test_the_mouth_is_shut_before_and_after_speech() -> None:
    gap = lip_gap(speak(scripted("SIL:1 AA1 SIL:1"), MOUTH))
    assert max(gap[0], gap[-1]) < 0.6


def test_the_mouth_opens_at_the_first_vowel_to_a_frame() -> None:
    speech = scripted("SIL:.5 B AA1:.3 SIL:.5")
    motion = speak(speech, MOUTH)
    burst = speech.phones[2].start
    opening = motion.time.numpy()[np.flatnonzero((lip_gap(motion) > 1) & (motion.time.numpy() > 0.55))[0]]
    assert abs(opening - burst) < 2 / 60


def test_adjacent_bilabials_are_one_closure() -> None:
    speech = scripted("SIL:.3 AH M B ER SIL:.3")
    motion = speak(speech, MOUTH)
    first, last = at_middle(motion, speech.phones[2]), at_middle(motion, speech.phones[3])
    assert lip_gap(motion)[first : last + 1].max() <= 0


def test_open_vowels_open_the_jaw_more_than_close_ones() -> None:
    speech = scripted("SIL:.3 AA1:.2 SIL:.3 IY1:.2 SIL:.3")
    motion = speak(speech, MOUTH)
    jaw = weight(motion, "jawOpen")
    assert jaw[at_middle(motion, speech.phones[1])] > 2 * jaw[at_middle(motion, speech.phones[3])]


def test_lips_protrude_a_tenth_of_a_second_before_a_rounded_vowel() -> None:
    speech = scripted("SIL:.3 IY1:.2 S T UW1:.2 T SIL:.3")
    motion = speak(speech, MOUTH)
    pucker = weight(motion, "mouthPucker")
    early = round((speech.phones[4].start - 0.1) * 60)
    assert pucker[early] > 0.4 * pucker.max()


def test_tongue_phones_take_the_lip_shape_of_their_neighbors() -> None:
    speech = scripted("SIL:.3 UW1:.15 T UW1:.15 SIL:.3")
    motion = speak(speech, MOUTH)
    pucker = weight(motion, "mouthPucker")
    assert pucker[at_middle(motion, speech.phones[2])] > 0.8 * pucker.max()


def test_rounding_remains_in_a_closure() -> None:
    speech = scripted("SIL:.3 UW1:.15 B UW1:.15 SIL:.3")
    motion = speak(speech, MOUTH)
    assert weight(motion, "mouthPucker")[at_middle(motion, speech.phones[2])] > 0.3


@pytest.mark.parametrize("name", ["S", "Z", "SH", "ZH", "CH", "JH"])
def test_sibilants_narrow_the_jaw(name: str) -> None:
    speech = scripted(f"SIL:.3 AA1:.15 {name} AA1:.15 SIL:.3")
    motion = speak(speech, dataclasses.replace(MOUTH, jaw=1.5))
    assert weight(motion, "jawOpen")[at_middle(motion, speech.phones[2])] < 0.08


@pytest.mark.parametrize("name", ["F", "V"])
def test_labiodentals_leave_the_gap_that_the_upper_lip_is_raised_by(name: str) -> None:
    speech = scripted(f"SIL:.3 AA1:.15 {name} AA1:.15 SIL:.3")
    motion = speak(speech, MOUTH)
    row = at_middle(motion, speech.phones[2])
    raised = 3.9 * (weight(motion, "mouthUpperUpLeft") + weight(motion, "mouthUpperUpRight"))[row]
    assert lip_gap(motion)[row] == pytest.approx(raised, abs=0.15) and raised > 1


@pytest.mark.parametrize("text", [SENTENCE, "SIL:.2 B AA1:.04 P IY1:.04 M AA1:.04 B SIL:.2"])
def test_weights_are_bounded_and_smooth(text: str) -> None:
    motion = speak(scripted(text), SpeakOptions(fps=240, jaw=1.5, lips=1.5, acting=1.5))
    weights = motion.weights.numpy()
    assert weights.min() >= 0 and weights.max() <= 1
    steps = np.abs(np.diff(weights, axis=0)).max(0)
    fastest = {"eyeBlinkLeft", "eyeBlinkRight"} | {name for name in ARKIT_52 if name.startswith("eyeLook")}
    assert max(step for name, step in zip(ARKIT_52, steps, strict=True) if name not in fastest) < 0.12


def test_the_lip_gap_follows_the_scripted_openness() -> None:
    speech = scripted(SENTENCE.replace("SIL:.3", "SIL:.5"))
    motion = speak(speech, MOUTH)
    times = motion.time.numpy()
    openness = np.zeros(len(times))
    heights = {"AA": 1.0, "AY": 0.8, "AH": 0.7, "OW": 0.7, "IY": 0.4, "UW": 0.35, "F": 0.15, "V": 0.15}
    for phone in speech.phones:
        value = 0.0 if phone.name in (*BILABIALS, "SIL") else heights.get(phone.name, 0.4)
        openness[(times >= phone.start) & (times < phone.end)] = value
    openness = np.convolve(openness, np.hanning(7) / np.hanning(7).sum(), "same")
    assert np.corrcoef(openness, lip_gap(motion))[0, 1] > 0.8


def test_jaw_and_lips_are_separate() -> None:
    speech = scripted("SIL:.3 AE1:.2 SIL:.3 UW1:.2 SIL:.3")
    still_jaw = speak(speech, dataclasses.replace(MOUTH, jaw=0))
    still_lips = speak(speech, dataclasses.replace(MOUTH, lips=0))
    assert weight(still_jaw, "jawOpen").max() == 0 and weight(still_jaw, "mouthPucker").max() > 0.3
    assert weight(still_lips, "mouthPucker").max() == 0 and weight(still_lips, "jawOpen").max() > 0.2


def test_louder_vowels_are_larger_within_limits() -> None:
    quiet = scripted("SIL:.3 AA1:.2 SIL:.3 AA1:.2 SIL:.3")
    loudness = quiet.loudness.copy()
    loudness[80:105] += 40
    motion = speak(dataclasses.replace(quiet, loudness=loudness), MOUTH)
    first, second = (weight(motion, "jawOpen")[at_middle(motion, quiet.phones[k])] for k in (1, 3))
    assert 1.05 < second / first < 1.5


def test_weights_stay_below_the_limits_of_an_avatar() -> None:
    motion = speak(scripted(SENTENCE), dataclasses.replace(MOUTH, limits={"jawOpen": 0.1, "mouthPucker": 0.2}))
    assert weight(motion, "jawOpen").max() <= 0.1 and 0.15 < weight(motion, "mouthPucker").max() <= 0.2


def test_frames_are_at_multiples_of_the_frame_interval_up_to_the_end() -> None:
    motion = speak(scripted("SIL:.3 AA1:.155 SIL:.2"), dataclasses.replace(MOUTH, fps=30))
    assert motion.time.tolist() == [k / 30 for k in range(20)]


@pytest.mark.parametrize("phones", [(), (Phone("SIL", 0, 0.5),), (Phone("AA", 0.1, 0.1), Phone("SIL", 0.1, 0.5))])
def test_silence_is_a_resting_mouth(phones: tuple[Phone, ...]) -> None:
    nothing = np.zeros(0, np.float32)
    motion = speak(Speech(0.5, phones, (), nothing, nothing), MOUTH)
    assert len(motion) == 30 and motion.weights.abs().max() < 1e-6


def test_values_that_are_not_numbers_do_no_harm() -> None:
    speech = scripted(SENTENCE)
    broken = np.full(len(speech.loudness), np.nan, np.float32)
    motion = speak(dataclasses.replace(speech, loudness=broken, pitch=broken))
    assert motion.weights.isfinite().all() and motion.joint_rot.isfinite().all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fps": 0.5}, "speaking: expected a rate of 1 to 1000 fps, got 0.5"),
        ({"jaw": 1.6}, "speaking: jaw: expected 0 to 1.5, got 1.6"),
        ({"lips": -0.1}, "speaking: lips: expected 0 to 1.5, got -0.1"),
        ({"acting": float("nan")}, "speaking: acting: expected 0 to 1.5, got nan"),
        ({"seed": -1}, "speaking: expected a seed of 0 to 4294967295, got -1"),
    ],
)
def test_options_out_of_range_are_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(HeadsplatError, match=message.replace("(", r"\(")):
        speak(scripted("AA1"), dataclasses.replace(MOUTH, **changes))  # type: ignore[arg-type]


def test_too_many_frames_are_refused() -> None:
    nothing = np.zeros(0, np.float32)
    with pytest.raises(HeadsplatError, match="14400 s at 1000 fps are 14400000 frames, at most 5000000"):
        speak(Speech(14_400, (), (), nothing, nothing), dataclasses.replace(MOUTH, fps=1000))
