"""Colors of decoded frames: the matrix of Y'CbCr, and HDR and wide gamuts to sRGB."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import av
import numpy as np
from av.video.reformatter import VideoReformatter

#: Transfer characteristics of HDR video (ITU-T H.273): PQ (SMPTE ST 2084) and HLG (ARIB STD-B67).
PQ = 16
HLG = 18
#: Of H.273: a property that is not stated (and RGB, as matrix coefficients).
UNSTATED = (0, 2)
#: swscale's names of matrix coefficients (H.273): RGB, BT.709, FCC, BT.601 of PAL and of NTSC, SMPTE 240M, BT.2020 with
#: constant luminance and without. It has none for YCgCo and ICtCp.
_SWS_BT709 = 1
_SWS_BT601 = 5
_MATRICES = {1: _SWS_BT709, 4: 4, 5: _SWS_BT601, 6: _SWS_BT601, 7: 7, 9: 9, 10: 9}
#: Linear light, BT.2020 primaries to BT.709 (ITU-R BT.2087).
BT2020_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], dtype=np.float32
)
#: The same, Display P3 to BT.709 (SMPTE EG 432-1).
P3_TO_BT709 = np.array([[1.2249, -0.2249, 0.0], [-0.0421, 1.0421, 0.0], [-0.0196, -0.0786, 1.0983]], dtype=np.float32)
#: By color primaries (H.273) that SDR video may have.
WIDE_GAMUTS = {9: BT2020_TO_BT709, 12: P3_TO_BT709}
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
class ColorTags:
    """How the numbers of frames are colors (H.273): 0 or 2 where that is not stated."""

    primaries: int = 0
    transfer: int = 0
    matrix: int = 0

    @staticmethod
    def of(stated: av.VideoFrame | av.VideoCodecContext) -> ColorTags:
        """Those of a frame or of a stream."""
        return ColorTags(int(stated.color_primaries or 0), int(stated.color_trc or 0), int(stated.colorspace or 0))

    def or_else(self, other: ColorTags) -> ColorTags:
        """These, and those of `other` where these are not stated."""
        return ColorTags(
            other.primaries if self.primaries in UNSTATED else self.primaries,
            other.transfer if self.transfer in UNSTATED else self.transfer,
            other.matrix if self.matrix in UNSTATED else self.matrix,
        )

    @property
    def hdr(self) -> bool:
        """Whether it is HDR (PQ or HLG)."""
        return self.transfer in (PQ, HLG)


def frame_to_srgb(
    frame: av.VideoFrame, tags: ColorTags, reformatter: VideoReformatter, size: tuple[int, int] | None = None
) -> np.ndarray:
    """A decoded frame [H,W,3] as uint8 sRGB.

    Args:
        frame: as it was decoded.
        tags: its colors; a matrix that the frame itself states is used instead.
        reformatter: is kept between frames, since making one takes longer than converting a frame.
        size: (width, height) in pixels; None: its own.
    """
    width, height = size or (frame.width, frame.height)
    scaled = (frame.width, frame.height) != (width, height)
    # swscale's own conversion to 8 bits darkens by two levels, and that of 8 bits to rgb48 too
    deep = tags.hdr or scaled or frame.format.components[0].bits > 8
    rgb: np.ndarray = reformatter.reformat(
        frame,
        width=width,
        height=height,
        format="gbrp16le" if deep else "rgb24",
        src_colorspace=_sws_matrix(ColorTags.of(frame).or_else(tags).matrix, frame),
        interpolation="BICUBIC",
    ).to_ndarray()
    if tags.hdr:
        return hdr_to_srgb(rgb, tags.transfer)
    if deep:
        rgb = (np.minimum(rgb, 0xFF7F) + 128 >> 8).astype(np.uint8)  # white is 255 * 256
    gamut = WIDE_GAMUTS.get(tags.primaries)
    return rgb if gamut is None else wide_to_srgb(rgb, gamut)


def is_known(matrix: int) -> bool:
    """Whether matrix coefficients are converted; those of YCgCo and ICtCp are not."""
    return matrix in UNSTATED or matrix in _MATRICES


def _sws_matrix(stated: int, frame: av.VideoFrame) -> int:
    """swscale's name of the color matrix; high definition without a tag is BT.709, as players assume."""
    if stated in UNSTATED or stated not in _MATRICES:
        return _SWS_BT709 if max(frame.width, frame.height) >= 1280 else _SWS_BT601
    return _MATRICES[stated]


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
    return light_to_srgb(_LINEAR_TABLE[rgb], matrix)


def light_to_srgb(linear: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Linear light [H,W,3] float32 of any primaries to sRGB uint8; `matrix` [3,3] changes them to those of BT.709."""
    import cv2  # only videos and photos of a wide gamut need it

    light = cv2.transform(linear, matrix)
    return _SRGB_TABLE[np.rint(cv2.sqrt(np.clip(light, 0, 1)) * _HDR_STEPS).astype(np.uint16)]


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
