"""Writing frames: video files with audio, PNG and EXR sequences, in segments that can be joined without re-encoding."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np

from avatar.errors import HeadsplatError
from avatar.rendering.passes import COLOR_PASSES, PASSES, Pass
from avatar.video.clock import exact_rate
from avatar.video.codecs import KEYFRAME_INTERVAL, Encoding, choose_codec
from avatar.video.conversions import DEPTH_RANGE, for_video
from avatar.video.sequence import FRAME_FILES, SequenceSink, image_name
from avatar.video.writer import Writer

__all__ = [
    "DEPTH_RANGE",
    "FRAME_FILES",
    "KEYFRAME_INTERVAL",
    "PASSES",
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
    pass_name: Pass = "rgb",
    alpha: bool = False,
    encoding: Encoding | None = None,
    audio: str | Path | None = None,
    first_frame: int = 0,
    total: int | None = None,
    depth_range: tuple[float, float] = DEPTH_RANGE,
    complete_only: bool = False,
) -> Writer:
    """A writer for the frames of one pass, to be used in a `with` block; nothing is written before the block.

    Args:
        path: a name in .mp4, .mov or .webm, or without a suffix a folder of images. An existing output is replaced.
        rate: frames per second; 29.97 and similar numbers mean the exact multiple of 1000/1001.
        pass_name: the pass; `avatar.video.conversions` lists its array format and how it is stored.
        alpha: rgb and mesh frames are [H,W,4] with straight alpha.
        encoding: codec and quality; None: the defaults for the suffix.
        audio: a file with an audio stream; its time 0 is frame 0 of the full video.
        first_frame: number of the first frame in the full video, if this is a segment of it.
        total: number of frames of the full video, checked when segments are joined; None: not known.
        depth_range: meters that are white and black in a video of the depth pass.
        complete_only: after Ctrl-C write nothing; for outputs that later steps expect to be complete.

    Raises:
        HeadsplatError: the suffix is unknown, its format cannot store the frames or the audio, or `audio` has no audio
            stream.
        ValueError: `rate` or `first_frame` is out of range.
    """
    path = Path(path)
    fraction = exact_rate(rate)
    encoding = encoding or Encoding()
    alpha = alpha and pass_name in COLOR_PASSES
    if first_frame < 0:
        raise ValueError(f"first_frame: expected 0 or more, got {first_frame}")
    codec = choose_codec(path, encoding, pass_name, alpha)
    if audio is not None:
        if codec.audio_encoder is None:
            raise HeadsplatError(f"{path}: a folder of images cannot store audio; give a name in .mp4, .mov or .webm")
        from avatar.video.audio import check_audio

        check_audio(Path(audio))
    if not codec.suffix:
        images = SequenceSink(path, pass_name, codec.name, encoding.half, first_frame)
        return Writer(images, pass_name, alpha, complete_only)
    from avatar.video.video_file import VideoSink  # with FFmpeg's libraries, which a folder of PNG files does not need

    sink = VideoSink(
        path,
        fraction,
        codec,
        encoding,
        for_video(pass_name, depth_range),
        audio=None if audio is None else Path(audio),
        first_frame=first_frame,
        total=total,
    )
    return Writer(sink, pass_name, alpha, complete_only)


def write_video(path: str | Path, frames: Iterable[np.ndarray], rate: float, *, crf: float | None = None) -> int:
    """Write a video file; see `open_output`.

    Args:
        path: a name in .mp4, .mov or .webm.
        frames: [H,W,3] uint8 sRGB.
        rate: frames per second.
        crf: quality; None: the codec's default.

    Returns:
        The number of frames.
    """
    with open_output(path, rate, encoding=Encoding(crf=crf), complete_only=True) as writer:
        for frame in frames:
            writer.add(frame)
    return writer.count
