"""The avatar of `headsplat serve` as encoded video with its sound, for viewers that cannot render.

While somebody watches, a thread draws one image at a time and encodes it, and all the sound, for all of them. A machine
that is too slow for the rate gives fewer images, at their right times; the sound is complete.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import numpy as np

from avatar import ops
from avatar.model.avatar import Avatar
from avatar.performance.agents.speaker import SpokenImages
from avatar.performance.speech.stream import SpeechStream, SpokenFrame
from avatar.video.live import LiveEncoder, LiveFile, LivePacket

MAX_VIDEOS = 8
#: Time without drawing after an image, as a share of what it took: a slow machine is left to the sound of all viewers.
_REST = 1 / 3
#: Bytes that wait for a viewer that does not read: some seconds of video.
MAX_VIDEO_WAITING = 512 << 10


class SpeechVideo:
    """The images and the sound of a stream, for some viewers."""

    def __init__(self, avatar: Avatar, stream: SpeechStream, size: tuple[int, int], fps: float) -> None:
        """
        Args:
            avatar: as it is shown.
            stream: whose frames `show` gets.
            size: width and height in pixels, even.
            fps: images per second at most.
        """
        self._avatar = avatar
        self._stream = stream
        self._size = size
        self._fps = min(fps, stream.fps)
        self._viewers: set[_Viewer] = set()
        self._frames: list[SpokenFrame] = []
        self._some = asyncio.Event()
        self._images: SpokenImages | None = None  # from the first viewer on
        self._encoder: LiveEncoder | None = None  # while there are viewers
        self._first = self._next = self._drawn = 0  # frames: the encoder's first and next one; its newest image

    @property
    def is_full(self) -> bool:
        """Whether no more viewers can come."""
        return len(self._viewers) >= MAX_VIDEOS

    def show(self, frame: SpokenFrame) -> None:
        """Take the next frame of the stream."""
        if self._viewers:
            self._frames.append(frame)
            self._some.set()

    async def run(self) -> None:
        """Make video while there are viewers, for ever."""
        while True:
            await self._some.wait()
            self._some.clear()
            frames, self._frames = self._frames, []
            if frames:
                began = time.monotonic()
                made = await asyncio.to_thread(self._make, frames, tuple(self._viewers))
                for viewer, data in made:
                    viewer.put(data)
                await asyncio.sleep(_REST * (time.monotonic() - began))
            if not self._viewers:
                self._encoder = None

    async def serve(self, connection: Any) -> None:
        """Send video until a viewer leaves."""
        viewer = _Viewer(connection.transport)
        if not self._viewers:
            self._frames.clear()  # of the viewers before
        self._viewers.add(viewer)
        try:
            await connection.wait_closed()
        finally:
            self._viewers.discard(viewer)
            # Nothing but video goes out: no closing message of WebSockets.
            (connection.transport.abort if viewer.waiting else connection.transport.close)()

    def _make(self, frames: list[SpokenFrame], viewers: tuple[_Viewer, ...]) -> list[tuple[_Viewer, bytes]]:
        """What each viewer gets for some frames."""
        with ops.one_thread():
            if self._encoder is None or frames[0].number != self._next:
                self._encoder = LiveEncoder(*self._size, self._fps, self._stream.rate)
                self._first, self._drawn = frames[0].number, -1
            self._next = frames[-1].number + 1
            for viewer in viewers:
                viewer.file = viewer.file or self._encoder.new_file()
            waits = not all(viewer.file and viewer.file.has_begun for viewer in viewers)
            packets = self._image(self._encoder, frames[-1], waits)
            packets += self._encoder.add_sound(np.concatenate([frame.sound for frame in frames]))
        return [(viewer, viewer.file.add(packets)) for viewer in viewers if viewer.file]

    def _image(self, encoder: LiveEncoder, frame: SpokenFrame, start: bool) -> list[LivePacket]:
        """The image of a frame, where it is time for one."""
        moment = frame.number / self._stream.fps
        number = int(moment * self._fps + 1e-6)
        if number == self._drawn:
            return []
        self._drawn = number
        if self._images is None:
            self._images = SpokenImages(self._avatar, *self._size)
        return encoder.add_image(self._images(frame), moment - self._first / self._stream.fps, start=start)


class _Viewer:
    """The connection of one viewer; one that does not read is disconnected."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.file: LiveFile | None = None

    @property
    def waiting(self) -> int:
        """Bytes that the system has not taken yet."""
        return int(self._transport.get_write_buffer_size())

    def put(self, data: bytes) -> None:
        """Send the next part of the file."""
        if self._transport.is_closing():
            return
        if self.waiting and self.waiting + len(data) > MAX_VIDEO_WAITING:
            self._transport.abort()
            return
        self._transport.write(data)
