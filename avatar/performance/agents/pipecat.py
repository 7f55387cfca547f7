"""Pipecat: a processor after the speech service gives the voice a face; `pip install 'headsplat[pipecat]'`."""

from __future__ import annotations

import asyncio
from typing import Any

from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    Frame,
    InputAudioRawFrame,
    InterruptionFrame,
    OutputImageRawFrame,
    StartFrame,
    TTSAudioRawFrame,
    TTSStoppedFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from avatar.performance.agents.speaker import Speaker
from avatar.performance.speech.pcm import pcm16, samples16


class HeadsplatProcessor(FrameProcessor):
    """Takes the sound of a speech service, and pushes images of the avatar and the same sound in step with them.

    What the user says (`InputAudioRawFrame`, where it passes here) makes the avatar nod. An `EndFrame` waits until
    what was pushed before it is said.
    """

    def __init__(self, speaker: Speaker, **others: Any) -> None:
        """Args: the avatar, whose stream belongs to this processor; arguments of `FrameProcessor`."""
        super().__init__(**others)
        self._speaker = speaker
        self._task: asyncio.Task[None] | None = None
        self._silent = asyncio.Event()  # nothing is left to say
        self._silent.set()
        self._stopped: dict[int, Frame] = {}  # segment -> the frame that tells its end, to be passed on after it
        self._segment = -1

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Take sound; pass all other frames on."""
        await super().process_frame(frame, direction)
        stream = self._speaker.stream
        if isinstance(frame, TTSAudioRawFrame):
            samples = samples16(frame.audio, frame.num_channels)
            self._segment = stream.push_audio(samples, frame.sample_rate)
            self._silent.clear()
            return
        if isinstance(frame, TTSStoppedFrame) and not self._silent.is_set():
            stream.end_segment()
            self._stopped[self._segment] = frame
            return
        if isinstance(frame, StartFrame):
            await self.push_frame(frame, direction)
            self._task = self.create_task(self._run())
            return
        if isinstance(frame, InterruptionFrame):
            stream.interrupt()
            self._silent.set()
            self._stopped.clear()
        elif isinstance(frame, InputAudioRawFrame):
            stream.push_heard(samples16(frame.audio, frame.num_channels), frame.sample_rate)
        elif isinstance(frame, EndFrame):
            stream.end_segment()
            await self._silent.wait()
            await self._stop()
        elif isinstance(frame, CancelFrame):
            await self._stop()
        await self.push_frame(frame, direction)

    async def cleanup(self) -> None:
        """Stop."""
        await self._stop()
        await super().cleanup()

    async def _run(self) -> None:
        """Push images and sound until the task is cancelled."""
        rate = self._speaker.stream.rate
        async for frame, image in self._speaker.frames():
            height, width = image.shape[:2]
            shown = OutputImageRawFrame(image=image.tobytes(), size=(width, height), format="RGB")
            shown.sync_with_audio = frame.segment is not None
            await self.push_frame(shown)
            if frame.segment is not None:
                await self.push_frame(TTSAudioRawFrame(audio=pcm16(frame.sound), sample_rate=rate, num_channels=1))
            for segment in () if frame.interrupted else frame.ended:
                if (stopped := self._stopped.pop(segment, None)) is not None:
                    await self.push_frame(stopped)
                if segment == self._segment:
                    self._silent.set()

    async def _stop(self) -> None:
        if self._task is not None:
            task, self._task = self._task, None
            await self.cancel_task(task)
