"""Video files as streams of upright sRGB frames with the times the file itself gives them.

Colors are converted by the YUV matrix that a file states, and from HDR to sRGB.
"""

from __future__ import annotations

import copy
import logging
import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import Type as SideDataType
from av.video.reformatter import VideoReformatter

from avatar.common.files import error_words
from avatar.errors import HeadsplatError
from capture.video.colors import PQ, ColorTags, frame_to_srgb
from capture.video.container import check_colors, notes_on, open_container, video_stream
from capture.video.fields import FirstField
from capture.video.frame_index import ContinuousTimes, FrameIndex, HeaderIndex, Packets

log = logging.getLogger(__name__)

#: Container metadata (QuickTime `mdta` and friends) that states the 35 mm equivalent focal length.
_FOCAL_SUFFIXES = ("focal_length.35mm_equivalent", "focallengthin35mmfilm", "focal-length-35mm")
#: Timestamps must increase: a frame that does not is put this long (s) after the one before.
_SMALLEST_STEP = 1e-3
#: Bounds on what headers state: pixels of a frame (twice 8K), pixels of a side, frames (a week at 30 fps), frames per
#: second, aspect of a pixel.
_MOST_PIXELS = 1 << 26
_LONGEST_SIDE = 16384
_MOST_FRAMES = 20_000_000
_MOST_LISTED = 2_000_000  # of frames in an index that are looked at: a third of a second
_SLOWEST = 1e-3
_FASTEST = 2000.0
_WIDEST = 10.0
#: A header's rate that is this close (relative) to the counted one is the rate: times are rounded.
_SAME_RATE = 0.02


@dataclass(frozen=True)
class SourceFrame:
    """One upright frame of a video."""

    number: int  # counted from 0 among the frames that could be decoded
    time: float  # seconds since the stream's start, from its own timestamps
    rgb: np.ndarray  # [H,W,3] uint8 sRGB


@dataclass(frozen=True)
class VideoMetadata:
    """Metadata of a video file."""

    width: int  # pixels, upright
    height: int
    fps: float  # average frames a second
    frame_count: int  # as the header states it, or an estimate; `VideoSource.count_frames` counts
    duration: float  # seconds, likewise
    rotation: int  # degrees counter-clockwise by which frames are turned to be upright: 0, 90, 180 or 270
    mirrored: bool  # whether they are then mirrored, left to right
    focal_35mm: float | None  # millimeters, equivalent for 36 mm wide film; None if the file does not state it
    transfer: int  # transfer characteristics (ITU-T H.273), 0 or 2 where unknown
    primaries: int  # color primaries (H.273), likewise
    matrix: int = 0  # matrix coefficients (H.273) where a frame states none, likewise
    notes: tuple[str, ...] = ()  # sentences on what is not read, or not as it was filmed

    @property
    def hdr(self) -> bool:
        """Whether frames are converted from HDR (PQ or HLG)."""
        return self.colors.hdr

    @property
    def colors(self) -> ColorTags:
        """How the numbers of frames are colors."""
        return ColorTags(self.primaries, self.transfer, self.matrix)


