"""What a written video says of its place in the whole, so that pieces can be joined; and reading it back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import av

from avatar.common.files import error_words
from avatar.errors import HeadsplatError
from avatar.video.clock import Clock
from avatar.video.codecs import CODECS, Codec

_KEY = "headsplat"  # the container's tag
_VERSION = 1


@dataclass(frozen=True)
class Facts:
    """A piece's place in the whole."""

    rate: str  # frames a second, a fraction
    timed: bool  # frames have times of their own
    first: int  # number of the first frame
    start: int  # its time in ticks of the clock
    total: int | None  # frames of the whole
    codec: str

    @property
    def clock(self) -> Clock:
        """The clock that `start` is counted on."""
        return self.stored.clock(Fraction(self.rate), self.timed)

    @property
    def stored(self) -> Codec:
        """The codec."""
        return next(codec for codec in CODECS if codec.name == self.codec)

    def tags(self) -> dict[str, str]:
        """As metadata of a container."""
        return {_KEY: json.dumps({"version": _VERSION, **asdict(self)}, separators=(",", ":"))}

    @classmethod
    def of(cls, tags: Mapping[str, str]) -> Facts | None:
        """From metadata of a container; None where there are none of this version."""
        text = next((value for key, value in tags.items() if key.lower() == _KEY), None)
        try:
            found = json.loads(text or "")
            if found.pop("version") != _VERSION:
                return None
            facts = cls(**found)
            whole = all(isinstance(number, int) for number in (facts.first, facts.start))
            sound = Fraction(facts.rate) > 0 and facts.stored is not None and isinstance(facts.total, int | None)
            return facts if whole and sound else None
        except (ValueError, TypeError, KeyError, AttributeError, StopIteration, ZeroDivisionError):
            return None


@dataclass(frozen=True)
class Piece:
    """A written video."""

    path: Path
    metadata: Facts
    count: int  # frames
    width: int
    height: int
    setup: bytes  # what a decoder has to know before the first packet
    sound: bool

    @property
    def stop(self) -> int:
        """The number of the frame after its last."""
        return self.metadata.first + self.count


def read_piece(path: Path) -> Piece:
    """What the video `path` says of itself; its frames are counted.

    Raises:
        HeadsplatError: it is missing, no video, or not written by avatar.video.
    """
    if not path.is_file():
        raise HeadsplatError(f"{path}: no such file; give the pieces that `headsplat render --frames` wrote")
    try:
        with av.open(str(path)) as container:
            facts = Facts.of(container.metadata)
            if facts is None or not container.streams.video:
                raise HeadsplatError(
                    f"{path}: does not say which frames it holds; only what `headsplat render` wrote can be joined"
                )
            stream = container.streams.video[0]
            context = stream.codec_context
            count = sum(packet.size > 0 for packet in container.demux(stream))
            setup = bytes(context.extradata or b"")
            sound = bool(container.streams.audio)
            return Piece(path, facts, count, context.width, context.height, setup, sound)
    except (OSError, av.error.FFmpegError) as error:
        raise HeadsplatError(
            f"{path}: cannot be read as a video ({error_words(error)}); render this piece again"
        ) from error
