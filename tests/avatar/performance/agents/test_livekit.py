"""LiveKit Agents' own sound queue in, frames of its own types out; skipped where the package is not installed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("livekit.agents", reason="needs livekit-agents, which the extra livekit installs")

from livekit import rtc
from livekit.agents.voice.avatar import AudioSegmentEnd, QueueAudioOutput

from avatar.model.avatar import Avatar
from avatar.model.avatar_file import save_avatar
from avatar.performance.agents.livekit import HeadsplatVideo
from avatar.performance.agents.speaker import Speaker
from avatar.performance.speech.pcm import pcm16

RATE = 24_000


def made_up_speech(seconds: float) -> rtc.AudioFrame:
    sound = 0.1 * np.random.default_rng(0).normal(size=round(seconds * RATE)).astype(np.float32)
    return rtc.AudioFrame(pcm16(sound), RATE, 1, len(sound))


def test_an_agent_speaks_two_turns_and_is_interrupted_in_the_second(tiny_avatar: Avatar, tmp_path: Path) -> None:
    save_avatar(tmp_path / "tiny.avatar", tiny_avatar)

    async def run() -> tuple[list[object], list[object]]:
        video = HeadsplatVideo(Speaker(tmp_path / "tiny.avatar", width=32, height=32, fps=30))
        sound = QueueAudioOutput(sample_rate=RATE)
        said: list[object] = []
        finished: list[object] = []
        sound.on("playback_finished", finished.append)
        sound.on("clear_buffer", video.clear_buffer)

        async def read() -> None:
            async for frame in sound:
                await video.push_audio(frame)

        reader = asyncio.create_task(read())
        await sound.capture_frame(made_up_speech(0.3))
        sound.flush()
        async for frame in video:
            said.append(frame)
            turns = sum(isinstance(one, AudioSegmentEnd) for one in said)
            sounds = sum(isinstance(one, rtc.AudioFrame) for one in said)
            if isinstance(frame, AudioSegmentEnd):
                sound.notify_playback_finished(0.3, interrupted=False)
                await sound.capture_frame(made_up_speech(5))
                first = sounds
            elif turns and sounds == first + 3 and len(finished) == 1:
                sound.clear_buffer()
                sound.notify_playback_finished(0.1, interrupted=True)
            elif len(finished) == 2 and sum(isinstance(one, rtc.VideoFrame) for one in said) > 40:
                break
        reader.cancel()
        return said, finished

    said, finished = asyncio.run(run())
    sounds = [frame for frame in said if isinstance(frame, rtc.AudioFrame)]
    images = [frame for frame in said if isinstance(frame, rtc.VideoFrame)]
    assert sum(isinstance(frame, AudioSegmentEnd) for frame in said) == 1
    assert 9 <= len(sounds) <= 16  # .3 s at 30 a second, then three
    assert {frame.samples_per_channel for frame in sounds} == {RATE // 30}
    assert {(frame.width, frame.height, frame.type) for frame in images} == {(32, 32, rtc.VideoBufferType.RGB24)}
    assert [getattr(event, "interrupted", None) for event in finished] == [False, True]
    assert isinstance(said[-1], rtc.VideoFrame)


def test_the_runner_gets_its_options(tiny_avatar: Avatar, tmp_path: Path) -> None:
    save_avatar(tmp_path / "tiny.avatar", tiny_avatar)
    options = HeadsplatVideo(Speaker(tmp_path / "tiny.avatar", width=64, height=48, fps=25)).options
    assert (options.video_width, options.video_height, options.video_fps) == (64, 48, 25)
    assert (options.audio_sample_rate, options.audio_channels) == (RATE, 1)
