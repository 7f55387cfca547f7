"""Reading the sound of media files."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from avatar.errors import HeadsplatError
from avatar.performance.speech import sound
from avatar.performance.speech.features import RATE
from avatar.performance.speech.sound import BLOCK, sound_blocks
from tests.support.sounds import write_wav


def tone(rate: int, seconds: float = 1.0, hertz: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)


def read(path: Path) -> np.ndarray:
    return np.concatenate(list(sound_blocks(path)))


@pytest.mark.parametrize(("rate", "bits"), [(8_000, 8), (16_000, 16), (44_100, 16), (96_000, 32), (48_000, 8)])
def test_every_rate_and_depth_gives_the_same_tone(tmp_path: Path, rate: int, bits: int) -> None:
    samples = read(write_wav(tmp_path / "a.wav", tone(rate), rate, bits))
    assert abs(len(samples) - RATE) <= 40
    middle = slice(RATE // 4, RATE // 2)
    assert np.abs(samples[middle] - tone(RATE)[middle]).max() < 0.03


def test_channels_are_mixed(tmp_path: Path) -> None:
    both = np.stack((tone(RATE), tone(RATE)), axis=1)
    assert np.abs(read(write_wav(tmp_path / "a.wav", both, RATE)) - tone(RATE)).max() < 1e-3


def test_blocks_are_even_and_the_last_one_is_the_rest(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", tone(RATE, 2.25), RATE)
    assert [len(block) for block in sound_blocks(path)] == [BLOCK, BLOCK, RATE // 4]


def film(path: Path, *, start: float | None) -> Path:
    """A film of one second whose sound starts at `start`; None leaves the sound out."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width = video.height = 32
        audio = container.add_stream("aac", rate=RATE, layout="mono") if start is not None else None
        for _ in range(25):
            container.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), "rgb24")))
        container.mux(video.encode(None))
        if audio is not None and start is not None:
            samples = tone(RATE, 1.0)[: RATE // 1024 * 1024].astype(np.float32)
            for at in range(0, len(samples), 1024):
                frame = av.AudioFrame.from_ndarray(samples[None, at : at + 1024], format="fltp", layout="mono")
                frame.sample_rate, frame.time_base = RATE, Fraction(1, RATE)
                frame.pts = at + round(start * RATE)
                container.mux(audio.encode(frame))
            container.mux(audio.encode(None))
    return path


def test_a_sound_that_starts_late_in_a_film_is_preceded_by_silence(tmp_path: Path) -> None:
    samples = read(film(tmp_path / "a.mp4", start=0.4))
    loud = np.flatnonzero(np.abs(samples) > 0.1)
    assert loud[0] / RATE == pytest.approx(0.4, abs=0.07)


def test_a_film_without_sound_is_refused(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", start=None)
    with pytest.raises(
        HeadsplatError, match=r"a\.mp4: is a video without sound; give a wav, mp3, m4a or video with sound"
    ):
        read(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError, match="no such file; check the path of the sound"):
        read(tmp_path / "a.wav")


@pytest.mark.parametrize("content", [b"", b"\x00" * 4096, b"not a sound " * 100, b"RIFF\x24\x00\x00\x00WAVE"])
def test_what_is_no_sound_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(
        HeadsplatError, match=r"a\.wav: (cannot be read as sound \(.+\)|its sound is empty|is without).*give a wav"
    ):
        read(path)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError, match=r"cannot be read as sound \(not a regular file\)"):
        read(tmp_path)


def test_an_empty_sound_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError, match="its sound is empty or cannot be converted; give a wav"):
        read(write_wav(tmp_path / "a.wav", np.zeros(0), RATE))


def test_a_sound_beyond_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sound, "MAX_SECONDS", 0)
    with pytest.raises(
        HeadsplatError, match="its sound is longer than 0 hours, the longest that is listened to; cut it"
    ):
        read(write_wav(tmp_path / "a.wav", tone(RATE), RATE))


def test_a_damaged_file_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", tone(RATE, 2.0), RATE)
    path.write_bytes(path.read_bytes()[:40_000])
    assert 19_000 < len(read(path)) < 21_000


def test_numbers_that_are_not_finite_become_silence(tmp_path: Path) -> None:
    samples = np.full(4096, np.nan, np.float32)
    header = b"RIFF" + (36 + samples.nbytes).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little")
    header += (3).to_bytes(2, "little") + (1).to_bytes(2, "little") + RATE.to_bytes(4, "little")
    header += (RATE * 4).to_bytes(4, "little") + (4).to_bytes(2, "little") + (32).to_bytes(2, "little")
    path = tmp_path / "a.wav"
    path.write_bytes(header + b"data" + samples.nbytes.to_bytes(4, "little") + samples.tobytes())
    assert np.isfinite(read(path)).all()


def encoded(path: Path, codec: str) -> bytes:
    """A second of a tone by one of FFmpeg's encoders."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=48_000, layout="stereo")
        for at in range(0, 48_000, 960):
            part = np.stack([tone(48_000)[at : at + 960]] * 2).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="stereo")
            frame.sample_rate, frame.time_base, frame.pts = 48_000, Fraction(1, 48_000), at
            resampler = av.AudioResampler(format=stream.format.name, layout="stereo", rate=48_000)
            for piece in resampler.resample(frame):
                container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return path.read_bytes()


@pytest.mark.parametrize(
    ("suffix", "codec"), [("wav", "pcm_f32le"), ("ogg", "libopus"), ("m4a", "aac"), ("flac", "flac")]
)
def test_damaged_files_are_heard_in_part_or_refused_in_one_sentence(tmp_path: Path, suffix: str, codec: str) -> None:
    whole = encoded(tmp_path / f"whole.{suffix}", codec)
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(whole)
    assert len(read(path)) == pytest.approx(RATE, abs=1100)
    rng = np.random.default_rng(0)
    for _ in range(25):
        damaged = bytearray(whole)
        for at in rng.integers(0, min(len(whole), 400 if rng.random() < 0.5 else len(whole)), 8):
            damaged[at] = int(rng.integers(256))
        path.write_bytes(bytes(damaged[: len(damaged) // (2 if rng.random() < 0.3 else 1)]))
        try:
            samples = read(path)
        except HeadsplatError as error:
            assert str(path) in str(error) and ";" in str(error) and "\n" not in str(error)
        else:
            assert np.isfinite(samples).all() and np.abs(samples).max(initial=0) <= 4
