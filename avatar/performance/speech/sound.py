"""The sound of any media file, in blocks of one format: mono, RATE samples per second."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatar.common.audio import decoded_audio, resample, start_of
from avatar.common.files import error_words
from avatar.common.media import MEDIA_ERRORS, open_media
from avatar.errors import HeadsplatError
from avatar.performance.speech.features import HOP, RATE

Floats = NDArray[np.float32]

#: Longest sound that is listened to, s.
MAX_SECONDS = 4 * 3600
#: Samples of a block; a whole number of frames.
BLOCK = 100 * HOP
_FORMATS = "give a wav, mp3, m4a or video"


def sound_blocks(path: Path) -> Iterator[Floats]:
    """Read the first sound of a file from the time 0 of the file on, in blocks [BLOCK]; the last block may be shorter.

    Any number of channels is mixed to one. A damaged part is left out. One block is held at a time.

    Raises:
        HeadsplatError: the file is missing, no media file, without sound, empty or longer than MAX_SECONDS.
    """
    if not path.exists():
        raise HeadsplatError(f"{path}: no such file; check the path of the sound")
    total = 0
    pending = np.zeros(0, np.float32)
    try:
        for part in _parts(path):
            total += len(part)
            if total > MAX_SECONDS * RATE:
                raise HeadsplatError(
                    f"{path}: its sound is longer than {MAX_SECONDS // 3600} hours, the longest that is listened to; "
                    "cut it into parts"
                )
            pending = np.concatenate((pending, part))
            while len(pending) >= BLOCK:
                yield pending[:BLOCK]
                pending = pending[BLOCK:]
    except MEDIA_ERRORS as error:
        raise HeadsplatError(f"{path}: cannot be read as sound ({error_words(error)}); {_FORMATS}") from error
    if not total:
        raise HeadsplatError(f"{path}: its sound is empty or cannot be converted; {_FORMATS} with sound")
    if len(pending):
        yield pending


def _parts(path: Path) -> Iterator[Floats]:
    """Samples of decoded frames; silence where the sound of a video starts late."""
    with open_media(path) as container:
        if not container.streams.audio:
            kind = "a video without sound" if container.streams.video else "without a sound"
            raise HeadsplatError(f"{path}: is {kind}; {_FORMATS} with sound")
        frames = decoded_audio(container, path)
        first = next(frames, None)
        if first is None:
            return
        skip = -round(start_of(container, first) * RATE)
        if skip < -MAX_SECONDS * RATE:
            raise HeadsplatError(f"{path}: its sound starts after more than {MAX_SECONDS // 3600} hours; cut it")
        while skip < 0:
            count = min(-skip, BLOCK)
            skip += count
            yield np.zeros(count, np.float32)
        layout = "mono" if first.layout.nb_channels == 1 else "stereo"  # FFmpeg's own mix of two is too loud by 3 dB
        for samples in resample(itertools.chain([first], frames), RATE, layout):
            dropped = min(skip, samples.shape[1])
            skip -= dropped
            if dropped < samples.shape[1]:
                yield np.nan_to_num(samples[:, dropped:].mean(axis=0), nan=0.0, posinf=1.0, neginf=-1.0).clip(-4, 4)
