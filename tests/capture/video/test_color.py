"""Colors of HDR and 10-bit video against a separate computation in double precision, by the standards' equations."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter

from avatar.errors import HeadsplatError
from capture.video import colors
from capture.video.decoding import open_video

#: sRGB colors whose light is filmed.
SKIN = np.array([(236, 188, 180), (224, 172, 150), (164, 113, 102), (141, 85, 54), (88, 56, 42), (45, 28, 24)])
OTHERS = np.array([(128, 128, 128), (235, 235, 235), (10, 10, 10), (190, 40, 45), (30, 110, 60), (40, 60, 150)])
#: Bounds on |decoded - computed| in levels, on skin and on other colors: 10-bit codes and swscale's own error.
SKIN_ERROR = 3
OTHER_ERROR = 4
#: Pixels of a side of a patch.
PATCH = 32
#: Luma coefficients of red and blue, by matrix coefficients (ITU-T H.273).
LUMA = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}
#: BT.709 to BT.2020 primaries in linear light (ITU-R BT.2087, table 2), and the weights of BT.2020's luminance.
TO_BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
#: The same to Display P3 (SMPTE EG 432-1).
TO_P3 = np.array([[0.8225, 0.1775, 0.0], [0.0332, 0.9668, 0.0], [0.0171, 0.0724, 0.9105]])
LUMINANCE = np.array([0.2627, 0.6780, 0.0593])
HLG, PQ = 18, 16


def linear(srgb: np.ndarray) -> np.ndarray:
    code = srgb / 255
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)


def srgb(light: np.ndarray) -> np.ndarray:
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def shown(colors: np.ndarray) -> np.ndarray:
    """What headsplat makes of HDR light that is that of sRGB `colors`: diffuse white at 0.8, highlights rolled off."""
    light = 0.8 * linear(colors)
    return srgb(np.where(light > 0.7, 0.7 + 0.3 * np.tanh((light - 0.7) / 0.3), light))


def hdr_signal(colors: np.ndarray, transfer: int) -> np.ndarray:
    """The signal R'G'B' [n,3] in 0..1 of sRGB colors as light whose white has 203 cd/m2 (ITU-R BT.2100, BT.2408)."""
    nits = 203 * linear(colors) @ TO_BT2020.T
    if transfer == PQ:
        power = (nits / 10000) ** 0.1593017578125
        return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375
    display = nits / 1000
    luminance = (display @ LUMINANCE)[:, None]
    scene = display * luminance ** ((1 - 1.2) / 1.2)  # the inverse of F = Ys^(1.2-1) E
    return np.where(
        scene <= 1 / 12, np.sqrt(3 * scene), 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    )


