"""Reading written videos with ffmpeg's demuxers and decoders."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from avatar.video import Writer


def images(count: int, *, channels: int = 3, height: int = 48, width: int = 64) -> np.ndarray:
    """[T,H,W,C] uint8: moving waves, so that every frame differs from the next."""
    y, x = np.mgrid[:height, :width] / 20
    waves = [np.sin(x + y * c + t / 9 + c) for t in range(count) for c in range(channels)]
    stacked = np.stack(waves).reshape(count, channels, height, width)
    return np.rint((stacked * 0.4 + 0.5) * 255).astype(np.uint8).transpose(0, 2, 3, 1)


def fill(writer: Writer, frames: np.ndarray, times: np.ndarray | None = None) -> None:
    """Write `frames`, at `times` if given."""
    with writer:
        for index, frame in enumerate(frames):
            writer.add(frame, None if times is None else float(times[index]))


def packet_times(path: Path) -> tuple[list[Fraction], Fraction]:
    """(presentation time of every packet, end of the last), seconds."""
    with av.open(str(path)) as container:
        found = [(packet.pts, packet.duration, packet.time_base) for packet in container.demux(video=0) if packet.size]
    return [pts * base for pts, _, base in found], (found[-1][0] + found[-1][1]) * found[-1][2]


def planes(path: Path, decoder: str | None = None) -> list[tuple[bytes, ...]]:
    """The decoded planes of every frame; `decoder` is ffmpeg's name if its default ignores alpha."""
    return [tuple(bytes(plane) for plane in frame.planes) for frame in decoded(path, decoder)]


def decoded(path: Path, decoder: str | None = None) -> list[av.VideoFrame]:
    """The decoded frames."""
    with av.open(str(path)) as container:
        if decoder is None:
            return list(container.decode(video=0))
        context = av.CodecContext.create(decoder, "r")
        return [frame for packet in container.demux(video=0) if packet.size for frame in context.decode(packet)]


def rgba(frame: av.VideoFrame) -> np.ndarray:
    """uint8 [H,W,4] of a BT.709 frame."""
    return frame.reformat(format="rgba", src_colorspace="ITU709").to_ndarray()


def write_audio(path: Path, seconds: float, rate: int = 44100, frequency: float = 440.0) -> Path:
    """A mono tone with half the maximum amplitude."""
    tone = np.sin(np.arange(int(seconds * rate)) * (2 * np.pi * frequency / rate)) * 16000
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone.astype(np.int16)[None], format="s16", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def audio_of(path: Path) -> np.ndarray:
    """The decoded samples [n] of the first channel at 48 kHz."""
    with av.open(str(path)) as container:
        samples = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
        # AAC has chunks of 1024 samples; the index of an MP4 file has the number of valid samples.
        return samples[: container.streams.audio[0].duration]
