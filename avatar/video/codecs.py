"""The supported codecs, what each can store, and encoder settings with which equal frames give equal bytes."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from avatar.errors import HeadsplatError
from avatar.rendering.passes import PASSES, Pass
from avatar.video.clock import TICKS, WEBM_TICKS, Clock

if TYPE_CHECKING:
    import av

#: Frames after which the encoder is restarted, counted from frame 0 of the full video. A segment that starts at a
#: multiple equals that part of the full video bit for bit. Each restart begins with a keyframe, which adds 2 % size.
KEYFRAME_INTERVAL = 120

#: The AVX-512 code of x264's macroblock tree processes 8 blocks of 16 pixels at once and does not mask those beyond the
#: end of a row: at widths that are not a multiple, its output differs between processors and even between runs. The
#: instruction sets below, which every x86-64 processor supported by PyTorch has, give the same bytes, 6 % slower.
_X264_ROW = 8 * 16
_X264_INSTRUCTIONS = "asm=MMX2,SSE2Fast,SSSE3,SSE4.2"

#: Fixed, because the output of x264, x265 and libvpx depends on it: every machine must write the same bytes.
_THREADS = 2

#: Frames that x264 keeps back in a fragmented file; veryfast has 10, a third of a second.
_FRAGMENTED_LOOKAHEAD = "4"


@dataclass(frozen=True)
class Encoding:
    """How frames are stored; None is the default for the file's suffix and the codec."""

    codec: str | None = None
    """h264 or h265 (.mp4), prores (.mov), vp9 (.webm), png or exr (a folder)"""
    crf: float | None = None
    """quality of h264 (0..51), h265 (0..51) or vp9 (0..63): smaller is better and larger on disk"""
    preset: str | None = None
    """speed of h264 and h265: ultrafast to veryslow"""
    lossless: bool = False
    """h264: every pixel exactly as rendered; few players except ffmpeg's can play such files"""
    half: bool = True
    """exr: 16-bit floats; depth is always stored with 32 bits"""
    fragmented: bool = False
    """the file can be played while it is written, up to the last half second, and stays after an error"""


@dataclass(frozen=True)
class Codec:
    """An encoder of ffmpeg and what its files can store."""

    name: str
    suffix: str  # "" for a folder of images
    encoder: str
    pixels: str
    pixels_alpha: str | None  # None: no alpha
    crf: float | None = None  # the default; None: the codec has no CRF
    preset: str | None = None  # the default; None: the codec has no presets
    max_crf: float = 51
    audio_encoder: str | None = None
    format: str = ""  # ffmpeg's muxer
    tag: str = ""  # the codec tag in the file; empty: ffmpeg's choice

    def clock(self, rate: Fraction, timed: bool) -> Clock:
        """The clock of its files, for constant `rate` frames per second or (`timed`) for a variable frame rate."""
        if not timed:
            return Clock.constant(rate)
        return Clock.variable(WEBM_TICKS if self.format == "webm" else TICKS)


# Preset veryfast with CRF 14 for H.264: on renderings of a trained avatar (512 and 1024 pixels) 51 and 53 dB in luma
# at 3.7 and 12.8 ms per frame on one core. Medium takes 2.7 times as long for 0.6 dB more at the same size, superfast
# 3/4 of the time for twice the size. B-frames would save a fifth of the size but require an edit list: without them
# presentation order equals decoding order, and any two segments can be concatenated.
CODECS = (
    Codec("h264", ".mp4", "libx264", "yuv420p", None, 14, "veryfast", 51, "aac", "mp4"),
    Codec("h265", ".mp4", "libx265", "yuv420p", None, 16, "veryfast", 51, "aac", "mp4", "hvc1"),
    Codec("prores", ".mov", "prores_ks", "yuv444p10le", "yuva444p10le", audio_encoder="aac", format="mov", tag="ap4h"),
    Codec("vp9", ".webm", "libvpx-vp9", "yuv420p", "yuva420p", 15, None, 63, "libopus", "webm"),
    Codec("png", "", "png", "", "rgba"),
    Codec("exr", "", "exr", "", "gbrapf32le"),
)
PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")


def choose_codec(path: Path, encoding: Encoding, pass_name: Pass, alpha: bool) -> Codec:
    """The codec for a video file or a folder of images.

    Args:
        path: the file or folder.
        encoding: codec and quality as requested.
        pass_name: the pass to store.
        alpha: whether the frames have alpha.

    Raises:
        HeadsplatError: the suffix or the pass is unknown, or the codec does not support the request.
    """
    if pass_name not in PASSES:
        raise HeadsplatError(f"{pass_name}: no such pass; choose one of {', '.join(PASSES)}")
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
        raise HeadsplatError(f"{path}: {path.suffix} cannot store alpha; give a name in .mov or .webm, or a folder")
    _check_settings(path, codec, encoding)
    return codec


