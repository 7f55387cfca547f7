"""Images of radiance in linear light: Radiance HDR, OpenEXR, and ordinary images whose curve is undone."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.plane import VideoPlane
from numpy.typing import NDArray

from avatar.common.files import os_error_sentence
from avatar.common.image_io import check_pixels, read_image
from avatar.errors import HeadsplatError

SUFFIXES = (".hdr", ".exr", ".png", ".jpg", ".jpeg")
_MAX_BYTES = 512 << 20
_HEADER = 1 << 16  # bytes within which a header states the size
_HDR_SIZE = re.compile(rb"\n[-+]([XY]) (\d{1,9}) [-+][XY] (\d{1,9})\n")
_EXR_SIZE = b"dataWindow\0box2i\0\x10\0\0\0"


def read_radiance(path: Path) -> NDArray[np.float32]:
    """The image at `path` as linear light, float32 [H,W,3] red, green, blue; values as stored, also if not finite.

    Raises:
        HeadsplatError: no such file, another format, damaged, or more than 100 million pixels.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise HeadsplatError(
            f"{path}: cannot read {suffix or 'a file without suffix'}; give a .hdr, .exr, .png or .jpg"
        )
    if not path.is_file():
        raise HeadsplatError(f"{path}: no such image; check the path")
    image = _display(path) if suffix not in (".hdr", ".exr") else _float(path, suffix)
    if image is None:
        raise HeadsplatError(f"{path}: not a {suffix} image, or a damaged one; save it again")
    return np.ascontiguousarray(image, np.float32)


def _display(path: Path) -> NDArray[np.float32] | None:
    image = read_image(path, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR)
    if image is None:
        return None
    srgb = image[..., ::-1].astype(np.float32) / np.iinfo(image.dtype).max
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _float(path: Path, suffix: str) -> NDArray[np.float32] | None:
    try:
        if path.stat().st_size > _MAX_BYTES:
            return None
        data = path.read_bytes()
    except OSError as error:
        raise HeadsplatError(os_error_sentence(error, path)) from error
    size = _declared_size(data[:_HEADER], suffix)
    if size is None or min(size) < 1:
        return None
    check_pixels(path, size)
    return _decoded_hdr(data) if suffix == ".hdr" else _decoded_exr(data)


def _declared_size(header: bytes, suffix: str) -> tuple[int, int] | None:
    """Width and height that a header states."""
    if suffix == ".hdr":
        match = _HDR_SIZE.search(header)
        if match is None:
            return None
        first = int(match[2])
        second = int(match[3])
        return (second, first) if match[1] == b"Y" else (first, second)
    start = header.find(_EXR_SIZE)
    if start < 0 or len(header) < start + len(_EXR_SIZE) + 16:
        return None
    left, top, right, bottom = struct.unpack_from("<4i", header, start + len(_EXR_SIZE))
    return right - left + 1, bottom - top + 1


def _decoded_hdr(data: bytes) -> NDArray[np.float32] | None:
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    if image is None or image.dtype != np.float32 or image.ndim != 3:
        return None
    return np.asarray(image[..., ::-1], np.float32)


def _decoded_exr(data: bytes) -> NDArray[np.float32] | None:
    """Decode with FFmpeg: OpenCV's packages refuse OpenEXR."""
    context = av.CodecContext.create("exr", "r")
    try:
        frames = context.decode(av.Packet(data))
    except (av.error.FFmpegError, ValueError):
        return None
    if not frames or not isinstance(frames[0], av.VideoFrame):
        return None
    frame = frames[0]
    planes = [_plane(plane, frame.height, frame.width) for plane in frame.planes]
    if frame.format.name.startswith("grayf32"):
        return np.repeat(planes[0][..., None], 3, 2)
    if not frame.format.name.startswith(("gbrpf32", "gbrapf32")):
        return None
    return np.stack([planes[2], planes[0], planes[1]], -1)


def _plane(plane: VideoPlane, height: int, width: int) -> NDArray[np.float32]:
    rows = np.frombuffer(bytes(plane), np.uint8)[: height * plane.line_size].reshape(height, plane.line_size)
    return rows[:, : 4 * width].copy().view("<f4")
