"""`headsplat motion speak` and `headsplat render --speak`: outputs, sync with the sound, and error messages."""

from __future__ import annotations

import json
import sys
import types
import wave
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from avatar import cli
from avatar.data.capture_folder import Capture
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import save_avatar
from avatar.motion import read_motion
from avatar.performance.speech.phones import Speech
from tests.support.scripted_speech import lip_gap, scripted, weight

SPEECH = scripted("SIL:.5 B:.1 AA1:.3 M:.1 IY1:.2 SIL:.3")
BURST = 0.6  # seconds


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tone where SPEECH has vowels, silence elsewhere."""
    path = tmp_path_factory.mktemp("sound") / "speech.wav"
    time = np.arange(round(SPEECH.seconds * 16_000)) / 16_000
    loud = np.zeros(len(time))
    for phone in SPEECH.phones:
        if phone.name in ("AA", "IY"):
            loud[(time >= phone.start) & (time < phone.end)] = 0.5
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes((32000 * loud * np.sin(2 * np.pi * 440 * time)).astype("<i2").tobytes())
    return path


@pytest.fixture(scope="module")
def me(tiny_avatar: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("speak") / "me.avatar"
    save_avatar(path, tiny_avatar, {})
    return path


@pytest.fixture(autouse=True)
def heard(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """The texts with which a sound was listened to; SPEECH is heard in every sound."""
    texts: list[str | None] = []

    def listen(path: Path, text: str | None = None, *, log: Any = None) -> Speech:
        texts.append(text)
        return SPEECH

    module = types.ModuleType("avatar.performance.speech.listen")
    module.listen = listen  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "avatar.performance.speech.listen", module)
    return texts


def run(*arguments: Any) -> int:
    return cli.main([*map(str, arguments)])


def failure(capsys: pytest.CaptureFixture[str], *arguments: Any) -> str:
    capsys.readouterr()
    assert run(*arguments) == 1
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("suffix", [".motion.npz", ".csv", ".json"])
def test_a_sound_becomes_a_motion_file(
    sound: Path, tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / f"take{suffix}"
    assert run("motion", "speak", sound, "-o", out) == 0
    assert "1.50 s, 4 phones, 2 closures of the lips, 90 frames at 60 fps" in capsys.readouterr().out
    motion = read_motion(out)
    assert len(motion) == 90 and weight(motion, "jawOpen").max() > 0.25


def test_text_is_given_to_the_recognizer(sound: Path, tmp_path: Path, heard: list[str | None]) -> None:
    words = tmp_path / "words.txt"
    words.write_text("Bah, me!\n", encoding="utf-8")
    assert run("motion", "speak", sound, "-o", tmp_path / "a.csv", "--text", "bah me") == 0
    assert run("motion", "speak", sound, "-o", tmp_path / "b.csv", "--text-file", words) == 0
    assert run("motion", "speak", sound, "-o", tmp_path / "c.csv") == 0
    assert heard == ["bah me", "Bah, me!\n", None]


def test_options_change_the_motion(sound: Path, me: Path, tmp_path: Path) -> None:
    def made(name: str, *options: str) -> Any:
        out = tmp_path / f"{name}.motion.npz"
        assert run("motion", "speak", sound, "-o", out, *options) == 0
        return read_motion(out)

    standard, mumbled = made("a"), made("b", "--jaw", "0.3", "--acting", "0", "--fps", "30")
    assert weight(mumbled, "jawOpen").max() < 0.5 * weight(standard, "jawOpen").max() and len(mumbled) == 45
    assert mumbled.joint_rot.abs().max() == 0
    other = made("c", "--seed", "5")
    assert (weight(other, "jawOpen") == weight(standard, "jawOpen")).all()
    assert not (other.joint_rot == standard.joint_rot).all()
    flat = tmp_path / "flat.toml"
    flat.write_text("[phones.AA]\nshape = {}\n[phones.IY]\nshape = {}\n")
    assert weight(made("d", "--visemes", str(flat)), "jawOpen").max() < 0.15
    limited = made("e", "--avatar", str(me))
    assert len(limited) == 90


def test_the_style_of_a_capture_is_used(
    sound: Path, tiny: Capture, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("motion", "speak", sound, "-o", tmp_path / "a.csv", "--style", tiny.root) == 1
    assert "at least 3 s are needed" in capsys.readouterr().err


def film(path: Path) -> tuple[list[float], np.ndarray, np.ndarray, float]:
    """Times of the frames, the frames [T,H,W,3], and the sound [n] with its rate."""
    with av.open(str(path)) as container:
        frames = [(float(f.pts * f.time_base), f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]
    with av.open(str(path)) as container:
        parts = [(f.time, f.to_ndarray().mean(0), f.sample_rate) for f in container.decode(audio=0)]
    rate = float(parts[0][2])
    samples = np.concatenate([part for _, part, _ in parts])
    start = round((parts[0][0] or 0) * rate)
    samples = np.concatenate([np.zeros(max(start, 0)), samples[max(-start, 0) :]])
    return [time for time, _ in frames], np.stack([image for _, image in frames]).astype(int), samples, rate


def test_a_film_speaks_in_sync_to_a_frame(me: Path, sound: Path, tmp_path: Path) -> None:
    out = tmp_path / "film.mp4"
    options = ("--size", "64", "--acting", "0", "--quality", "5")
    assert run("render", me, "--speak", sound, "-o", out, *options) == 0
    times, images, samples, rate = film(out)
    assert times == pytest.approx([k / 30 for k in range(45)], abs=1e-4)
    onset = float(np.flatnonzero(np.abs(samples) > 0.1)[0]) / rate
    assert onset == pytest.approx(BURST, abs=0.01)
    shut, opening = (images[k].mean(0) for k in (slice(16, 18), slice(19, 21)))
    closure = np.abs(images[17] - images[16]).mean()
    assert np.abs(opening - shut).mean() > 3 * closure  # the lips part with the sound
    first = next(k for k in range(17, 30) if np.abs(images[k] - images[17]).mean() > 3 * closure + 0.02)
    assert abs(times[first] - onset) <= 1 / 30 + 0.01


def test_the_film_is_as_long_as_the_sound(me: Path, sound: Path, tmp_path: Path) -> None:
    out = tmp_path / "film.mp4"
    assert run("render", me, "--speak", sound, "-o", out, "--size", "48", "--fps", "24") == 0
    times, _, samples, rate = film(out)
    assert len(times) == 36 and len(samples) / rate == pytest.approx(1.5, abs=0.03)
    report = json.loads((tmp_path / "film.mp4.report.json").read_text())
    assert report["motion"] == "speech.wav" and report["frame_rate"] == 24


def test_a_written_motion_renders_as_the_sound_does(
    me: Path, sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = ("--size", "48", "--frames", "16:24")
    assert run("render", me, "--speak", sound, "-o", tmp_path / "spoken", *parts) == 0
    spoken = list((tmp_path / "spoken").glob("*.png"))
    assert len(spoken) == 8
    for name in ("take.motion.npz", "take.json", "take.csv"):
        assert run("motion", "speak", sound, "-o", tmp_path / name, "--fps", "30") == 0
        assert "neutral" not in capsys.readouterr().err
        out = tmp_path / name.split(".")[1]
        assert run("render", me, "--motion", tmp_path / name, "-o", out, *parts) == 0
        for path in spoken:
            written = cv2.imread(str(out / path.name))
            assert cv2.absdiff(written, cv2.imread(str(path))).max() <= 1


def test_images_have_no_sound(me: Path, sound: Path, tmp_path: Path) -> None:
    assert run("render", me, "--speak", sound, "-o", tmp_path / "frames", "--size", "48", "--frames", "0:2") == 0
    assert len(list((tmp_path / "frames").glob("*.png"))) == 2


def test_another_sound_can_be_added(me: Path, sound: Path, tmp_path: Path) -> None:
    other = tmp_path / "music.wav"
    with wave.open(str(other), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(np.full(24_000, 8000, "<i2").tobytes())
    out = tmp_path / "film.mp4"
    assert run("render", me, "--speak", sound, "--audio", other, "-o", out, "--size", "48", "--frames", "0:6") == 0
    assert np.abs(film(out)[2][2000:6000]).min() > 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--motion", "{sound}", "--speak", "{sound}"), "give --motion or --speak, not both"),
        ((), "nothing moves the avatars; give --motion FILE, or --speak SOUND"),
        (("--motion", "{sound}", "--text", "hello"), "--text goes with --speak; leave it out with --motion"),
        (("--motion", "{sound}", "--seed", "3"), "--seed goes with --speak; leave it out with --motion"),
        (("--speak", "none.wav"), "none.wav: no such sound file; check the path"),
        (("--speak", "{sound}", "--text", "a", "--text-file", "b"), "give --text or --text-file, not both"),
        (("--speak", "{sound}", "--text", " "), "--text: expected words, got an empty text"),
        (("--speak", "{sound}", "--text-file", "none.txt"), "none.txt: no such text file; check the path given to"),
        (
            ("--speak", "{sound}", "--style", "none.csv"),
            "none.csv: no such capture or motion file; check the path given",
        ),
        (("--speak", "{sound}", "--visemes", "none.toml"), "none.toml: no such table of visemes; check the path given"),
        (("--speak", "{sound}", "--jaw", "2"), "--jaw: expected 0 to 1.5, got 2"),
        (("--speak", "{sound}", "--fps", "0.5"), "speaking: expected a rate of 1 to 1000 fps, got 0.5"),
    ],
)
def test_wrong_options_give_a_sentence(
    me: Path, sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], message: str
) -> None:
    filled = [option.format(sound=sound) for option in options]
    assert message in failure(capsys, "render", me, "-o", tmp_path / "film.mp4", *filled)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "contains no words; leave --text-file out to recognize phones instead"),
        (b"\xff\xfe\x00", "not text in UTF-8; save it as UTF-8 text"),
        (b"a" * (1 << 20) + b"b", "larger than 1 MB; give the words of the sound only"),
    ],
)
def test_a_wrong_text_file_gives_a_sentence(
    sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, message: str
) -> None:
    words = tmp_path / "words.txt"
    words.write_bytes(content)
    assert message in failure(capsys, "motion", "speak", sound, "-o", tmp_path / "a.csv", "--text-file", words)


def test_a_folder_is_no_text_file(sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "cannot be read" in failure(
        capsys, "motion", "speak", sound, "-o", tmp_path / "a.csv", "--text-file", tmp_path
    )


def test_the_sound_is_never_overwritten(sound: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sound.read_bytes()
    run("motion", "speak", sound, "-o", sound, "--overwrite")
    assert sound.read_bytes() == before


def test_a_closed_mouth_is_closed_in_a_written_file(sound: Path, tmp_path: Path) -> None:
    out = tmp_path / "take.csv"
    assert run("motion", "speak", sound, "-o", out) == 0
    motion = read_motion(out)
    assert lip_gap(motion)[round(0.55 * 60)] < 0
