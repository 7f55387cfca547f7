"""A camera and a microphone at once in the page, against the native `VoicedFace`."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.io import wavfile

from avatar.driving.live.samples import Sample
from avatar.head import load_head
from avatar.head.arkit import ARKIT_52
from avatar.motion.files.names import ARKIT
from capture.live.fit import Fit
from capture.live.voiced_face import BEHIND, SHARE, VoicedFace
from tests.capture.live.test_voiced_face import Scripted
from tests.support.browser import Page, chromium
from tests.support.fake_vision import RATE as FILM_RATE
from tests.support.fake_vision import REST, fake_pack, film
from tests.support.vowels import RATE as SOUND_RATE
from tests.support.vowels import vowel
from tests.system.web.test_camera import ALLOWED, STATE
from tests.system.web.test_controls import click
from viewer.web.bundle import module
from viewer.web.page import build_page

NAMES = load_head().expression_names
RATE = 30.0
LOOKS = 60
#: Seconds between a sound and its mouth; frames are known after two looks.
HEARD = 0.09


@pytest.fixture(scope="module")
def voiced(page: Page) -> Page:
    """A page with the module as globals."""
    body, _, exported = module("face/voiced_face.js").rpartition("export {")
    page.run(f"(() => {{ {body} Object.assign(globalThis, {{ {exported.replace('};', '})')}; }})()")
    return page


def face(moment: float, rng: np.random.Generator) -> tuple[Sample, dict[str, Any]]:
    """What is known of a frame, natively and in the page: hidden mouths, doubtful fits, no face."""
    step = round(moment * RATE)
    weights = rng.uniform(0, 0.5, len(NAMES)).astype(np.float32)
    hidden = ("mouth",) if step in range(80, 100) else ("eyes", "mouth") if step in range(130, 140) else ()
    error = 0.055 if step in range(110, 125) else 0.01
    lost = step in range(60, 70) or step in range(150, 160)
    confidence = 0.0 if lost else Fit(None, None, error).confidence(1.0)  # type: ignore[arg-type]
    joints, position = np.zeros((5, 3), np.float32), np.zeros(3, np.float32)
    sample = Sample(moment, NAMES, ARKIT, weights, joints, position, confidence, {}, hidden=hidden)
    known = {"expression": weights.tolist(), "hidden": hidden, "confidence": confidence, "seconds": moment}
    return sample, {"seconds": moment, "sample": None if lost else known}


@pytest.mark.parametrize("gap", [False, True])
def test_mouths_are_mixed_as_natively(voiced: Page, monkeypatch: pytest.MonkeyPatch, gap: bool) -> None:
    """`gap`: the microphone says nothing for a while, so that faces wait as long as they do at most."""
    rng = np.random.default_rng(3)
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    monkeypatch.setattr("capture.live.voiced_face.time", clock)
    camera, microphone = Scripted(), Scripted()
    native = VoicedFace(camera, microphone)  # type: ignore[arg-type]
    native.start()
    events = [((2 * k + 2) / LOOKS, "face", k / RATE) for k in range(180)]
    events += [(k / 50 + HEARD, "voice", k / 50) for k in range(300) if not (gap and 2.5 < k / 50 < 4.5)]
    events += [(k / LOOKS, "look", 0.0) for k in range(380)]
    expected, script = [], []
    for now, kind, moment in sorted(events):
        clock.now = now
        if kind == "face":
            sample, known = face(moment, rng)
            camera.samples.append(sample)
            script.append(f"voiced.see({json.dumps(known)}, {now});")
        elif kind == "voice":
            mouth = rng.uniform(0, 0.6, 52).astype(np.float32) * (0 if moment % 3 > 2 else 1)
            stamps = {"sound": moment + BEHIND}
            position = np.zeros(3, np.float32)
            joints = np.zeros((5, 3), np.float32)
            microphone.samples.append(Sample(now, ARKIT_52, ARKIT, mouth, joints, position, 1.0, stamps))
            weights = json.dumps(dict(zip(ARKIT_52, mouth.tolist(), strict=True)))
            script.append(f"voiced.listen({moment}, {weights});")
        else:
            script.append(f"out.push(voiced.take({now}));")
            expected.append(native.latest())
    text = voiced.run(
        f"(() => {{ const out = [], voiced = new VoicedFace({json.dumps(NAMES)}, {SHARE}); {' '.join(script)} "
        "return JSON.stringify(out); })()"
    )
    found = json.loads(text)
    assert [each is None for each in found] == [each is None for each in expected]
    pairs = [(one, other) for one, other in zip(found, expected, strict=True) if other is not None]
    assert len(pairs) > 150
    assert sum(other.confidence == 0 for _, other in pairs) < 20
    for one, other in pairs:
        assert (one["sample"] is None) == (other.confidence == 0)
        if one["sample"] is not None:
            np.testing.assert_allclose(one["sample"]["expression"], other.weights, atol=1e-5)
            assert tuple(one["sample"]["hidden"]) == other.hidden
            assert one["sample"]["seconds"] == pytest.approx(other.time)


def test_a_voice_goes_on_where_the_camera_loses_the_face(page: Page, container: bytes, tmp_path: Path) -> None:
    """Both are on; the film shows no face from a second after its rest on, and a loud vowel comes every second."""
    jaw = NAMES.index("jawOpen")
    sound = np.concatenate([vowel("a", seconds=1.0), np.zeros(SOUND_RATE)])
    wavfile.write(tmp_path / "vowel.wav", SOUND_RATE, np.round(32767 * np.clip(sound, -1, 1)).astype(np.int16))
    lost = slice(int((REST + 1) * FILM_RATE), int((REST + 9) * FILM_RATE))
    path = tmp_path / "page.html"
    path.write_text(build_page(container, "tiny", camera=fake_pack(film(REST + 10, lost))), encoding="utf-8")
    options = (*ALLOWED, f"--use-file-for-fake-audio-capture={tmp_path / 'vowel.wav'}")
    with chromium(tmp_path / "profile", (420, 400), options) as both:
        both.open(path)
        both.run("document.getElementById('limited').checked = false")
        click(both, "#camera")
        click(both, "#microphone")
        said = "Your face moves the avatar, and your voice its mouth; image and sound stay in this page."
        both.wait(f"document.getElementById('message').textContent === '{said}'")
        both.wait(f"{STATE} === 'no face is seen: your voice moves the mouth'")
        assert both.run("app.microphone.isListening && app.isFollowing")
        rest = f"app.camera.rest.expression[{jaw}]"
        both.wait(f"{STATE}.startsWith('no face') && app.params().expression[{jaw}] > {rest} + 0.2")
        both.run("app.microphone.stop()")
        both.wait(f"{STATE} === 'no face is seen'")
        both.wait(f"app.camera.pose.expression[{jaw}] === {rest}")
        assert not both.errors()
