"""The audio track of a video: cut and padded to the length of the video, encoded together with the frames."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from avatar.common.audio import decoded_audio, is_audible, resample, start_of
from avatar.common.files import error_words
from avatar.common.media import MEDIA_ERRORS, open_media
from avatar.errors import HeadsplatError

RATE = 48_000  # samples per second; the full rate of Opus
_CHUNK = 1024
_BIT_RATES = {1: 96_000, 2: 192_000}


def check_audio(path: Path) -> None:
    """Raise HeadsplatError unless `path` is a file with an audio stream."""
    if not path.is_file():
        raise HeadsplatError(f"{path}: no such file; check the path given with --audio")
    try:
        with open_media(path) as container:
            first = next(container.decode(audio=0), None) if container.streams.audio else None
    except MEDIA_ERRORS as error:
        raise _unreadable(path, error) from error
    if first is not None and not is_audible(first):
        found = f"{first.sample_rate} Hz, {first.layout.nb_channels} channels"
        raise HeadsplatError(f"{path}: its audio cannot be converted ({found}); give a wav, mp3, m4a or video")
    if first is None:
        raise HeadsplatError(f"{path}: contains no audio; give another file with --audio or leave it out")


def has_audio(path: Path) -> bool:
    """Whether `path` is a media file with an audio stream."""
    try:
        with open_media(path) as container:
            return bool(container.streams.audio)
    except MEDIA_ERRORS:
        return False


def _unreadable(path: Path, error: Exception) -> HeadsplatError:
    return HeadsplatError(f"{path}: cannot be read as audio ({error_words(error)}); give a wav, mp3, m4a or video")


class AudioTrack:
    """The audio stream of an output container, written up to the time of the frames."""

    def __init__(self, path: Path, container: av.container.OutputContainer, codec: str, start: Fraction) -> None:
        """
        Args:
            path: a file with an audio stream; its time 0 is frame 0 of the full video.
            container: the output container; its header must not be written yet.
            codec: name of ffmpeg's encoder.
            start: seconds from frame 0 of the full video to the first frame of this output.
        """
        self._path = path
        self._container = container
        try:
            self._source = open_media(path)
        except MEDIA_ERRORS as error:  # otherwise the output would be reported as the file that fails
            raise _unreadable(path, error) from error
        channels = 1 if self._source.streams.audio[0].codec_context.channels == 1 else 2
        self._layout = "mono" if channels == 1 else "stereo"
        stream = container.add_stream(codec, rate=RATE, layout=self._layout)
        assert isinstance(stream, av.AudioStream)
        self._stream = stream
        self._stream.bit_rate = _BIT_RATES[channels]
        self._samples = self._chunks(round(start * RATE))
        self._pending = np.zeros((channels, 0), np.float32)
        self._encoded = 0  # samples

    def advance(self, seconds: Fraction) -> None:
        """Encode and write the chunks that end before `seconds`."""
        while (self._encoded + _CHUNK) <= seconds * RATE:
            self._encode(_CHUNK)

    def finish(self, seconds: Fraction) -> None:
        """Encode and write the remaining samples up to `seconds`, the length of the video."""
        self.advance(seconds)
        if (remaining := int(seconds * RATE) - self._encoded) > 0:
            self._encode(remaining)
        self._container.mux(self._stream.encode(None))
        self.close()

    def close(self) -> None:
        """Close the audio file."""
        self._source.close()

    def _encode(self, count: int) -> None:
        frame = av.AudioFrame.from_ndarray(self._take(count), format="fltp", layout=self._layout)
        frame.sample_rate = RATE
        frame.time_base = Fraction(1, RATE)
        frame.pts = self._encoded
        self._encoded += count
        self._container.mux(self._stream.encode(frame))

    def _take(self, count: int) -> np.ndarray:
        """The next `count` samples [C,n], padded with silence after the end of the file."""
        try:
            while self._pending.shape[1] < count and (chunk := next(self._samples, None)) is not None:
                self._pending = np.concatenate((self._pending, chunk), axis=1)
        except MEDIA_ERRORS as error:
            raise _unreadable(self._path, error) from error
        taken = self._pending[:, :count]
        self._pending = self._pending[:, count:]
        return np.ascontiguousarray(np.pad(taken, ((0, 0), (0, count - taken.shape[1]))))

    def _chunks(self, skip: int) -> Iterator[np.ndarray]:
        """Decoded samples [C,n] at RATE, without the first `skip` samples of the file."""
        frames = decoded_audio(self._source, self._path)
        first = next(frames, None)
        if first is None:
            return
        skip -= round(start_of(self._source, first) * RATE)
        while skip < 0:
            count = min(-skip, RATE)
            skip += count
            yield np.zeros((len(self._pending), count), np.float32)
        for samples in resample(itertools.chain([first], frames), RATE, self._layout):
            dropped = min(skip, samples.shape[1])
            skip -= dropped
            if dropped < samples.shape[1]:
                yield samples[:, dropped:]
