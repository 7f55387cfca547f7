"""Pictures out: video files, PNG and EXR sequences, with sound, in pieces that join."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np

from avatar.errors import HeadsplatError
from avatar.rendering.passes import COLORED, PASSES, Pass
from avatar.video.audio import check_sound
from avatar.video.clock import exact_rate
from avatar.video.codecs import SEGMENT, Encoding, choose_codec
from avatar.video.conversions import DEPTH_SHOWN, for_video
from avatar.video.sequence import PICTURES, SequenceSink, image_name
from avatar.video.video_file import VideoSink
from avatar.video.writer import Writer

__all__ = [
    "DEPTH_SHOWN",
    "PASSES",
    "PICTURES",
    "SEGMENT",
    "Encoding",
    "Pass",
    "Writer",
    "exact_rate",
    "image_name",
    "open_output",
    "write_video",
]


def open_output(
    path: str | Path,
    rate: float | Fraction,
    *,
    picture: Pass = "rgb",
    alpha: bool = False,
    encoding: Encoding | None = None,
    audio: str | Path | None = None,
    first_frame: int = 0,
    total: int | None = None,
    depth_shown: tuple[float, float] = DEPTH_SHOWN,
    only_whole: bool = False,
) -> Writer:
    """A writer, to be used in a `with` block, for the pictures of one pass; nothing is written before the block.

    Args:
        path: a name in .mp4, .mov or .webm, or without a suffix a folder; what is there is replaced.
        rate: frames a second; 29.97 and the like are taken for the 1000/1001 that they stand for.
        picture: the pass; avatar.video.conversions says what its pictures are and how they are stored.
        alpha: rgb and mesh come as [H,W,4] with straight alpha.
        encoding: codec and quality; None: the defaults for the suffix.
        audio: a file with sound; its time 0 is that of frame 0 of the whole.
        first_frame: number in the whole of the first picture.
        total: frames of the whole, which joined pieces must make up; None: not known.
        depth_shown: meters that are white and black where depth is shown in a video.
        only_whole: Ctrl-C leaves nothing, for outputs that other work takes for complete.

    Raises:
        HeadsplatError: the suffix is unknown, what it stands for cannot hold the pictures or the sound, or there is
            none in `audio`.
        ValueError: the rate or the first frame is no such number.
    """
    path, fraction = Path(path), exact_rate(rate)
    encoding = Encoding() if encoding is None else encoding
    alpha = alpha and picture in COLORED
    if first_frame < 0:
        raise ValueError(f"first_frame: expected 0 or more, got {first_frame}")
    codec = choose_codec(path, encoding, picture, alpha)
    if audio is not None:
        if codec.sound is None:
            raise HeadsplatError(f"{path}: a folder of pictures holds no sound; give a name in .mp4, .mov or .webm")
        check_sound(Path(audio))
    if not codec.suffix:
        return Writer(SequenceSink(path, picture, codec.name, encoding.half, first_frame), picture, alpha, only_whole)
    sink = VideoSink(
        path,
        fraction,
        codec,
        encoding,
        for_video(picture, depth_shown),
        audio=None if audio is None else Path(audio),
        first_frame=first_frame,
        total=total,
    )
    return Writer(sink, picture, alpha, only_whole)


def write_video(path: str | Path, frames: Iterable[np.ndarray], rate: float, *, crf: float | None = None) -> int:
    """Write frames [H,W,3] uint8 sRGB to a video file; returns how many. See open_output."""
    with open_output(path, rate, encoding=Encoding(crf=crf), only_whole=True) as writer:
        for frame in frames:
            writer.add(frame)
    return writer.count
