"""Video files under a temporary name until they are whole."""

from __future__ import annotations

import contextlib
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from avatar.common.files import remove_orphans, temporary_path
from avatar.video.audio import SoundTrack
from avatar.video.codecs import Codec, Encoding, Settings
from avatar.video.conversions import Convert
from avatar.video.metadata import Facts
from avatar.video.tracks import PacketTrack, PictureTrack, open_container

#: Frames a second that encoders of frames with times of their own are told: the same for all pieces of a whole.
_NOMINAL = Fraction(30)


class VideoSink:
    """Pictures of one pass in a video file, with a sound file beside them."""

    def __init__(
        self,
        path: Path,
        rate: Fraction,
        codec: Codec,
        encoding: Encoding,
        convert: Convert,
        *,
        audio: Path | None = None,
        first_frame: int = 0,
        total: int | None = None,
    ) -> None:
        """
        Args:
            path: the file; one of that name is replaced.
            rate: frames a second; with times of their own it says how long a single frame lasts.
            codec: the codec.
            encoding: quality.
            convert: picture to uint8 [H,W], [H,W,3] or, with straight alpha, [H,W,4].
            audio: a file with sound; its time 0 is that of frame 0 of the whole.
            first_frame: number of the first picture in the whole.
            total: frames of the whole, for those who join the pieces; None: not known.
        """
        self.path = path
        self._rate, self._codec, self._encoding, self._convert = rate, codec, encoding, convert
        self._audio, self._first, self._total = audio, first_frame, total
        self._temporary = temporary_path(path)
        self._container: av.container.OutputContainer | None = None
        self._sound: SoundTrack | None = None
        self._track: PictureTrack | None = None

    def open(self) -> None:
        """Make the temporary file; a file cannot take a folder's place."""
        if self.path.is_dir():
            raise IsADirectoryError(None, "a folder of that name is there", str(self.path))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        remove_orphans(self.path)
        self._temporary.touch()

    def write(self, picture: np.ndarray, index: int, time: float | None) -> None:
        """Encode a picture of the pass; odd sizes are padded by repeating the last row or column."""
        picture = _even(self._convert(picture))
        if self._track is None:
            self._track = self._start(picture, time)
        self._track.write(picture, index, time)

    def finish(self) -> None:
        """Write the rest and the index, and give the file its name."""
        assert self._track is not None and self._container is not None
        self._track.finish()
        container, self._container = self._container, None
        container.close()
        os.replace(self._temporary, self.path)

    def discard(self) -> None:
        """Close and remove what was not finished."""
        if self._sound is not None:
            self._sound.close()
        if self._container is not None:
            with contextlib.suppress(OSError, av.error.FFmpegError):
                self._container.close()
            self._container = None
        with contextlib.suppress(OSError):
            self._temporary.unlink(missing_ok=True)

    def _start(self, picture: np.ndarray, time: float | None) -> PictureTrack:
        """Write the header, which depends on the first picture."""
        timed, codec = time is not None, self._codec
        clock = codec.clock(self._rate, timed)
        start = clock.at(self._first, time)
        rate = f"{self._rate.numerator}/{self._rate.denominator}"
        facts = Facts(rate, timed, self._first, start, self._total, codec.name)
        self._container = open_container(self._temporary, codec, clock)
        self._container.metadata.update(facts.tags())
        settings = Settings(
            codec,
            self._encoding,
            alpha=picture.ndim == 3 and picture.shape[2] == 4,
            width=picture.shape[1],
            height=picture.shape[0],
            tick=clock.tick * (clock.step or 1),
            rate=_NOMINAL if timed else self._rate,
        )
        stream = self._container.add_stream(settings.encoder, rate=settings.rate)
        assert isinstance(stream, av.VideoStream)
        settings.apply(stream.codec_context)
        if codec.tag:
            stream.codec_context.codec_tag = codec.tag
        stream.time_base = clock.tick
        if self._audio is not None:
            assert codec.sound is not None
            self._sound = SoundTrack(self._audio, self._container, codec.sound, start * clock.tick)
        self._container.start_encoding()
        packets = PacketTrack(self._container, stream, facts, self._sound)
        return PictureTrack(settings, stream.codec_context, packets, facts)


def _even(picture: np.ndarray) -> np.ndarray:
    """`picture` with its last row or column repeated where its height or width is odd: chroma covers 2x2 pixels."""
    height, width = picture.shape[:2]
    if not (height % 2 or width % 2):
        return picture
    return np.pad(picture, ((0, height % 2), (0, width % 2), *((0, 0),) * (picture.ndim - 2)), mode="edge")