def encode(
    path: Path,
    signal: np.ndarray,
    matrix: int,
    transfer: int,
    primaries: int,
    codec: str = "ffv1",
    full: bool = False,
    tagged: bool = True,
) -> Path:
    """Patches of R'G'B' [n,3] in 0..1, side by side, as 10-bit 4:2:0 Y'CbCr: the planes are computed here."""
    if codec not in av.codecs_available:
        pytest.skip(f"this build of PyAV has no {codec} encoder")
    red, blue = LUMA[matrix]
    luma = signal @ [red, 1 - red - blue, blue]
    chroma = [(signal[:, 2] - luma) / (2 - 2 * blue), (signal[:, 0] - luma) / (2 - 2 * red)]
    scale = (1023, 0, 1023) if full else (876, 64, 896)
    planes = [scale[0] * luma + scale[1], *(scale[2] * value + 512 for value in chroma)]
    y, u, v = (np.repeat(np.rint(plane).astype(np.uint16), PATCH) for plane in planes)
    width = len(y)
    halves = [np.tile(plane[::2], PATCH // 2) for plane in (u, v)]
    content = np.concatenate([np.tile(y, PATCH), *halves]).reshape(PATCH * 3 // 2, width)
    with av.open(str(path), "w") as container:
        options = {"x265-params": "log-level=none:lossless=1"} if codec == "libx265" else {}
        stream = container.add_stream(codec, rate=30, options=options)
        stream.width, stream.height, stream.pix_fmt = width, PATCH, "yuv420p10le"
        context = stream.codec_context
        stated = matrix if tagged else 2
        context.colorspace, context.color_primaries, context.color_trc = stated, primaries, transfer
        context.color_range = 2 if full else 1
        if codec == "libx265":
            context.codec_tag = "hvc1"
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(content, format="yuv420p10le")
            frame.pts, frame.time_base = number, Fraction(1, 30)
            frame.colorspace, frame.color_range = stated, context.color_range
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def decoded(path: Path) -> np.ndarray:
    """Colors [n,3] of the middles of the patches in the second frame."""
    image = list(open_video(path))[1].rgb.astype(np.float64)
    middle = slice(PATCH // 4, 3 * PATCH // 4)
    return np.stack([image[middle, start:][:, middle].mean((0, 1)) for start in range(0, image.shape[1], PATCH)])


def check(path: Path, expected: np.ndarray) -> None:
    """The patches of the video are SKIN and OTHERS as expected [n,3]."""
    error = np.abs(decoded(path) - expected).max(1)
    assert error[: len(SKIN)].max() <= SKIN_ERROR, error
    assert error[len(SKIN) :].max() <= OTHER_ERROR, error


COLORS = np.concatenate([SKIN, OTHERS])


@pytest.mark.parametrize("full", [False, True], ids=["limited", "full range"])
@pytest.mark.parametrize("transfer", [HLG, PQ], ids=["HLG", "PQ"])
def test_hdr_has_the_colors_that_its_standard_computes(tmp_path: Path, transfer: int, full: bool) -> None:
    path = encode(tmp_path / "clip.mkv", hdr_signal(COLORS, transfer), 9, transfer, 9, full=full)
    check(path, shown(COLORS))


def test_a_10_bit_sdr_video_has_the_colors_it_was_made_of(tmp_path: Path) -> None:
    check(encode(tmp_path / "clip.mkv", COLORS / 255, 1, 1, 1), COLORS)


def test_a_10_bit_sdr_video_of_standard_definition_has_the_colors_it_was_made_of(tmp_path: Path) -> None:
    check(encode(tmp_path / "clip.mkv", COLORS / 255, 6, 6, 6), COLORS)


@pytest.mark.parametrize(
    ("gamut", "matrix", "transfer", "primaries"),
    [(TO_BT2020, 9, 14, 9), (TO_P3, 1, 1, 12)],
    ids=["BT.2020", "Display P3"],
)
def test_sdr_of_a_wide_gamut_has_the_colors_it_was_made_of(
    tmp_path: Path, gamut: np.ndarray, matrix: int, transfer: int, primaries: int
) -> None:
    signal = srgb(np.clip(linear(COLORS) @ gamut.T, 0, 1)) / 255
    check(encode(tmp_path / "clip.mkv", signal, matrix, transfer, primaries), COLORS)


def with_box(content: bytes, sample_entry: bytes, box: bytes) -> bytes:
    """An mp4 or mov file, its index at the end, with `box` added at the end of the first `sample_entry`."""
    place = content.rindex(sample_entry) - 4
    size = int.from_bytes(content[place : place + 4], "big")
    grown = bytearray(content[: place + size] + box + content[place + size :])
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", sample_entry):
        start = content.rindex(name) - 4
        length = int.from_bytes(content[start : start + 4], "big") + len(box)
        grown[start : start + 4] = length.to_bytes(4, "big")
    return bytes(grown)


def test_dolby_vision_profile_8_is_read_by_its_hlg_base(tmp_path: Path) -> None:
    path = encode(tmp_path / "clip.mov", hdr_signal(COLORS, HLG), 9, HLG, 9, "libx265")
    # DOVIDecoderConfigurationRecord: version 1.0, profile 8, level 4, RPU and base layer, compatibility 4 (HLG)
    record = bytes([1, 0, 8 << 1, 4 << 3 | 0b101, 4 << 4]) + bytes(19)
    path.write_bytes(with_box(path.read_bytes(), b"hvc1", (8 + len(record)).to_bytes(4, "big") + b"dvvC" + record))
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == "hevc"
    check(path, shown(COLORS))


def color_box(primaries: int, transfer: int, matrix: int) -> bytes:
    content = b"colrnclc" + struct.pack(">HHH", primaries, transfer, matrix)
    return (4 + len(content)).to_bytes(4, "big") + content


@pytest.mark.parametrize("transfer", [HLG, PQ], ids=["HLG", "PQ"])
def test_colors_that_only_the_container_states_are_used(tmp_path: Path, transfer: int) -> None:
    path = encode(tmp_path / "clip.mov", hdr_signal(COLORS, transfer), 9, 2, 2, "libx265", tagged=False)
    path.write_bytes(with_box(path.read_bytes(), b"hvc1", color_box(9, transfer, 9)))
    check(path, shown(COLORS))


@pytest.mark.parametrize("matrix", [8, 14], ids=["YCgCo", "ICtCp"])
def test_a_matrix_that_is_not_converted_is_refused(tmp_path: Path, matrix: int) -> None:
    path = encode(tmp_path / "clip.mov", COLORS / 255, 1, 1, 1, "libx265", tagged=False)
    path.write_bytes(with_box(path.read_bytes(), b"hvc1", color_box(1, 1, matrix)))
    with pytest.raises(HeadsplatError, match=r"clip\.mov: its colors are stored as YCgCo or ICtCp, .*; export it for"):
        open_video(path)


def gray_frame(luma: int, bits: int) -> av.VideoFrame:
    """A gray frame of limited range, `luma` in 8-bit codes."""
    shape = (PATCH * 3 // 2, PATCH)
    planes = np.full(shape, 128 << bits - 8, np.uint8 if bits == 8 else np.uint16)
    planes[:PATCH] = luma << bits - 8
    return av.VideoFrame.from_ndarray(planes, format="yuv420p" if bits == 8 else "yuv420p10le")


@pytest.mark.parametrize("luma", [60, 126, 200])
@pytest.mark.parametrize("transfer", [HLG, PQ], ids=["HLG", "PQ"])
def test_hdr_of_8_bits_is_not_darker_than_of_10(luma: int, transfer: int) -> None:
    found = [
        colors.frame_to_srgb(gray_frame(luma, bits), colors.ColorTags(9, transfer, 9), VideoReformatter()).mean()
        for bits in (8, 10)
    ]
    assert abs(found[0] - found[1]) <= 0.5


@pytest.mark.parametrize("bits", [8, 10])
def test_white_is_white(bits: int) -> None:
    white = colors.frame_to_srgb(gray_frame(235, bits), colors.ColorTags(1, 1, 1), VideoReformatter())
    assert (white == 255).all()


def test_the_gamma_of_hlg_changes_no_hue() -> None:
    codes = np.rint(hdr_signal(np.array([[150, 20, 20]]), HLG) * 65535).astype(np.uint16)
    found = colors.hdr_to_srgb(codes[None], HLG)[0, 0].astype(int)
    assert np.abs(found - shown(np.array([150, 20, 20]))).max() <= OTHER_ERROR