class VideoSource:
    """A video file; iterating decodes it from the start, one frame in memory at a time.

    The fields of `VideoMetadata` are attributes. `warnings` collects sentences about damaged parts found on the way.
    """

    def __init__(self, path: Path, metadata: VideoMetadata) -> None:
        self.path = path
        self.name = path.name
        self._announced = metadata.duration
        self._set(metadata)

    def _set(self, metadata: VideoMetadata) -> None:
        self.metadata = metadata
        self.width = metadata.width
        self.height = metadata.height
        self.fps = metadata.fps
        self.frame_count = metadata.frame_count
        self.duration = metadata.duration
        self.rotation = metadata.rotation
        self.mirrored = metadata.mirrored
        self.focal_35mm = metadata.focal_35mm
        self.hdr = metadata.hdr
        self.warnings: list[str] = []

    def __len__(self) -> int:
        """Number of frames, by the packets."""
        return len(self._packets) or self.frame_count

    @cached_property
    def _packets(self) -> Packets:
        with open_container(self.path) as container:
            return Packets.read(container, video_stream(container, self.path))

    @cached_property
    def index(self) -> FrameIndex | None:
        """The index of the frames; None if the packets do not identify them."""
        return FrameIndex.of(self._packets)

    def counted(self) -> VideoSource:
        """The same video with frames, duration and rate as its packets have them, however long reading them takes."""
        packets = self._packets
        return self._with(self._counted(len(packets), packets.seconds)) if len(packets) else self

    def count_frames(self, limit: float) -> tuple[VideoMetadata, bool]:
        """The metadata with frames, duration and rate as the packets have them, not as the header states them.

        Args:
            limit: seconds it may take.

        Returns:
            The metadata, and whether they were counted; beyond `limit` they are estimated.
        """
        stated = self.metadata
        with open_container(self.path) as container:
            stream = video_stream(container, self.path)
            size = container.size
            listed = HeaderIndex.of(container, stream, _MOST_LISTED)
            if listed and listed.end <= size:
                return self._counted(listed.frames, self.duration), True
            packets = Packets.read(container, stream, limit)
        frames = len(packets)
        if packets.whole:
            return (self._counted(frames, packets.seconds), True) if frames else (stated, False)
        rate = self._counted(frames, packets.seconds).fps
        if stated.frame_count <= frames and packets.position:  # the header states no count: by the part that was read
            frames = max(frames, round(frames * size / packets.position))
            return replace(stated, frame_count=frames, duration=frames / rate, fps=rate), False
        return replace(stated, fps=rate), False

    def _counted(self, frames: int, seconds: float) -> VideoMetadata:
        """The metadata with a number of frames and the seconds that they take, 0 where that is not known."""
        rate = frames / seconds if seconds else 0.0
        stated = self.fps
        same = abs(rate - stated) < _SAME_RATE * stated or not _SLOWEST <= rate <= _FASTEST
        fps = stated if same else rate
        return replace(self.metadata, frame_count=frames, duration=seconds or frames / fps, fps=fps)

    def with_turn(self, degrees: int) -> VideoSource:
        """The same video with every frame turned counter-clockwise by `degrees` more: 90, 180 or 270."""
        metadata = self.metadata
        width, height = (self.height, self.width) if degrees % 180 else (self.width, self.height)
        # To mirror and then to turn is to turn the other way and then to mirror.
        rotation = (metadata.rotation + (-degrees if metadata.mirrored else degrees)) % 360
        return self._with(replace(metadata, width=width, height=height, rotation=rotation))

    def _with(self, metadata: VideoMetadata) -> VideoSource:
        """The same video, what is known of its packets included, with other metadata."""
        source = copy.copy(self)
        source._set(metadata)
        return source

    def __iter__(self) -> Iterator[SourceFrame]:
        """All frames in order; raises HeadsplatError when none can be decoded."""
        return self.frames()

    def frames(self, wanted: Sequence[int] | np.ndarray | None = None) -> Iterator[SourceFrame]:
        """Frames in order; only the requested ones are converted, and long gaps between them are skipped by seeking.

        Args:
            wanted: increasing frame numbers; None: all of them.

        Raises:
            HeadsplatError: no frame can be decoded.
        """
        self.warnings[:] = [f"{self.name}: {note}" for note in self.metadata.notes]
        if self.hdr:
            kind = "PQ" if self.metadata.transfer == PQ else "HLG"
            self.warnings.append(
                f"{self.name}: HDR video ({kind}) was converted to sRGB; film without HDR for truer skin"
            )
        if self.index and self.index.restarts:
            self.warnings.append(
                f"{self.name}: the clock restarts in the middle of the file, as where files were joined; frames after "
                "that continue one frame later"
            )
        left = None if wanted is None else deque(int(number) for number in wanted)
        if left is not None and not left:
            return
        end = 0.0
        count = 0
        reformatter = VideoReformatter()  # kept: making one takes longer than converting a frame
        first_field = FirstField()
        for number, decoded, time in self._numbered_frames(left):
            count = count + 1
            end = max(end, time + 1 / self.fps)
            while left and left[0] < number:
                left.popleft()  # damaged, or announced and not there
            if left is None or (left and left[0] == number):
                yield SourceFrame(number, time, _upright(first_field(decoded), self.metadata, reformatter))
                if left is not None:
                    left.popleft()
            if left is not None and not left:
                return
        if count == 0:
            raise HeadsplatError(f"{self.path}: no frame could be decoded; record or download the video again")
        if end < 0.9 * self._announced - 1 / self.fps:
            self.warnings.append(
                f"{self.name}: the video ends early, at {end:.1f} of {self._announced:.1f} s; it may have been cut off"
            )

    def _numbered_frames(self, left: deque[int] | None) -> Iterator[tuple[int, av.VideoFrame, float]]:
        """Decoded frames with number and time (seconds); `left` are the numbers still requested."""
        with open_container(self.path) as container:
            stream = video_stream(container, self.path)
            stream.thread_type = "AUTO"
            offset = (stream.start_time or 0) * float(stream.time_base or 0)
            last = -math.inf
            number = -1
            sought = self._jump(container, stream, 0, left, None)
            decoded_frames = self._decoded_frames(container, stream)
            while (decoded := next(decoded_frames, None)) is not None:
                known = self.index.number(decoded.pts) if self.index else None
                number = number + 1 if known is None else known
                time = decoded.time - offset if decoded.time is not None else number / self.fps
                time = max(float(time), last + _SMALLEST_STEP)
                yield number, decoded, time
                last = time
                target = self._jump(container, stream, number, left, sought)
                if target != sought:
                    # the seek may have landed before frames that were seen
                    sought = target
                    last = -math.inf
                    decoded_frames = self._decoded_frames(container, stream)

    def _jump(
        self, container: Any, stream: Any, position: int, left: deque[int] | None, sought: int | None
    ) -> int | None:
        """Seek from frame `position` towards the next requested one if that is faster than decoding.

        Args:
            container: the open file.
            stream: its video.
            position: number of the frame that was decoded last.
            left: frame numbers still requested.
            sought: ticks of the last seek; never sought twice, since damaged files land elsewhere again and again.

        Returns:
            The ticks of the last seek that was tried.
        """
        target = self.index.jump(position, left[0]) if left and self.index else None
        if target is None or target == sought:
            return sought
        try:
            container.seek(target, stream=stream)
        except av.error.FFmpegError as error:
            log.debug("%s: no seek to %d (%s); decoding on", self.path, target, error)
        return target

    def _decoded_frames(self, container: Any, stream: Any) -> Iterator[av.VideoFrame]:
        """Decoded frames; damaged packets are skipped and counted in a warning."""
        damaged = 0
        packets = container.demux(stream)
        times = ContinuousTimes(stream)
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    break
                times.apply(packet)
                yield from packet.decode()
            except av.error.EOFError:
                break
            except av.error.FFmpegError as error:
                log.debug("%s: %s", self.path, error)
                damaged += 1
                if damaged > 10 * max(self.frame_count, 100):
                    break
        if damaged:
            self.warnings.append(f"{self.name}: {damaged} damaged parts of the video were skipped")


