"""Colors of video frames: the YUV matrix a file states, and HDR to sRGB."""

from __future__ import annotations

from functools import lru_cache

import av
import numpy as np

#: Transfer characteristics of HDR video (ITU-T H.273): 16 is PQ (SMPTE ST 2084), 18 is HLG (ARIB STD-B67).
PQ, HLG = 16, 18
#: Matrix coefficients (H.273).
_BT709, _UNSPECIFIED, _BT601_PAL, _BT601, _BT2020 = 1, 2, 5, 6, 9
#: swscale's names for them.
_SWS_BT709, _SWS_BT601, _SWS_BT2020 = 1, 5, 9


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

    HLG and PQ curves are those of ITU-R BT.2100; diffuse white (203 cd/m2, ITU-R BT.2408) maps to sRGB 0.9.
    """
    import cv2  # only videos in HDR need it

    codes = rgb if rgb.dtype == np.uint8 else rgb >> (16 - _HDR_BITS)
    linear = cv2.transform(hdr_curve(transfer, 8 if rgb.dtype == np.uint8 else _HDR_BITS)[codes], BT2020_TO_BT709)
    index = cv2.sqrt(np.clip(linear, 0, _HDR_BRIGHTEST)) * (_HDR_STEPS / _HDR_BRIGHTEST**0.5)
    return _HDR_TABLE[np.rint(index).astype(np.uint16)]


#: Linear light, BT.2020 primaries to BT.709 (ITU-R BT.2087).
BT2020_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], dtype=np.float32
)


#: HDR frames are read with this many bits; linear light beyond the brightest is white.
_HDR_BITS, _HDR_BRIGHTEST, _HDR_STEPS = 10, 4.0, 4096


def _hdr_table() -> np.ndarray:
    """sRGB code [_HDR_STEPS+1] uint8 of linear light 0.._HDR_BRIGHTEST, by its square root; highlights rolled off."""
    linear = _HDR_BRIGHTEST * np.linspace(0, 1, _HDR_STEPS + 1) ** 2
    knee = 0.7
    linear = np.where(linear > knee, knee + (1 - knee) * np.tanh((linear - knee) / (1 - knee)), linear)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(encoded * 255).astype(np.uint8)


_HDR_TABLE = _hdr_table()


@lru_cache(maxsize=4)
def hdr_curve(transfer: int, bits: int) -> np.ndarray:
    """Linear light [2^bits] float32 of code values, diffuse white at 0.8 (sRGB 0.906)."""
    code = np.linspace(0, 1, 1 << bits)
    if transfer == HLG:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
        nits = 1000 * scene**1.2
    else:
        m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
        root = code ** (1 / m2)
        nits = 10000 * (np.clip(root - c1, 0, None) / (c2 - c3 * root)) ** (1 / m1)
    return (nits / 203 * 0.8).astype(np.float32)
