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
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import Type as SideDataType
from av.video.reformatter import VideoReformatter

from avatar.common.files import error_words
from avatar.common.media import MEDIA_ERRORS, open_media
from avatar.common.photo_files import no_video
from avatar.errors import HeadsplatError
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
#: Transfer characteristics of HDR video (ITU-T H.273): PQ (SMPTE ST 2084) and HLG (ARIB STD-B67).
PQ = 16
HLG = 18
#: Matrix coefficients (H.273).
_BT709 = 1
_BT601_PAL = 5
_BT601 = 6
_BT2020 = 9
#: swscale's names for them.
_SWS_BT709 = 1
_SWS_BT601 = 5
_SWS_BT2020 = 9
#: Linear light, BT.2020 primaries to BT.709 (ITU-R BT.2087).
BT2020_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], dtype=np.float32
)
#: The same, Display P3 to BT.709 (SMPTE EG 432-1).
P3_TO_BT709 = np.array([[1.2249, -0.2249, 0.0], [-0.0421, 1.0421, 0.0], [-0.0196, -0.0786, 1.0983]], dtype=np.float32)
#: By color primaries (H.273) that SDR video may have.
_WIDE_GAMUTS = {9: BT2020_TO_BT709, 12: P3_TO_BT709}
#: Of BT.2020's primaries, the luminance (ITU-R BT.2100).
_BT2020_LUMINANCE = np.array([[0.2627, 0.6780, 0.0593]], dtype=np.float32)
#: Linear light of diffuse white (203 cd/m2, ITU-R BT.2408), and the peak (cd/m2) of the display that HLG is shown on,
#: with the gamma of its luminance (BT.2100).
_DIFFUSE_WHITE = 0.8
_DIFFUSE_NITS = 203
_HLG_NITS = 1000
_HLG_GAMMA = 1.2
#: HDR frames are read with this many bits; linear light beyond the brightest is white.
_HDR_BITS = 10
_HDR_BRIGHTEST = 4.0
_HDR_STEPS = 4096  # of the tables of codes and of luminance, for SDR of a wide gamut too


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
    transfer: int  # transfer characteristics (ITU-T H.273), 0 where unknown
    primaries: int  # color primaries (H.273), 0 where unknown

    @property
    def hdr(self) -> bool:
        """Whether frames are converted from HDR (PQ or HLG)."""
        return self.transfer in (PQ, HLG)


class VideoSource:
    """A video file; iterating decodes it from the start, one frame in memory at a time.

    The fields of `VideoMetadata` are attributes. `warnings` collects sentences about damaged parts found on the way.
    """

    def __init__(self, path: Path, metadata: VideoMetadata) -> None:
        self.path = path
        self.name = path.name
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
        with _open_container(self.path) as container:
            return Packets.read(container, _video_stream(container, self.path))

    @cached_property
    def index(self) -> FrameIndex | None:
        """The index of the frames; None if the packets do not identify them."""
        return FrameIndex.of(self._packets)

    def count_frames(self, limit: float) -> tuple[VideoMetadata, bool]:
        """The metadata with frames, duration and rate as the packets have them, not as the header states them.

        Args:
            limit: seconds it may take.

        Returns:
            The metadata, and whether they were counted; beyond `limit` they are estimated.
        """
        stated = self.metadata
        with _open_container(self.path) as container:
            stream = _video_stream(container, self.path)
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
        source = copy.copy(self)
        metadata = self.metadata
        width, height = (self.height, self.width) if degrees % 180 else (self.width, self.height)
        # To mirror and then to turn is to turn the other way and then to mirror.
        rotation = (metadata.rotation + (-degrees if metadata.mirrored else degrees)) % 360
        source.metadata = replace(metadata, width=width, height=height, rotation=rotation)
        source.width = width
        source.height = height
        source.rotation = rotation
        source.warnings = []
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
        self.warnings.clear()
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
        last = -1
        count = 0
        reformatter = VideoReformatter()  # kept: making one takes longer than converting a frame
        for number, decoded, time in self._numbered_frames(left):
            count = count + 1
            last = max(last, number)
            while left and left[0] < number:
                left.popleft()  # damaged, or announced and not there
            if left is None or (left and left[0] == number):
                yield SourceFrame(number, time, _upright(decoded, self.metadata, reformatter))
                if left is not None:
                    left.popleft()
            if left is not None and not left:
                return
        if count == 0:
            raise HeadsplatError(f"{self.path}: no frame could be decoded; record or download the video again")
        if last + 1 < 0.9 * self.frame_count - 1:
            self.warnings.append(
                f"{self.name}: the video ends early, {self.frame_count} frames are announced; it may have been cut off"
            )

    def _numbered_frames(self, left: deque[int] | None) -> Iterator[tuple[int, av.VideoFrame, float]]:
        """Decoded frames with number and time (seconds); `left` are the numbers still requested."""
        with _open_container(self.path) as container:
            stream = _video_stream(container, self.path)
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
    with _open_container(path) as container:
        stream = _video_stream(container, path)
        _check_size(stream.codec_context.width, stream.codec_context.height, path)
        first = _first_picture(container, stream, path)
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
            transfer=int(stream.codec_context.color_trc or 0),
            primaries=int(stream.codec_context.color_primaries or 0),
        )
    return VideoSource(path, metadata)


