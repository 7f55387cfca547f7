"""Metadata of a written video: its position in the full video, so that segments can be joined."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

from avatar.common.files import error_words
from avatar.common.made_note import NOTE
from avatar.common.media import MEDIA_ERRORS, open_media
from avatar.errors import HeadsplatError
from avatar.video.clock import Clock
from avatar.video.codecs import CODECS, Codec

_KEY = "headsplat"  # the container's tag
_VERSION = 1


@dataclass(frozen=True)
class SegmentInfo:
    """Position of a segment in the full video. The names of the fields are keys of the stored metadata."""

    rate: str  # frames per second, a fraction
    timed: bool  # variable frame rate
    first: int  # number of the first frame in the full video
    start: int  # its time in ticks of the clock
    total: int | None  # number of frames of the full video; None: not known
    codec: str

    @property
    def clock(self) -> Clock:
        """The clock that counts `start`."""
        return self.stored_codec.clock(Fraction(self.rate), self.timed)

    @property
    def stored_codec(self) -> Codec:
        """The codec."""
        return next(codec for codec in CODECS if codec.name == self.codec)

    def tags(self) -> dict[str, str]:
        """The metadata as tags of a container, and the note that no camera filmed it."""
        return {_KEY: json.dumps({"version": _VERSION, **asdict(self)}, separators=(",", ":")), "comment": NOTE}

    @classmethod
    def of(cls, tags: Mapping[str, str]) -> SegmentInfo | None:
        """Read the tags of a container; None without valid metadata of this version."""
        text = next((value for key, value in tags.items() if key.lower() == _KEY), None)
        try:
            found = json.loads(text or "")
            if found.pop("version") != _VERSION:
                return None
            info = cls(**found)
            integers = all(isinstance(number, int) for number in (info.first, info.start))
            valid = Fraction(info.rate) > 0 and info.stored_codec is not None and isinstance(info.total, int | None)
            return info if integers and valid else None
        except (ValueError, TypeError, KeyError, AttributeError, StopIteration, ZeroDivisionError):
            return None


@dataclass(frozen=True)
class Segment:
    """A written video that is all or part of the full video."""

    path: Path
    info: SegmentInfo
    count: int  # frames
    width: int  # pixels
    height: int  # pixels
    extradata: bytes  # decoder configuration
    has_audio: bool

    @property
    def stop(self) -> int:
        """One more than the number of the last frame."""
        return self.info.first + self.count


def is_rendered(path: Path) -> bool:
    """Whether avatar.video wrote the video `path`."""
    try:
        with open_media(path) as container:
            return SegmentInfo.of(container.metadata) is not None
    except MEDIA_ERRORS:
        return False


def read_segment(path: Path) -> Segment:
    """Read the metadata of a video and count its frames.

    Raises:
        HeadsplatError: the file does not exist, is not a video, or was not written by avatar.video.
    """
    if not path.is_file():
        raise HeadsplatError(f"{path}: no such file; give the segments that `headsplat render --frames` wrote")
    try:
        with open_media(path) as container:
            info = SegmentInfo.of(container.metadata)
            if info is None or not container.streams.video:
                raise HeadsplatError(
                    f"{path}: has no frame numbers in it; only files that `headsplat render` wrote can be joined"
                )
            stream = container.streams.video[0]
            context = stream.codec_context
            count = sum(packet.size > 0 for packet in container.demux(stream))
            extradata = bytes(context.extradata or b"")
            has_audio = bool(container.streams.audio)
            return Segment(path, info, count, context.width, context.height, extradata, has_audio)
    except MEDIA_ERRORS as error:
        raise HeadsplatError(
            f"{path}: cannot be read as a video ({error_words(error)}); render this segment again"
        ) from error
