"""Opening of video files, the choice of a stream, and what has to be said about it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import av

from avatar.common.files import error_words
from avatar.common.iso_boxes import top_boxes
from avatar.common.media import MEDIA_ERRORS, open_media
from avatar.common.photo_files import no_video
from avatar.common.unread_files import unread_reason
from avatar.errors import HeadsplatError
from capture.video.colors import UNSTATED, ColorTags, is_known

_REMEDY = "give an mp4, mov, mkv or webm file"
#: Bytes of a header that are searched for the record of Dolby Vision: the index of an mp4 file, the start of others.
_MOST_HEADER = 64 << 20
_OTHER_HEADER = 1 << 20
#: The record of Dolby Vision (DOVIDecoderConfigurationRecord) in the boxes dvcC, dvvC and dvwC of an mp4 or mov file;
#: in Matroska these names are the type of a block, and the record is its extra data (0x41ED).
_DOLBY = re.compile(rb"dv[cvw]C(?:.{0,16}?\x41\xed[\x80-\xff])?([\1-\3].{4})", re.DOTALL)
#: The same record in MPEG-TS: a descriptor in a packet that begins with a program map table.
_DOLBY_TS = re.compile(rb"G.{3}\0\x02[\xb0-\xbf].{9,160}?\xb0[\5-\x20]([\1-\3]\0.{3})", re.DOTALL)
#: Dolby's metadata of a frame (RPU) in HEVC: a NAL unit of type 62, after a start code or its size, and its prefix.
_DOLBY_RPU = re.compile(rb"\0\0(?:\x01|..)\x7c\x01\x19", re.DOTALL)
#: Profiles without an image for other decoders where their compatibility is 0: HEVC and AV1 with colors in IPT.
_DOLBY_ONLY = (5, 10)
_DOLBY_TAGS = ("dvh1", "dvhe", "dav1")
_DOLBY_CODECS = ("hevc", "av1", "libdav1d")
#: Of H.273: the primaries of BT.2020, and the transfer functions that are defined for them.
_BT2020 = 9
_BT2020_TRANSFERS = (14, 15, 16, 18)
#: Formats without times.
_BARE = {"h264": "H.264", "hevc": "HEVC"}
#: Metadata that states the rate at which an Android phone filmed. Below the first ratio to the rate of the file it is
#: dim light (15 of 30 fps); above it, and below the second ratio, motion is slowed or sped up.
_CAPTURE_RATE = "com.android.capture.fps"
_SLOWED = 2.5
_SPED_UP = 0.5


def open_container(path: Path) -> Any:
    """Open a video file.

    Raises:
        HeadsplatError: it is missing, or no video; the sentence names what it is.
    """
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
        why, remedy = unread_reason(path) or (error_words(error), _REMEDY)
        raise HeadsplatError(f"{path} is not a video headsplat can read ({why}); {remedy}") from error


def video_stream(container: Any, path: Path) -> Any:
    """The stream that is read: of those that move, the one that players show, or the largest.

    Raises:
        HeadsplatError: there is none, or no decoder here shows its colors.
    """
    moving = _moving_streams(container)
    if not moving:
        content = "only sound" if container.streams.audio else "no images"
        raise HeadsplatError(f"{path}: there is no video stream in it ({content}); give a video file")
    return max(moving, key=_preference)


def check_colors(container: Any, stream: Any, path: Path, start: bytes, colors: ColorTags) -> None:
    """Raise HeadsplatError for colors that are not converted: Dolby Vision without an image for others, YCgCo, ICtCp.

    Args:
        container: the open file.
        stream: the stream that is read.
        path: of the file.
        start: its first packet.
        colors: of its frames.
    """
    if not is_known(colors.matrix):
        raise HeadsplatError(
            f"{path}: its colors are stored as YCgCo or ICtCp, which few players show right; export it for Rec.709"
        )
    codec = stream.codec_context.name
    if codec not in _DOLBY_CODECS:
        return
    pattern = _DOLBY_TS if container.format.name == "mpegts" else _DOLBY
    profiles = [(record[2] >> 1, record[4] >> 4) for record in pattern.findall(_header(container, path))]
    only = [profile for profile, compatibility in profiles if profile in _DOLBY_ONLY and compatibility == 0]
    if not profiles and stream.codec_context.codec_tag in _DOLBY_TAGS:
        only = [10 if stream.codec_context.codec_tag == "dav1" else 5]
    if not profiles and colors.transfer in UNSTATED and codec == "hevc" and _DOLBY_RPU.search(start):
        only = [5]  # other profiles state the colors of their base
    if only:
        raise HeadsplatError(
            f"{path}: Dolby Vision of profile {only[0]}, whose colors only Dolby's decoders convert; export it as "
            "HDR10, HLG or SDR"
        )


def notes_on(container: Any, stream: Any, first: av.VideoFrame, rate: float, colors: ColorTags) -> tuple[str, ...]:
    """Sentences on what of a video is not read, or not as it was filmed.

    Args:
        container: the open file.
        stream: the stream that is read.
        first: its first frame.
        rate: frames per second of the file.
        colors: of its frames.
    """
    notes = []
    context = stream.codec_context
    films = [each for each in _moving_streams(container) if each.frames != 1]
    if len(films) > 1:
        notes.append(
            f"{len(films)} video tracks; only the one of {context.width}x{context.height} pixels is read; export "
            "another one as a file of its own to use it"
        )
    if colors.primaries == _BT2020 and colors.transfer not in _BT2020_TRANSFERS:
        notes.append(
            "the primaries of BT.2020 without their transfer function, as log video has (Apple Log, Samsung Log); if "
            "it looks washed out, export it with the camera's LUT for Rec.709, or film without log"
        )
    if first.interlaced_frame:
        notes.append(
            "interlaced video; one of two fields is used, half of the lines: film progressive (1080p, not 1080i)"
        )
    if container.format.name in _BARE:
        notes.append(
            f"a bare {_BARE[container.format.name]} stream, which states no times; {rate:g} fps are assumed, give an "
            "mp4 or mkv file for its own"
        )
    filmed = _filmed_rate(container)
    if filmed and not _SPED_UP < filmed / rate < _SLOWED:
        change = f"slowed down {filmed / rate:.3g} times" if filmed > rate else f"sped up {rate / filmed:.3g} times"
        notes.append(f"filmed at {filmed:g} fps and {change}; times are those of the file, not of the motion")
    return tuple(notes)


def _moving_streams(container: Any) -> list[Any]:
    """Video streams that are not the cover image of a sound file."""
    cover = av.stream.Disposition.attached_pic
    streams = [stream for stream in container.streams.video if stream.codec_context is not None]
    return [stream for stream in streams if not stream.disposition & cover]


def _preference(stream: Any) -> tuple[bool, bool, int]:
    """Of several streams the largest of these is read; the second one may be a single image, a depth map or a view."""
    shown = bool(stream.disposition & av.stream.Disposition.default)
    return stream.frames != 1, shown, (stream.codec_context.width or 0) * (stream.codec_context.height or 0)


def _header(container: Any, path: Path) -> bytes:
    """The bytes of a file that describe its streams."""
    with path.open("rb") as stream:
        if "mp4" not in container.format.name:
            return stream.read(_OTHER_HEADER)
        for kind, start, size in top_boxes(stream):
            if kind == b"moov":
                stream.seek(start)
                return stream.read(min(size, _MOST_HEADER))
    return b""


def _filmed_rate(container: Any) -> float:
    """The frames per second at which a phone filmed; 0 where the file does not state it."""
    try:
        filmed = float(container.metadata.get(_CAPTURE_RATE, 0))
    except ValueError:
        return 0.0
    return filmed if 0 < filmed < 1e5 else 0.0
