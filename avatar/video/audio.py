"""A sound file beside a video: cut and padded to its length, encoded as the pictures go by."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from avatar.common.files import error_words
from avatar.errors import HeadsplatError

RATE = 48_000  # samples a second; Opus knows no other of use
_CHUNK = 1024
_BIT_RATES = {1: 96_000, 2: 192_000}


def check_sound(path: Path) -> None:
    """Raise HeadsplatError unless `path` is a file with sound in it."""
    if not path.is_file():
        raise HeadsplatError(f"{path}: no such file; check the path given with --audio")
    try:
        with av.open(str(path)) as container:
            if container.streams.audio and next(container.decode(audio=0), None) is not None:
                return
    except (OSError, av.error.FFmpegError) as error:
        raise HeadsplatError(
            f"{path}: cannot be read as sound ({error_words(error)}); give a wav, mp3, m4a or video"
        ) from error
    raise HeadsplatError(f"{path}: there is no sound in it; give another file with --audio or leave it out")


class SoundTrack:
    """The sound stream of an output container, fed up to the time of the pictures."""

    def __init__(self, path: Path, container: av.container.OutputContainer, codec: str, start: Fraction) -> None:
        """
        Args:
            path: a file with sound; its time 0 is that of frame 0 of the whole.
            container: where the sound goes; its header is not written yet.
            codec: ffmpeg's encoder.
            start: seconds of it that come before this output.
        """
        self._container = container
        self._source = av.open(str(path))
        context = self._source.streams.audio[0].codec_context
        channels = min(context.channels, 2)
        self._layout = "mono" if channels == 1 else "stereo"
        stream = container.add_stream(codec, rate=RATE, layout=self._layout)
        assert isinstance(stream, av.AudioStream)
        self._stream = stream
        self._stream.bit_rate = _BIT_RATES[channels]
        self._samples = self._chunks(round(start * RATE))
        self._rest = np.zeros((channels, 0), np.float32)
        self._done = 0  # samples encoded

    def advance(self, seconds: Fraction) -> None:
        """Encode and write all whole chunks that begin before `seconds`."""
        while (self._done + _CHUNK) <= seconds * RATE:
            self._encode(_CHUNK)

    def finish(self, seconds: Fraction) -> None:
        """Encode and write the rest up to `seconds`, the length of the video."""
        self.advance(seconds)
        if (left := int(seconds * RATE) - self._done) > 0:
            self._encode(left)
        self._container.mux(self._stream.encode(None))
        self.close()

    def close(self) -> None:
        """Let the sound file go."""
        self._source.close()

    def _encode(self, count: int) -> None:
        frame = av.AudioFrame.from_ndarray(self._take(count), format="fltp", layout=self._layout)
        frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), self._done
        self._done += count
        self._container.mux(self._stream.encode(frame))

    def _take(self, count: int) -> np.ndarray:
        """The next `count` samples [C,n], silence once there are no more."""
        while self._rest.shape[1] < count and (chunk := next(self._samples, None)) is not None:
            self._rest = np.concatenate((self._rest, chunk), axis=1)
        taken, self._rest = self._rest[:, :count], self._rest[:, count:]
        return np.ascontiguousarray(np.pad(taken, ((0, 0), (0, count - taken.shape[1]))))

    def _chunks(self, skip: int) -> Iterator[np.ndarray]:
        """Decoded samples [C,n] at RATE from number `skip` of the file's own time on."""
        origin = (self._source.start_time or 0) / av.time_base
        resampler = av.AudioResampler(format="fltp", layout=self._layout, rate=RATE)
        begun = False
        for frame in self._decoded():
            if frame is not None and not begun:
                skip -= round(((frame.time or 0.0) - origin) * RATE)  # a video's sound may begin late
                begun = True
            for part in resampler.resample(frame):
                samples: np.ndarray = part.to_ndarray()
                if skip < 0:
                    samples, skip = np.pad(samples, ((0, 0), (-skip, 0))), 0
                dropped = min(skip, samples.shape[1])
                skip -= dropped
                if dropped < samples.shape[1]:
                    yield samples[:, dropped:]

    def _decoded(self) -> Iterator[av.AudioFrame | None]:
        yield from self._source.decode(audio=0)
        yield None  # the resampler's own rest
