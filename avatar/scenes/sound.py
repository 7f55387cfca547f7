"""The voices of a scene in one track, each from its own time on."""

from __future__ import annotations

import itertools
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatar.common.audio import decoded_audio, resample, start_of
from avatar.common.media import open_media
from avatar.video.audio import RATE, check_audio

#: Largest sample of a mix: a louder one is scaled down, all of it.
_PEAK = 0.98
_PART = 1 << 16


def mix(voices: Sequence[tuple[Path, float]], seconds: float, out: Path) -> None:
    """Write the sum of sounds as a 16-bit stereo WAV file.

    Args:
        voices: files with sound, and the seconds of the scene at which each starts.
        seconds: length of the scene.
        out: the file to write.

    Raises:
        HeadsplatError: a file has no sound.
        OSError, ValueError: see MEDIA_ERRORS of avatar/common/media.py.
    """
    total = np.zeros((2, round(seconds * RATE)), np.float32)
    for path, start in voices:
        check_audio(path)
        _add(total, path, round(start * RATE))
    peak = float(np.abs(total).max(initial=0.0))
    if peak > _PEAK:
        total *= _PEAK / peak
    with wave.open(str(out), "wb") as stream:
        stream.setnchannels(2)
        stream.setsampwidth(2)
        stream.setframerate(RATE)
        for first in range(0, total.shape[1], _PART):
            part = (total[:, first : first + _PART] * 32767).round().astype("<i2")
            stream.writeframes(part.T.tobytes())


def _add(total: NDArray[np.float32], path: Path, at: int) -> None:
    """Add the sound of a file from sample `at` on; what comes after the end of `total` is left out."""
    with open_media(path) as container:
        frames = decoded_audio(container, path)
        first = next(frames, None)
        if first is None:
            return
        at += round(start_of(container, first) * RATE)
        for samples in resample(itertools.chain([first], frames), RATE, "stereo"):
            skipped = max(-at, 0)
            begin = min(max(at, 0), total.shape[1])
            part = samples[:, skipped : skipped + total.shape[1] - begin]
            total[:, begin : begin + part.shape[1]] += part
            at += samples.shape[1]
            if at >= total.shape[1]:
                return
