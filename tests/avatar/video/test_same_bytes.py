"""H.264: equal frames give equal bytes on every x86-64 processor."""

from __future__ import annotations

import platform
from fractions import Fraction

import av
import numpy as np
import pytest

from avatar.video.codecs import CODECS, EncoderSettings, Encoding
from tests.avatar.video.reading import images

_RATE = Fraction(30)


def _moving(width: int) -> np.ndarray:
    """Twenty frames with grain that moves sideways: motion vectors that cross the border of the image."""
    frames = images(20, height=64, width=width).astype(int)
    grain = np.random.default_rng(0).integers(-20, 20, frames.shape)
    noisy = np.clip(frames + grain, 0, 255).astype(np.uint8)
    return np.stack([np.roll(frame, 3 * index, 1) for index, frame in enumerate(noisy)])


def _encoded(frames: np.ndarray, context: av.VideoCodecContext) -> list[bytes]:
    packets = []
    for index, frame in enumerate(frames):
        image = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format="yuv420p")
        image.pts = index
        packets += [bytes(packet) for packet in context.encode(image)]
    return packets + [bytes(packet) for packet in context.encode(None)]


@pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="names x86-64 instructions")
@pytest.mark.parametrize("width", [32, 48, 128, 270, 400, 512])
def test_h264_bytes_do_not_depend_on_the_instructions_that_x264_uses(width: int) -> None:
    frames = _moving(width)
    settings = EncoderSettings(CODECS[0], Encoding(), False, width, frames.shape[1], 1 / _RATE, _RATE)
    limited = av.CodecContext.create(settings.encoder, "w")
    assert isinstance(limited, av.VideoCodecContext)
    settings.apply(limited)
    limited.options = {**limited.options, "x264-params": "asm=MMX2,SSE2Fast,SSSE3"}
    assert _encoded(frames, settings.new_encoder()) == _encoded(frames, limited)
