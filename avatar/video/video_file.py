"""Video files, written under a temporary name until they are complete, or in fragments under their own name."""

from __future__ import annotations

import contextlib
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from avatar.common.temporaries import create_file, remove_orphans, temporary_path
from avatar.video.audio import AudioTrack
from avatar.video.codecs import Codec, EncoderSettings, Encoding
from avatar.video.conversions import Convert
from avatar.video.metadata import SegmentInfo
from avatar.video.tracks import PacketTrack, VideoTrack, open_container

#: Frames per second that encoders get for a variable frame rate: equal for all segments of a video.
_NOMINAL = Fraction(30)


class VideoSink:
    """Writes the frames of one pass to a video file, with the audio of another file."""

    errors: tuple[type[Exception], ...] = (OSError, av.error.FFmpegError)

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
            path: the file; an existing file is replaced.
            rate: frames per second; with a variable rate the inverse of the duration of a single frame.
            codec: the codec.
            encoding: quality.
            convert: image of the pass to uint8 [H,W], [H,W,3] or, with straight alpha, [H,W,4].
            audio: a file with an audio stream; its time 0 is frame 0 of the full video.
            first_frame: number of the first frame in the full video.
            total: number of frames of the full video, stored for joining; None: not known.
        """
        self.path = path
        self._rate = rate
        self._codec = codec
        self._encoding = encoding
        self._convert = convert
        self._audio = audio
        self._first = first_frame
        self._total = total
        self._temporary = path if encoding.fragmented else temporary_path(path)
        self._created = False  # bytes of a fragmented file that are complete fragments
        self._size = 0
        self._container: av.container.OutputContainer | None = None
        self._audio_track: AudioTrack | None = None
        self._track: VideoTrack | None = None

    def open(self) -> None:
        """Create the temporary file; raises OSError if `path` is a folder, or exists and is to be fragmented."""
        if self.path.is_dir():
            raise IsADirectoryError(None, "a folder of that name exists", str(self.path))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self._encoding.fragmented:
            self._temporary.touch(exist_ok=False)
        else:
            remove_orphans(self.path)
            create_file(self._temporary)
        self._created = True

    def write(self, image: np.ndarray, index: int, time: float | None) -> None:
        """Encode an image of the pass; odd sizes are padded by repeating the last row or column."""
        image = _pad_to_even(self._convert(image))
        if self._track is None:
            self._track = self._start(image, time)
        self._track.write(image, index, time)
        if self._encoding.fragmented:
            self._size = self.path.stat().st_size

    def finish(self) -> None:
        """Write the remaining packets and the index, and rename the file."""
        assert self._track is not None and self._container is not None
        self._track.finish()
        container = self._container
        self._container = None
        container.close()
        if not self._encoding.fragmented:
            os.replace(self._temporary, self.path)

    def discard(self) -> None:
        """Close and remove an unfinished file; a fragmented file with frames stays."""
        if self._audio_track is not None:
            self._audio_track.close()
        if self._container is not None:
            with contextlib.suppress(*self.errors):
                self._container.close()
            self._container = None
            if self._encoding.fragmented:
                with contextlib.suppress(OSError):
                    os.truncate(self.path, self._size)
        if self._created and (self._track is None or not self._encoding.fragmented):
            with contextlib.suppress(OSError):
                self._temporary.unlink(missing_ok=True)

    def _start(self, image: np.ndarray, time: float | None) -> VideoTrack:
        """Write the header, which depends on the first image."""
        timed = time is not None
        codec = self._codec
        clock = codec.clock(self._rate, timed)
        start = clock.at(self._first, time)
        rate = f"{self._rate.numerator}/{self._rate.denominator}"
        info = SegmentInfo(rate, timed, self._first, start, self._total, codec.name)
        self._container = open_container(self._temporary, codec, clock, self._encoding.fragmented)
        self._container.metadata.update(info.tags())
        settings = EncoderSettings(
            codec,
            self._encoding,
            alpha=image.ndim == 3 and image.shape[2] == 4,
            width=image.shape[1],
            height=image.shape[0],
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
            assert codec.audio_encoder is not None
            self._audio_track = AudioTrack(self._audio, self._container, codec.audio_encoder, start * clock.tick)
        self._container.start_encoding()
        packets = PacketTrack(self._container, stream, info, self._audio_track)
        return VideoTrack(settings, stream.codec_context, packets, info)


def _pad_to_even(image: np.ndarray) -> np.ndarray:
    """`image` with its last row or column repeated if its height or width is odd: chroma samples cover 2x2 pixels."""
    height, width = image.shape[:2]
    if not (height % 2 or width % 2):
        return image
    return np.pad(image, ((0, height % 2), (0, width % 2), *((0, 0),) * (image.ndim - 2)), mode="edge")
