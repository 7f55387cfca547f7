"""A clock that restarts in the middle of a file (concatenated .ts files) keeps the frames after it, in time."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from avatar.video import open_output
from capture.video.decoding import open_video

FRAMES, RATE, SIDE = 60, 30, 64


def write_clip(path: Path, levels: range, *, times: list[float] | None = None, tone: float | None = None) -> Path:
    """A clip with B-frames whose frames are gray levels; with a tone of this loudness."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"bf": "3", "b-pyramid": "none", "crf": "10"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 90000)
        sound = None if tone is None else container.add_stream("aac", rate=48000, layout="mono")
        for number, level in enumerate(levels):
            frame = av.VideoFrame.from_ndarray(np.full((SIDE, SIDE, 3), level, np.uint8), format="rgb24")
            frame.pts = round((times[number] if times else number / RATE) * 90000)
            frame.time_base = Fraction(1, 90000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None and tone is not None:
            samples = (tone * np.sin(np.arange(2 * 48000) / 20)).astype(np.float32)[None]
            heard = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            heard.sample_rate, heard.time_base, heard.pts = 48000, Fraction(1, 48000), 0
            container.mux(sound.encode(heard))
            container.mux(sound.encode(None))
    return path


def joined(folder: Path, *parts: Path) -> Path:
    path = folder / "joined.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """60 frames of levels 20 to 79, then 40 of levels 140 to 179; the clock starts again."""
    first = write_clip(tmp_path / "a.ts", range(20, 80))
    return joined(tmp_path, first, write_clip(tmp_path / "b.ts", range(140, 180)))


LEVELS = [*range(20, 80), *range(140, 180)]


def test_frames_after_the_restart_follow_one_frame_later(clip: Path) -> None:
    source = open_video(clip)
    frames = list(source)
    assert len(source) == len(frames) == len(LEVELS)
    assert [frame.number for frame in frames] == list(range(len(LEVELS)))
    np.testing.assert_allclose([frame.time for frame in frames], np.arange(len(LEVELS)) / RATE, atol=2e-5)
    assert np.abs(np.array([frame.rgb.mean() for frame in frames]) - LEVELS).max() < 3
    assert source.index is not None
    np.testing.assert_allclose(source.index.times, np.arange(len(LEVELS)) / RATE, atol=2e-5)


def test_the_restart_is_noted(clip: Path, tmp_path: Path) -> None:
    source, single = open_video(clip), open_video(tmp_path / "a.ts")
    assert len(list(source)) == 100 and len(list(single)) == 60
    (warning,) = source.warnings
    assert warning.startswith("joined.ts: the clock restarts in the middle of the file")
    assert single.warnings == []


def test_single_frames_are_found_on_both_sides(clip: Path) -> None:
    wanted = [0, 30, 59, 60, 75, 99]
    found = [(frame.number, round(frame.rgb.mean())) for frame in open_video(clip).frames(wanted)]
    assert [number for number, _ in found] == wanted
    assert all(abs(level - LEVELS[number]) < 3 for number, level in found)


def test_every_restart_counts(tmp_path: Path) -> None:
    part = write_clip(tmp_path / "a.ts", range(40, 70))
    times = [frame.time for frame in open_video(joined(tmp_path, part, part, part))]
    np.testing.assert_allclose(times, np.arange(90) / RATE, atol=2e-5)


def test_times_of_one_clock_are_untouched(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    times = np.cumsum(rng.uniform(0.005, 0.09, 50)) - 0.005
    source = open_video(write_clip(tmp_path / "uneven.ts", range(20, 70), times=times.tolist()))
    frames = list(source)
    np.testing.assert_allclose([frame.time for frame in frames], times - times[0], atol=2e-5)
    assert np.abs(np.array([frame.rgb.mean() for frame in frames]) - range(20, 70)).max() < 3
    assert not any("clock" in warning for warning in source.warnings)
    assert source.index is not None and source.index.restarts == 0


def test_the_sound_of_both_parts_is_heard(tmp_path: Path) -> None:
    quiet = write_clip(tmp_path / "a.ts", range(20, 80), tone=0.1)
    path = joined(tmp_path, quiet, write_clip(tmp_path / "b.ts", range(20, 80), tone=0.8))
    with open_output(tmp_path / "out.mp4", RATE, audio=path) as writer:
        for _ in range(4 * RATE):
            writer.add(np.zeros((SIDE, SIDE, 3), np.uint8))
    with av.open(str(tmp_path / "out.mp4")) as container:
        samples = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)
    early, late = (np.abs(samples[:, int(start * 48000) :][:, :24000]).max() for start in (1.0, 3.0))
    assert early == pytest.approx(0.1, abs=0.03) and late == pytest.approx(0.8, abs=0.1)