def wanted_frames(video: Any, numbers: Sequence[int] | np.ndarray) -> Iterator[SourceFrame]:
    """Frames `numbers` (increasing) of a VideoSource, or of any iterable of SourceFrames that starts anew each time."""
    if isinstance(video, VideoSource):
        yield from video.frames(numbers)
        return
    left = {int(number) for number in numbers}
    for frame in video:
        if frame.number in left:
            left.remove(frame.number)
            yield frame
        if not left:
            return


def open_video(path: str | Path) -> VideoSource:
    """Open a video file and decode its first frame to read its metadata.

    Args:
        path: any file FFmpeg can read.

    Returns:
        A VideoSource, upright by the file's rotation metadata.

    Raises:
        HeadsplatError: the file is missing, no video, without a video stream or entirely damaged.
    """
    path = Path(path)
    with open_container(path) as container:
        stream = video_stream(container, path)
        _check_size(stream.codec_context.width, stream.codec_context.height, path)
        of_container = ColorTags.of(stream.codec_context)  # decoding replaces them by those of the stream, if any
        first, start = _first_picture(container, stream, path)
        colors = ColorTags.of(stream.codec_context).or_else(of_container)
        check_colors(container, stream, path, start, colors)
        fps = _rate(stream)
        duration = _duration(container, stream)
        listed = HeaderIndex.of(container, stream, _MOST_LISTED)
        announced = listed.frames if listed else stream.frames
        count = min(announced or max(1, round(duration * fps)), _MOST_FRAMES)
        rotation, mirrored = _orientation(first)
        height, width = _upright_size(first, stream, rotation)
        _check_size(width, height, path)
        metadata = VideoMetadata(
            width=width,
            height=height,
            fps=fps,
            frame_count=int(count),
            duration=duration or count / fps,
            rotation=rotation,
            mirrored=mirrored,
            focal_35mm=_focal_35mm({**container.metadata, **stream.metadata}),
            transfer=colors.transfer,
            primaries=colors.primaries,
            matrix=colors.matrix,
            notes=notes_on(container, stream, first, fps, colors),
        )
    return VideoSource(path, metadata)


