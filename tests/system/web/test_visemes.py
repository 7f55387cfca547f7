"""The mouth of a sound: synthetic vowels, silence and noise through the module of the page."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest

from tests.support.browser import Page
from tests.support.vowels import RATE, WINDOW, noise, spectra, vowel
from viewer.web.bundle import module

HERTZ = RATE / WINDOW
FRAMES = 60.0
MAX_BIN = 360  # above the last band, 8 kHz


@pytest.fixture(scope="module")
def hearing(page: Page) -> Page:
    """A page with the module as `visemes`."""
    address = "data:text/javascript;base64," + base64.b64encode(module("motions/visemes.js").encode()).decode()
    page.run(f"import('{address}').then((found) => {{ globalThis.visemes = found; }})")
    page.run(
        "globalThis.mouths = (rows, hertz, rate) => { const out = []; let at = visemes.SILENCE; "
        "for (const row of rows) out.push((at = visemes.heard(at, row, hertz, 1 / rate)).weights); return out; }"
    )
    return page


def mouths(page: Page, sound: np.ndarray, frames: float = FRAMES) -> dict[str, np.ndarray]:
    """Weights [F] of each expression while a sound plays."""
    rows = np.round(spectra(sound, frames)[:, :MAX_BIN], 1).tolist()
    found = page.run(f"mouths({json.dumps(rows)}, {HERTZ}, {frames})")
    return {name: np.array([weights[name] for weights in found]) for name in found[0]}


def held(page: Page, name: str, voice: int = 0, level: float = -20.0) -> dict[str, float]:
    """Weights at the end of a vowel after a quiet second."""
    sound = np.concatenate([np.zeros(RATE), vowel(name, voice, level=level)]) + noise(2.0, -65)
    return {name: float(values[-5:].mean()) for name, values in mouths(page, sound).items()}


@pytest.mark.parametrize("voice", [0, 1])
def test_each_vowel_has_its_own_mouth(hearing: Page, voice: int) -> None:
    a, i, u, o = (held(hearing, name, voice) for name in "aiuo")
    assert a["jawOpen"] > 0.5
    assert a["jawOpen"] > o["jawOpen"] + 0.1 and o["jawOpen"] > u["jawOpen"] + 0.05
    assert a["jawOpen"] > 2 * i["jawOpen"] > 0.2
    assert u["mouthPucker"] > 0.3 and o["mouthFunnel"] > 0.25
    assert u["mouthPucker"] > o["mouthPucker"] + 0.1 and o["mouthFunnel"] > u["mouthFunnel"] + 0.05
    assert i["mouthStretchLeft"] > 0.3 and i["mouthSmileRight"] > 0.3
    for name in ("mouthPucker", "mouthFunnel"):
        assert a[name] < 0.05 and i[name] < 0.05
    for name in ("mouthStretchLeft", "mouthStretchRight", "mouthSmileLeft", "mouthSmileRight"):
        assert max(a[name], u[name], o[name]) < 0.05


def test_the_mouth_closes_in_silence(hearing: Page) -> None:
    quiet, spoken = np.zeros(RATE), vowel("a")
    found = mouths(hearing, np.concatenate([quiet, spoken, quiet, spoken, quiet]))
    middle = [int((second + 0.6) * FRAMES) for second in range(5)]
    np.testing.assert_allclose(found["jawOpen"][middle][::2], 0, atol=0.01)
    assert (found["jawOpen"][middle][1::2] > 0.4).all()
    for values in found.values():
        assert values[-1] < 0.02


def test_lips_press_in_a_pause_and_not_in_a_vowel(hearing: Page) -> None:
    spoken = vowel("a", seconds=0.5)
    quiet = np.zeros(RATE // 2)
    found = mouths(hearing, np.concatenate([quiet, spoken, np.zeros(RATE // 8), spoken]) + noise(1.625, -65))
    pause = slice(int(1.0 * FRAMES), int(1.15 * FRAMES))
    assert found["mouthPressLeft"][pause].max() > 0.1 and found["mouthClose"][pause].max() > 0.05
    assert found["mouthPressLeft"][: pause.start - 3].max() < 0.02
    assert (found["mouthClose"] <= found["jawOpen"]).all()


@pytest.mark.parametrize("level", [-70.0, -55.0, -45.0])
def test_steady_noise_keeps_the_mouth_closed(hearing: Page, level: float) -> None:
    assert mouths(hearing, noise(8.0, level))["jawOpen"].max() < 0.05


def test_who_starts_by_speaking_is_heard(hearing: Page) -> None:
    found = mouths(hearing, vowel("a"))["jawOpen"]
    assert found[int(0.2 * FRAMES) :].min() > 0.4


def test_noise_that_begins_later_is_learned(hearing: Page) -> None:
    found = mouths(hearing, np.concatenate([noise(2.0, -65), noise(9.0, -40)]))["jawOpen"]
    assert found[-int(FRAMES) :].max() < 0.02
    assert found.max() < 0.25  # hiss opens the jaw little, even before that


def test_a_vowel_is_heard_through_noise(hearing: Page) -> None:
    sound = noise(9.0, -40)
    sound[8 * RATE :] += vowel("a")
    found = mouths(hearing, sound)["jawOpen"]
    assert found[7 * int(FRAMES) : 8 * int(FRAMES) - 5].max() < 0.05 < 0.4 < found[-5:].min()


def test_a_quiet_speaker_opens_the_mouth_after_a_while(hearing: Page) -> None:
    syllables = [part for _ in range(12) for part in (np.zeros(RATE // 2), vowel("a", seconds=0.5, level=-45.0))]
    found = mouths(hearing, np.concatenate(syllables) + noise(12.0, -75))["jawOpen"]
    assert found[: 2 * int(FRAMES)].max() < found[-2 * int(FRAMES) :].max()
    assert found[-2 * int(FRAMES) :].max() > 0.4


def test_the_rate_of_frames_hardly_matters(hearing: Page) -> None:
    sound = np.concatenate([np.zeros(RATE), vowel("a"), np.zeros(RATE)]) + noise(3.0, -65)
    fast, slow = (mouths(hearing, sound, frames)["jawOpen"] for frames in (60.0, 20.0))
    np.testing.assert_allclose(slow[3:], fast[9::3][: len(slow) - 3], atol=0.15)
    assert np.abs(slow[3:] - fast[9::3][: len(slow) - 3]).mean() < 0.02


@pytest.mark.parametrize("bins", ["[]", "[-Infinity]", "new Float32Array(1024).fill(-Infinity)", "[NaN, NaN, NaN]"])
def test_a_spectrum_without_sound_leaves_the_mouth_closed(hearing: Page, bins: str) -> None:
    found = hearing.run(f"visemes.heard(visemes.heard(visemes.SILENCE, {bins}, 23.4, 0), {bins}, 23.4, 0.016).weights")
    assert set(found.values()) == {0}


def test_weights_stay_between_0_and_1_for_any_spectrum(hearing: Page) -> None:
    rows = np.random.default_rng(1).uniform(-120, 40, (300, MAX_BIN)).round(1)
    rows[::7] = 300.0
    found = hearing.run(f"mouths({json.dumps(rows.tolist())}, {HERTZ}, 60)")
    values = np.array([list(weights.values()) for weights in found], dtype=float)
    assert np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1


def test_what_was_heard_before_is_not_changed(hearing: Page) -> None:
    sound = json.dumps(np.round(spectra(vowel("a", seconds=0.1))[0, :MAX_BIN], 1).tolist())
    text = f"(() => {{ const at = visemes.heard(visemes.SILENCE, {sound}, {HERTZ}, 0.02), was = JSON.stringify(at); "
    assert hearing.run(text + f"visemes.heard(at, {sound}, {HERTZ}, 2); return JSON.stringify(at) === was; }})()")
