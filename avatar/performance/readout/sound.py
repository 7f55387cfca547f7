"""The loudness of a media file over time."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from avatar.common.media import MEDIA_ERRORS, open_media
from avatar.performance.readout.take import Loudness

_RATE = 16000  # samples per second, samples per level: 20 ms
_STEP = 320
_MIN_DECIBELS = -100.0


def read_loudness(path: Path) -> Loudness | None:
    """The level of the first audio track every 20 ms; None for a file without a readable one.

    Times are seconds after the start of the file, as those of its frames. Memory is that of the levels.
    """
    levels: list[np.ndarray] = []
    try:
        with open_media(path) as container:
            if not container.streams.audio:
                return None
            start = None
            rest = np.zeros(0, np.float32)
            resampler = av.AudioResampler(format="flt", layout="mono", rate=_RATE)
            for frame in container.decode(audio=0):
                if start is None:
                    start = (frame.time or 0.0) - (container.start_time or 0) / av.time_base
                for part in resampler.resample(frame):
                    rest = np.concatenate([rest, part.to_ndarray()[0]])
                whole = len(rest) // _STEP * _STEP
                levels.append(_decibels(rest[:whole].reshape(-1, _STEP)))
                rest = rest[whole:]
    except MEDIA_ERRORS:
        if not levels:
            return None
    decibels = np.concatenate(levels) if levels else np.zeros(0)
    if not len(decibels) or decibels.max() <= _MIN_DECIBELS:
        return None
    time = (start or 0.0) + (np.arange(len(decibels)) + 0.5) * _STEP / _RATE
    return Loudness(time, decibels)


def _decibels(samples: np.ndarray) -> np.ndarray:
    power = np.nan_to_num((samples.astype(np.float64) ** 2).mean(1), posinf=1.0)
    return np.asarray(10 * np.log10(np.maximum(power, 10 ** (_MIN_DECIBELS / 10))))