def _first_picture(container: Any, stream: Any, path: Path) -> tuple[av.VideoFrame, bytes]:
    """The first frame, and the first packet of the file."""
    reason = "it ends before the first frame"
    start: bytes | None = None
    try:
        for packet in container.demux(stream):
            start = bytes(packet) if start is None else start
            try:
                for decoded in packet.decode():
                    return decoded, start
            except av.error.EOFError:
                break
            except av.error.FFmpegError as error:
                reason = error_words(error)
    except av.error.FFmpegError as error:
        reason = error_words(error)
    raise HeadsplatError(f"{path}: no frame could be decoded ({reason}); record or download the video again")


def _rate(stream: Any) -> float:
    """Frames per second; what a header states is ignored where it is absurd."""
    stated = (float(rate) for rate in (stream.average_rate, stream.guessed_rate) if rate)
    return next((rate for rate in stated if _SLOWEST <= rate <= _FASTEST), 30.0)


def _check_size(width: int, height: int, path: Path) -> None:
    """Raise HeadsplatError for frames that would not fit into memory; 0 x 0 is a size that is not known yet."""
    if width * height > _MOST_PIXELS or max(width, height) > _LONGEST_SIDE:
        raise HeadsplatError(
            f"{path}: frames of {width}x{height} pixels, at most {_LONGEST_SIDE} a side and "
            f"{_MOST_PIXELS >> 20} million pixels can be read; scale the video down"
        )


def _duration(container: Any, stream: Any) -> float:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    end = container.duration or 0
    start = container.start_time or 0
    if "matroska" in container.format.name and 0 < start < end:  # its writers state the end, from time 0
        end -= start
    return float(end) / av.time_base


def _focal_35mm(metadata: dict[str, str]) -> float | None:
    for key, value in metadata.items():
        if key.lower().endswith(_FOCAL_SUFFIXES):
            try:
                focal = float(str(value).split()[0])
            except (ValueError, IndexError):
                continue
            if 5.0 <= focal <= 1000.0:
                return focal
    return None


def _orientation(decoded: av.VideoFrame) -> tuple[int, bool]:
    """Degrees counter-clockwise by which a frame is turned to be upright, and whether it is then mirrored.

    By its display matrix (ISO/IEC 14496-12): pixel (x, y) is shown at (a x + c y, b x + d y). Angles between are
    rounded to quarter turns.
    """
    attached: Any = decoded.side_data
    stated = attached.get(SideDataType.DISPLAYMATRIX)
    if stated is None:
        return 0, False
    a, b, _, c, d = np.frombuffer(bytes(stated), dtype="=i4")[:5].astype(np.float64)
    mirrored = bool(a * d - b * c < 0)
    if mirrored:  # the matrix of the turn alone: x is negated after it
        a, c = -a, -c
    clockwise = math.atan2(b - c, a + d)
    return -round(clockwise / (math.pi / 2)) * 90 % 360, mirrored


def _upright_size(decoded: av.VideoFrame, stream: Any, rotation: int) -> tuple[int, int]:
    """(height, width) with square pixels and the rotation applied."""
    aspect = float(stream.sample_aspect_ratio or 1)
    aspect = aspect if 1 / _WIDEST <= aspect <= _WIDEST else 1.0
    width = max(1, round(decoded.width * aspect))
    height = decoded.height
    return (width, height) if rotation % 180 else (height, width)


def _upright(decoded: av.VideoFrame, metadata: VideoMetadata, reformatter: VideoReformatter) -> np.ndarray:
    """The frame [H,W,3] uint8 sRGB, upright and with square pixels."""
    turned = metadata.rotation % 180 != 0
    width, height = (metadata.height, metadata.width) if turned else (metadata.width, metadata.height)
    rgb = frame_to_srgb(decoded, metadata.colors, reformatter, (width, height))
    upright = np.rot90(rgb, metadata.rotation // 90)
    return np.ascontiguousarray(upright[:, ::-1] if metadata.mirrored else upright)
