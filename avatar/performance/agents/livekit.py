"""LiveKit Agents: an avatar as the video generator of its `AvatarRunner`; `pip install 'headsplat[livekit]'`.

The agent's session writes its sound to an `AudioReceiver` (`QueueAudioOutput` in the same process,
`DataStreamAudioReceiver` from another one); the runner pushes it here and publishes what comes out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from livekit import rtc
from livekit.agents.voice.avatar import AudioSegmentEnd, AvatarOptions, VideoGenerator

from avatar.performance.agents.speaker import Speaker
from avatar.performance.speech.pcm import pcm16, samples16


class HeadsplatVideo(VideoGenerator):
    """Video and sound of an avatar that says what is pushed."""

    def __init__(self, speaker: Speaker) -> None:
        """Args: the avatar; its stream belongs to this generator."""
        self.speaker = speaker

    @property
    def options(self) -> AvatarOptions:
        """The options of the runner."""
        speaker = self.speaker
        return AvatarOptions(
            video_width=speaker.width,
            video_height=speaker.height,
            video_fps=speaker.stream.fps,
            audio_sample_rate=speaker.stream.rate,
            audio_channels=1,
        )

    async def push_audio(self, frame: rtc.AudioFrame | AudioSegmentEnd) -> None:
        """Say more, or end the turn."""
        if isinstance(frame, AudioSegmentEnd):
            self.speaker.stream.end_segment()
        else:
            self.speaker.stream.push_audio(samples16(frame.data.tobytes(), frame.num_channels), frame.sample_rate)

    def clear_buffer(self) -> None:
        """Be silent now: the runner tells the agent."""
        self.speaker.stream.interrupt()

    async def __aiter__(self) -> AsyncIterator[rtc.VideoFrame | rtc.AudioFrame | AudioSegmentEnd]:
        """Images at their rate; beside those that speak, the sound; an end after each turn that was said."""
        async for frame, image in self.speaker.frames():
            height, width = image.shape[:2]
            yield rtc.VideoFrame(width, height, rtc.VideoBufferType.RGB24, image.tobytes())
            if frame.segment is not None:
                yield rtc.AudioFrame(pcm16(frame.sound), self.speaker.stream.rate, 1, len(frame.sound))
            if frame.ended and not frame.interrupted:
                yield AudioSegmentEnd()
