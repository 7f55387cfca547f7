"""Which encoders there are, what they can hold, and how each is set up so that equal pictures give equal bytes."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from avatar.errors import HeadsplatError
from avatar.rendering.passes import PASSES, Pass
from avatar.video.clock import TICKS, WEBM_TICKS, Clock

#: Frames that one encoder makes before a fresh one begins, counted from frame 0 of the whole. A piece that begins at a
#: multiple is the same part of the whole, bit for bit. Every one begins with a whole picture, which costs 2 % in size.
SEGMENT = 120

#: Fixed, because what x264, x265 and libvpx write depends on it: every machine must write the same.
_THREADS = 2


@dataclass(frozen=True)
class Encoding:
    """How pictures are stored; None leaves the choice to the file's suffix and the codec's default."""

    codec: str | None = None
    """h264 or h265 (.mp4), prores (.mov), vp9 (.webm), png or exr (a folder)"""
    crf: float | None = None
    """quality of h264 (0..51), h265 (0..51) or vp9 (0..63): smaller is better and larger on disk"""
    preset: str | None = None
    """speed of h264 and h265: ultrafast to veryslow"""
    lossless: bool = False
    """h264: every pixel exactly as rendered; few players other than ffmpeg's show such files"""
    half: bool = True
    """exr: 16-bit floats; depth is always stored in 32"""


@dataclass(frozen=True)
class Codec:
    """An encoder of ffmpeg and what its files can hold."""

    name: str
    suffix: str  # "" for a folder of pictures
    encoder: str
    pixels: str
    pixels_alpha: str | None  # None: no alpha
    crf: float | None = None  # the default; None where there is no such thing
    preset: str | None = None
    most_crf: float = 51
    sound: str | None = None  # the encoder of its sound
    format: str = ""  # ffmpeg's muxer
    tag: str = ""  # the name of the codec in the file, where ffmpeg's own choice is none that players take

    def clock(self, rate: Fraction, timed: bool) -> Clock:
        """What its files count in, at `rate` frames a second or with frames that have times of their own."""
        if not timed:
            return Clock.constant(rate)
        return Clock.variable(WEBM_TICKS if self.format == "webm" else TICKS)


# Veryfast at 14 for H.264: on renderings of a trained avatar (512 and 1024 pixels) 51 and 53 dB in luma for 3.7 and
# 12.8 ms of one core a frame; medium takes 2.7 times as long for 0.6 dB in files of the same size, superfast 3/4 of the
# time for twice the size. B pictures would save a fifth of the size and cost an edit list: without them presentation
# and decoding order are one, and any two pieces can stand behind one another.
CODECS = (
    Codec("h264", ".mp4", "libx264", "yuv420p", None, 14, "veryfast", 51, "aac", "mp4"),
    Codec("h265", ".mp4", "libx265", "yuv420p", None, 16, "veryfast", 51, "aac", "mp4", "hvc1"),
    Codec("prores", ".mov", "prores_ks", "yuv444p10le", "yuva444p10le", sound="aac", format="mov", tag="ap4h"),
    Codec("vp9", ".webm", "libvpx-vp9", "yuv420p", "yuva420p", 15, None, 63, "libopus", "webm"),
    Codec("png", "", "png", "", "rgba"),
    Codec("exr", "", "exr", "", "gbrapf32le"),
)
PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")


def choose_codec(path: Path, encoding: Encoding, picture: Pass, alpha: bool) -> Codec:
    """The codec for pictures of pass `picture` in a file or folder `path`.

    Raises:
        HeadsplatError: the suffix is unknown, or the codec cannot hold what is asked for.
    """
    if picture not in PASSES:
        raise HeadsplatError(f"{picture}: no such picture; choose one of {', '.join(PASSES)}")
    fitting = [codec for codec in CODECS if codec.suffix == path.suffix.lower()]
    if not fitting:
        raise HeadsplatError(
            f"{path}: cannot write {path.suffix}; give a name in .mp4, .mov (ProRes 4444) or .webm (VP9), or a folder"
        )
    named = [codec for codec in CODECS if codec.name == encoding.codec]
    if encoding.codec is not None and not named:
        names = ", ".join(codec.name for codec in CODECS)
        raise HeadsplatError(f"{encoding.codec}: no such codec; choose one of {names}")
    codec = named[0] if named else fitting[0]
    if codec not in fitting:
        place = f"a name in {codec.suffix}" if codec.suffix else "the name of a folder"
        raise HeadsplatError(f"{path}: {codec.name} is not stored in {path.suffix or 'folders'}; give {place}")
    if alpha and codec.pixels_alpha is None:
        raise HeadsplatError(f"{path}: {path.suffix} holds no alpha; give a name in .mov or .webm, or a folder")
    _check_settings(path, codec, encoding)
    return codec