def _open_container(path: Path) -> Any:
    if not path.exists():
        raise HeadsplatError(f"{path}: no such file; check the path of the video")
    if path.is_dir():
        raise HeadsplatError(f"{path}: a folder, not a video file; name the video inside it")
    if path.is_file() and path.stat().st_size == 0:
        raise HeadsplatError(f"{path} is not a video: the file is empty; copy it from the phone again")
    if reason := no_video(path):
        raise HeadsplatError(f"{path}: {reason}")
    try:
        return open_media(path)
    except PermissionError as error:
        raise HeadsplatError(f"{path}: no permission to read it; change the file's permissions") from error
    except MEDIA_ERRORS as error:
        raise HeadsplatError(
            f"{path} is not a video headsplat can read ({error_words(error)}); give an mp4, mov, mkv or webm file"
        ) from error


def _video_stream(container: Any, path: Path) -> Any:
    streams = [stream for stream in container.streams.video if stream.codec_context is not None]
    moving = [stream for stream in streams if not _is_cover(stream)]
    if not moving:
        content = "only sound" if container.streams.audio else "no images"
        raise HeadsplatError(f"{path}: there is no video stream in it ({content}); give a video file")
    return max(moving, key=lambda stream: (stream.codec_context.width or 0) * (stream.codec_context.height or 0))


def _is_cover(stream: Any) -> bool:
    """Whether the stream is the cover image of a sound file."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _first_picture(container: Any, stream: Any, path: Path) -> av.VideoFrame:
    reason = "it ends before the first frame"
    try:
        for packet in container.demux(stream):
            try:
                for decoded in packet.decode():
                    return decoded
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
    return float(container.duration or 0) / av.time_base


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
    deep = metadata.hdr or decoded.format.components[0].bits > 8
    rgb: np.ndarray = reformatter.reformat(
        decoded,
        width=width,
        height=height,
        format="rgb48le" if deep else "rgb24",
        src_colorspace=color_matrix(decoded),
        interpolation="BICUBIC",
    ).to_ndarray()
    if metadata.hdr:
        rgb = hdr_to_srgb(rgb, metadata.transfer)
    elif deep:
        # swscale's own conversion to 8 bits darkens by two levels
        rgb = ((rgb - (rgb >> 8) + 128) >> 8).astype(np.uint8)  # rgb / 257, rounded
    if not metadata.hdr and metadata.primaries in _WIDE_GAMUTS:
        rgb = wide_to_srgb(rgb, _WIDE_GAMUTS[metadata.primaries])
    upright = np.rot90(rgb, metadata.rotation // 90)
    return np.ascontiguousarray(upright[:, ::-1] if metadata.mirrored else upright)


def color_matrix(decoded: av.VideoFrame) -> int:
    """swscale's name of the color matrix; high definition without a tag is BT.709, as players assume."""
    stated = int(decoded.colorspace or 0)
    if stated in (_BT2020, _BT2020 + 1):
        return _SWS_BT2020
    if stated == _BT709:
        return _SWS_BT709
    if stated in (_BT601_PAL, _BT601):
        return _SWS_BT601
    return _SWS_BT709 if max(decoded.width, decoded.height) >= 1280 else _SWS_BT601


