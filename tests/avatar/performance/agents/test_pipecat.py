"""Pipecat's own pipeline with the processor in it; skipped where the package is not installed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pipecat", reason="needs pipecat-ai, which the extra pipecat installs")

from pipecat.frames.frames import (
    Frame,
    InputAudioRawFrame,
    InterruptionFrame,
    OutputImageRawFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
)
from pipecat.tests.utils import SleepFrame, run_test

from avatar.model.avatar import Avatar
from avatar.model.avatar_file import save_avatar
from avatar.performance.agents.pipecat import HeadsplatProcessor
from avatar.performance.agents.speaker import Speaker
from avatar.performance.speech.pcm import pcm16

RATE = 16_000


def pieces(seconds: float) -> list[Frame]:
    """What a speech service sends."""
    sound = 0.1 * np.random.default_rng(0).normal(size=round(seconds * RATE)).astype(np.float32)
    parts = [sound[at : at + 320] for at in range(0, len(sound), 320)]
    return [TTSAudioRawFrame(audio=pcm16(part), sample_rate=RATE, num_channels=1) for part in parts]


def run(avatar: Avatar, folder: Path, frames: list[Frame]) -> list[Frame]:
    save_avatar(folder / "tiny.avatar", avatar)
    processor = HeadsplatProcessor(Speaker(folder / "tiny.avatar", width=32, height=32, fps=30))
    down, _ = asyncio.run(run_test(processor, frames_to_send=frames, start_timeout=10.0))
    return list(down)


def sound_of(frames: list[Frame]) -> list[TTSAudioRawFrame]:
    return [frame for frame in frames if isinstance(frame, TTSAudioRawFrame)]


def test_all_of_a_turn_is_said_with_images_before_its_end_is_told(tiny_avatar: Avatar, tmp_path: Path) -> None:
    heard = InputAudioRawFrame(audio=bytes(640), sample_rate=RATE, num_channels=1)
    down = run(tiny_avatar, tmp_path, [TTSStartedFrame(), heard, *pieces(0.4), TTSStoppedFrame()])
    seconds = sum(frame.num_frames for frame in sound_of(down)) / 24_000
    assert seconds == pytest.approx(0.4, abs=2 / 30)
    images = [frame for frame in down if isinstance(frame, OutputImageRawFrame)]
    assert {(frame.size, frame.format) for frame in images} == {((32, 32), "RGB")}
    assert len(images) >= len(sound_of(down))
    stopped = next(index for index, frame in enumerate(down) if isinstance(frame, TTSStoppedFrame))
    assert not sound_of(down[stopped:])
    assert any(frame is heard for frame in down)


def test_an_interruption_drops_what_was_not_said(tiny_avatar: Avatar, tmp_path: Path) -> None:
    down = run(tiny_avatar, tmp_path, [*pieces(5), SleepFrame(0.5), InterruptionFrame(), SleepFrame(0.3), *pieces(0.2)])
    cut = next(index for index, frame in enumerate(down) if isinstance(frame, InterruptionFrame))
    before, after = (sum(frame.num_frames for frame in sound_of(part)) / 24_000 for part in (down[:cut], down[cut:]))
    assert 0.1 < before < 1.5
    assert after == pytest.approx(0.2, abs=3 / 30)
