"""Writing H.264 mp4 files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np

from avatar.errors import HeadsplatError
from avatar.files import remove_orphans

#: Ticks a second of the written timestamps: every usual frame rate (24, 25, 30, 50, 60, /1.001) to within 6 us.
TICKS = 90000


class VideoWriter:
    """Context manager that writes frames to an mp4 (H.264, yuv420p, BT.709) through a temporary file.

    The file is renamed to its name on a clean exit; after an exception inside the block nothing is left.
    Frames of odd size are padded by repeating the last row or column.
    """

    def __init__(self, path: str | Path, fps: float, *, crf: int = 18, preset: str = "medium") -> None:
        """
        Args:
            path: the mp4 to write; its folder is made when missing.
            fps: frames a second; frame n is shown at n / fps seconds unless `add` is given a time.
            crf: x264 quality, 0 (lossless) to 51.
            preset: x264 speed preset.
        """
        if not fps > 0:
            raise ValueError(f"fps: expected a positive number, got {fps}")
        self.path = Path(path)
        self.fps = float(fps)
        self.count = 0
        self._options = {"crf": str(crf), "preset": preset}
        self._temporary = self.path.with_name(f".{self.path.stem}.{os.getpid()}.part{self.path.suffix or '.mp4'}")
        self._container: av.container.OutputContainer | None = None
        self._stream: av.VideoStream | None = None
        self._size: tuple[int, int] = (0, 0)
        self._last_tick = -1

    def __enter__(self) -> VideoWriter:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            remove_orphans(self.path)
            self._container = av.open(str(self._temporary), "w", format="mp4", options={"movflags": "+faststart"})
        except (OSError, av.error.FFmpegError) as error:
            raise HeadsplatError(f"{self.path}: cannot be written ({error}); choose another place") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._container is not None
        finished = kind is None and self.count > 0
        try:
            if finished and self._stream is not None:
                self._container.mux(self._stream.encode(None))
            with contextlib.nullcontext() if finished else contextlib.suppress(av.error.FFmpegError, OSError):
                self._container.close()
            if finished:
                os.replace(self._temporary, self.path)
        except (OSError, av.error.FFmpegError) as failure:
            raise HeadsplatError(f"{self.path}: cannot be written ({failure}); free some space") from failure
        finally:
            self._temporary.unlink(missing_ok=True)
        if kind is None and self.count == 0:
            raise HeadsplatError(f"{self.path}: no frames to write; check the range of frames that was asked for")

    def add(self, rgb: np.ndarray, time: float | None = None) -> None:
        """Append a frame [H,W,3] uint8 sRGB, shown `time` seconds after the start (default: count / fps)."""
        assert self._container is not None, "VideoWriter.add outside of its `with` block"
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
            raise ValueError(f"rgb: expected [H,W,3] uint8, got {list(rgb.shape)} {rgb.dtype}")
        if self._stream is None:
            self._start(rgb.shape[0], rgb.shape[1])
        if rgb.shape[:2] != self._size:
            raise ValueError(f"rgb: expected {list(self._size)} as in the first frame, got {list(rgb.shape[:2])}")
        assert self._stream is not None
        height, width = self._size
        if height % 2 or width % 2:
            rgb = np.pad(rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        picture = picture.reformat(format="yuv420p", dst_colorspace="ITU709")
        seconds = self.count / self.fps if time is None else time
        picture.pts = max(round(seconds * TICKS), self._last_tick + 1)
        picture.time_base = Fraction(1, TICKS)
        self._last_tick = picture.pts
        self._container.mux(self._stream.encode(picture))
        self.count += 1

    def _start(self, height: int, width: int) -> None:
        assert self._container is not None
        rate = Fraction(self.fps).limit_denominator(1001)
        stream = self._container.add_stream("libx264", rate=rate, options=self._options)
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, TICKS)
        stream.codec_context.colorspace = 1  # BT.709 matrix, primaries and transfer (ITU-T H.273)
        stream.codec_context.color_primaries = 1
        stream.codec_context.color_trc = 1
        stream.codec_context.color_range = 1  # 16..235
        stream.codec_context.thread_count = 2
        self._stream, self._size = stream, (height, width)


def write_video(path: str | Path, frames: Iterable[np.ndarray], fps: float, *, crf: int = 18) -> int:
    """Write frames [H,W,3] uint8 sRGB to an mp4; returns how many. See VideoWriter."""
    with VideoWriter(path, fps, crf=crf) as writer:
        for frame in frames:
            writer.add(frame)
    return writer.count