def hdr_to_srgb(rgb: np.ndarray, transfer: int) -> np.ndarray:
    """BT.2020 HDR code values [H,W,3] uint8 or uint16 to sRGB uint8: linearize, change primaries, roll off highlights.

    HLG and PQ are those of ITU-R BT.2100, HLG as a display of 1000 cd/m2 shows it; diffuse white (203 cd/m2, ITU-R
    BT.2408) maps to sRGB 0.9.
    """
    import cv2  # only videos in HDR need it

    codes = rgb if rgb.dtype == np.uint8 else rgb >> (16 - _HDR_BITS)
    light = hdr_curve(transfer, 8 if rgb.dtype == np.uint8 else _HDR_BITS)[codes]
    linear = cv2.transform(light, BT2020_TO_BT709)
    if transfer == HLG:
        # The table is read by the fourth root: square roots have the same bits on every processor, powers have not.
        root = cv2.sqrt(cv2.sqrt(np.clip(cv2.transform(light, _BT2020_LUMINANCE), 0, 1)))
        linear *= _HLG_TABLE[np.rint(root * _HDR_STEPS).astype(np.uint16)][..., None]
    index = cv2.sqrt(np.clip(linear, 0, _HDR_BRIGHTEST)) * (_HDR_STEPS / _HDR_BRIGHTEST**0.5)
    return _HDR_TABLE[np.rint(index).astype(np.uint16)]


def wide_to_srgb(rgb: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """SDR code values [H,W,3] uint8 of a wide gamut to sRGB; `matrix` [3,3] changes primaries in linear light."""
    import cv2  # only videos of a wide gamut need it

    linear = cv2.transform(_LINEAR_TABLE[rgb], matrix)
    return _SRGB_TABLE[np.rint(cv2.sqrt(np.clip(linear, 0, 1)) * _HDR_STEPS).astype(np.uint16)]


def _linear_table() -> np.ndarray:
    """Linear light [256] float32 of sRGB codes."""
    code = np.linspace(0, 1, 256)
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _srgb_codes(linear: np.ndarray) -> np.ndarray:
    """sRGB codes uint8 of linear light 0..1."""
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(encoded * 255).astype(np.uint8)


def _hlg_table() -> np.ndarray:
    """The factor [_HDR_STEPS+1] float32 from HLG's scene light to display light, by the fourth root of its luminance.

    The gamma applies to luminance, so that it changes no hue (BT.2100, reference OOTF).
    """
    luminance = np.linspace(0, 1, _HDR_STEPS + 1) ** 4
    peak = _HLG_NITS / _DIFFUSE_NITS * _DIFFUSE_WHITE
    return (peak * luminance ** (_HLG_GAMMA - 1)).astype(np.float32)


def _hdr_table() -> np.ndarray:
    """sRGB code [_HDR_STEPS+1] uint8 of linear light 0.._HDR_BRIGHTEST, by its square root; highlights rolled off."""
    linear = _HDR_BRIGHTEST * np.linspace(0, 1, _HDR_STEPS + 1) ** 2
    knee = 0.7
    linear = np.where(linear > knee, knee + (1 - knee) * np.tanh((linear - knee) / (1 - knee)), linear)
    return _srgb_codes(linear)


_HDR_TABLE = _hdr_table()
_LINEAR_TABLE = _linear_table()
_SRGB_TABLE = _srgb_codes(np.linspace(0, 1, _HDR_STEPS + 1) ** 2)  # by the square root of linear light
_HLG_TABLE = _hlg_table()


@lru_cache(maxsize=4)
def hdr_curve(transfer: int, bits: int) -> np.ndarray:
    """Linear light [2^bits] float32 of code values: PQ's on the display, diffuse white at 0.8; HLG's of the scene."""
    code = np.linspace(0, 1, 1 << bits)
    if transfer == HLG:
        a = 0.17883277
        b = 0.28466892
        c = 0.55991073
        return np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12).astype(np.float32)
    m1 = 0.1593017578125
    m2 = 78.84375
    c1 = 0.8359375
    c2 = 18.8515625
    c3 = 18.6875
    root = code ** (1 / m2)
    nits = 10000 * (np.clip(root - c1, 0, None) / (c2 - c3 * root)) ** (1 / m1)
    return (nits / _DIFFUSE_NITS * _DIFFUSE_WHITE).astype(np.float32)