def _check_settings(path: Path, codec: Codec, encoding: Encoding) -> None:
    if encoding.crf is not None:
        if codec.crf is None:
            raise HeadsplatError(f"{path}: {codec.name} has no quality to choose; leave crf out")
        if not 0 <= encoding.crf <= codec.most_crf:
            raise HeadsplatError(f"crf: expected 0 to {codec.most_crf:g} for {codec.name}, got {encoding.crf:g}")
    if encoding.preset is not None:
        if codec.preset is None:
            raise HeadsplatError(f"{path}: {codec.name} has no preset to choose; leave preset out")
        if encoding.preset not in PRESETS:
            raise HeadsplatError(f"preset: {encoding.preset!r} is none; choose one of {', '.join(PRESETS)}")
    if encoding.lossless and codec.name not in ("h264", "png"):
        raise HeadsplatError(f"{path}: {codec.name} is not lossless here; give an .mp4 with h264 or a folder of png")


@dataclass(frozen=True)
class Settings:
    """Everything that an encoder of a video is opened with."""

    codec: Codec
    encoding: Encoding
    alpha: bool
    width: int  # even
    height: int
    tick: Fraction  # seconds
    rate: Fraction

    @property
    def rgb(self) -> bool:
        """Whether pictures are stored as RGB, not as luma and chroma."""
        return self.encoding.lossless

    @property
    def encoder(self) -> str:
        """ffmpeg's name of the encoder."""
        return "libx264rgb" if self.rgb else self.codec.encoder

    @property
    def pixels(self) -> str:
        """ffmpeg's name of the pixel format."""
        if self.rgb:
            return "bgr24"
        pixels = self.codec.pixels_alpha if self.alpha else self.codec.pixels
        assert pixels is not None
        return pixels

    def apply(self, context: av.VideoCodecContext) -> None:
        """Set `context` up; it is not open yet."""
        context.width, context.height, context.pix_fmt = self.width, self.height, self.pixels
        context.time_base, context.framerate = self.tick, self.rate
        # Matrix, primaries, transfer and range (ITU-T H.273): BT.709 in 16..235, or RGB in 0..255 with sRGB's transfer.
        context.colorspace = 0 if self.rgb else 1
        context.color_primaries = 1
        context.color_trc = 13 if self.rgb else 1
        context.color_range = 2 if self.rgb else 1
        context.thread_count = _THREADS
        context.flags |= av.codec.context.Flags.global_header
        context.options = self._options()

    def fresh(self) -> av.VideoCodecContext:
        """An encoder that has seen nothing."""
        context = av.CodecContext.create(self.encoder, "w")
        assert isinstance(context, av.VideoCodecContext)
        self.apply(context)
        return context

    def _options(self) -> dict[str, str]:
        crf = self.encoding.crf if self.encoding.crf is not None else self.codec.crf
        preset = self.encoding.preset or self.codec.preset or ""
        if self.codec.name == "h264":
            quality = {"qp": "0"} if self.rgb else {"crf": f"{crf:g}"}
            return {"preset": preset, "bf": "0", "g": str(SEGMENT)} | quality
        if self.codec.name == "h265":
            # A picture that is a single block is not encoded the same way twice by x265 4.2: several blocks, then.
            block = next((side for side in (64, 32) if side < min(self.width, self.height)), 16)
            fixed = f"bframes=0:open-gop=0:keyint={SEGMENT}:frame-threads=1:pools={_THREADS}:ctu={block}"
            return {"preset": preset, "crf": f"{crf:g}", "x265-params": f"log-level=error:{fixed}"}
        if self.codec.name == "prores":
            return {"profile": "4444", "vendor": "apl0", "alpha_bits": "16" if self.alpha else "0"}
        return {
            "crf": f"{crf:g}", "b": "0", "g": str(SEGMENT), "deadline": "realtime", "cpu-used": "6",
            "auto-alt-ref": "0", "lag-in-frames": "0", "row-mt": "1",
        }  # fmt: skip
