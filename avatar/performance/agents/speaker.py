"""An avatar that speaks: the stream of a voice, and the images of its frames."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatar.model.avatar import Avatar
from avatar.model.avatar_file import load_avatar
from avatar.performance.speech.stream import SpeechDriver, SpeechStream, SpokenFrame
from avatar.rendering.animator import Animator
from avatar.rendering.cameras import front_camera, subject_of

#: Frames per second, and background, dark as the window's.
FPS = 25.0
BACKGROUND = (0.09, 0.10, 0.11)


class SpokenImages:
    """Draws the frames of a stream from the front."""

    def __init__(self, avatar: Avatar, width: int, height: int, background: Sequence[float] = BACKGROUND) -> None:
        """
        Args:
            avatar: whose face it is.
            width: pixels.
            height: pixels.
            background: [3] 0..1.
        """
        self._drive = SpeechDriver(avatar)
        self._animator = Animator(avatar, width, height, background)
        rest = SpeechStream(acting=0).next_frame()
        self._camera = front_camera(subject_of(avatar, self._drive(rest)), width, height)

    def __call__(self, frame: SpokenFrame) -> NDArray[np.uint8]:
        """A frame as an image [H,W,3] sRGB, of the caller."""
        return self._animator.render(self._drive(frame), self._camera).cpu().numpy().copy()


class Speaker:
    """An avatar file, a stream, and a renderer; images are drawn on a thread while the event loop runs on."""

    def __init__(
        self,
        avatar: str | Path,
        *,
        width: int = 512,
        height: int = 512,
        fps: float = FPS,
        rate: int = 24_000,
        seed: int = 0,
        background: Sequence[float] = BACKGROUND,
    ) -> None:
        """
        Args:
            avatar: the file.
            width: pixels.
            height: pixels.
            fps: images per second.
            rate: samples per second of the sound that comes out.
            seed: of blinks, gaze, brows and motion of the head.
            background: [3] 0..1.

        Raises:
            HeadsplatError: the file is no avatar, or a value is out of range.
        """
        loaded = load_avatar(Path(avatar))
        self.stream = SpeechStream(fps=fps, rate=rate, seed=seed)
        self.width, self.height = width, height
        #: A frame as an image.
        self.image = SpokenImages(loaded, width, height, background)

    async def frames(self) -> AsyncIterator[tuple[SpokenFrame, NDArray[np.uint8]]]:
        """Frames at their time, each with its image, for ever."""
        async for frame in self.stream:
            yield frame, await asyncio.to_thread(self.image, frame)