def _check_settings(path: Path, codec: Codec, encoding: Encoding) -> None:
    if encoding.crf is not None:
        if codec.crf is None:
            raise HeadsplatError(f"{path}: {codec.name} has no quality setting; leave crf out")
        if not 0 <= encoding.crf <= codec.max_crf:
            raise HeadsplatError(f"crf: expected 0 to {codec.max_crf:g} for {codec.name}, got {encoding.crf:g}")
    if encoding.preset is not None:
        if codec.preset is None:
            raise HeadsplatError(f"{path}: {codec.name} has no presets; leave preset out")
        if encoding.preset not in PRESETS:
            names = ", ".join(PRESETS)
            raise HeadsplatError(f"preset: {encoding.preset!r} is not a preset; choose one of {names}")
    if encoding.lossless and codec.name not in ("h264", "png"):
        raise HeadsplatError(f"{path}: {codec.name} is not lossless here; give an .mp4 with h264 or a folder of png")


@dataclass(frozen=True)
class EncoderSettings:
    """All settings of a video encoder."""

    codec: Codec
    encoding: Encoding
    alpha: bool
    width: int  # even
    height: int
    tick: Fraction  # time base in seconds
    rate: Fraction  # frames per second

    @property
    def rgb(self) -> bool:
        """Whether frames are stored as RGB, not as luma and chroma."""
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
        """Configure `context`, which must not be open yet."""
        import av

        context.width = self.width
        context.height = self.height
        context.pix_fmt = self.pixels
        context.time_base = self.tick
        context.framerate = self.rate
        # Matrix, primaries, transfer and range (ITU-T H.273): BT.709 in 16..235, or RGB in 0..255 with sRGB's transfer.
        context.colorspace = 0 if self.rgb else 1
        context.color_primaries = 1
        context.color_trc = 13 if self.rgb else 1
        context.color_range = 2 if self.rgb else 1
        context.thread_count = _THREADS
        context.flags |= av.codec.context.Flags.global_header
        context.options = self._options()

    def new_encoder(self) -> av.VideoCodecContext:
        """A new encoder."""
        import av

        context = av.CodecContext.create(self.encoder, "w")
        assert isinstance(context, av.VideoCodecContext)
        self.apply(context)
        return context

    def _safe_instructions(self) -> dict[str, str]:
        """x264's option that disables its AVX-512 code at widths where that is not deterministic."""
        x86 = platform.machine().lower() in ("x86_64", "amd64")
        padded = -(-self.width // 16) * 16
        return {"x264-params": _X264_INSTRUCTIONS} if x86 and padded % _X264_ROW else {}

    def _options(self) -> dict[str, str]:
        crf = self.encoding.crf if self.encoding.crf is not None else self.codec.crf
        preset = self.encoding.preset or self.codec.preset or ""
        if self.codec.name == "h264":
            quality = {"qp": "0"} if self.rgb else {"crf": f"{crf:g}"}
            delay = {"rc-lookahead": _FRAGMENTED_LOOKAHEAD} if self.encoding.fragmented else {}
            keyframes = {"bf": "0", "g": str(KEYFRAME_INTERVAL)}
            return {"preset": preset} | keyframes | quality | delay | self._safe_instructions()
        if self.codec.name == "h265":
            # x265 4.2 is not deterministic for a frame of a single block, so frames have several blocks.
            block = next((side for side in (64, 32) if side < min(self.width, self.height)), 16)
            fixed = f"bframes=0:open-gop=0:keyint={KEYFRAME_INTERVAL}:frame-threads=1:pools={_THREADS}:ctu={block}"
            return {"preset": preset, "crf": f"{crf:g}", "x265-params": f"log-level=error:{fixed}"}
        if self.codec.name == "prores":
            return {"profile": "4444", "vendor": "apl0", "alpha_bits": "16" if self.alpha else "0"}
        return {
            "crf": f"{crf:g}",
            "b": "0",
            "g": str(KEYFRAME_INTERVAL),
            "deadline": "realtime",
            "cpu-used": "6",
            "auto-alt-ref": "0",
            "lag-in-frames": "0",
            "row-mt": "1",
        }
