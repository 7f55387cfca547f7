"""Audio streams of media files: decoded frames, samples at a wanted rate, and what headsplat cannot convert."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

import av
import numpy as np

log = logging.getLogger(__name__)

_RATES = 1000, 768_000  # samples per second that are accepted


def is_audible(frame: av.AudioFrame) -> bool:
    """Whether a frame has samples and a rate that can be converted; nonsense headers state 0 or 1 Hz."""
    return frame.samples > 0 and frame.layout.nb_channels > 0 and _RATES[0] <= frame.sample_rate <= _RATES[1]


def decoded_audio(container: av.container.InputContainer, path: Path) -> Iterator[av.AudioFrame]:
    """Audible frames of the first audio stream; damaged packets are skipped.

    Raises:
        OSError, ValueError: see MEDIA_ERRORS of avatar/common/media.py.
    """
    packets = container.demux(audio=0)
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            yield from (frame for frame in packet.decode() if is_audible(frame))
        except av.error.EOFError:
            return
        except av.error.FFmpegError as error:
            log.debug("%s: a damaged part was skipped (%s)", path, error)


def resample(frames: Iterable[av.AudioFrame], rate: int, layout: str) -> Iterator[np.ndarray]:
    """Samples [C,n] at `rate` of decoded frames, whose format may change on the way."""
    for _, group in itertools.groupby(frames, _format):
        resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)
        for frame in itertools.chain(group, [None]):  # None flushes
            for output in resampler.resample(frame):
                yield output.to_ndarray()


def start_of(container: av.container.InputContainer, first: av.AudioFrame) -> float:
    """Seconds from the start of a file to its first audio frame: a video may start without its audio."""
    return (first.time or 0.0) - (container.start_time or 0) / av.time_base


def _format(frame: av.AudioFrame) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate
