"""Images for reports: PNG files, labeled grids, data URIs."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from avatar.common.files import atomic_path
from avatar.common.image_io import encode_png

_HEADER_END = 33  # bytes of the signature and the header of a PNG file
_TEXT = b"tEXtSoftware\0headsplat"  # the type of a chunk, and its content
_SOFTWARE = struct.pack(">I", len(_TEXT) - 4) + _TEXT + struct.pack(">I", zlib.crc32(_TEXT))

LABEL_HEIGHT = 22  # pixels above the images of a row
GAP = 6


def png_bytes(image: np.ndarray) -> bytes:
    """The bytes of a PNG file of `image` uint8 [H,W,3] sRGB."""
    return encode_png(image[..., ::-1])


def write_image(path: Path, image: np.ndarray) -> None:
    """Write `image` uint8 [H,W,3] sRGB as PNG, atomically; `is_our_image` recognizes the file."""
    content = png_bytes(image)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content[:_HEADER_END] + _SOFTWARE + content[_HEADER_END:])


def is_our_image(path: Path) -> bool:
    """Whether `write_image` wrote the PNG file `path`."""
    try:
        with path.open("rb") as stream:
            return stream.read(_HEADER_END + len(_SOFTWARE)).endswith(_SOFTWARE)
    except OSError:
        return False


def data_uri(data: bytes, kind: str = "image/png") -> str:
    """`data` as a data: URI of MIME type `kind`, for self-contained HTML pages."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def labeled_grid(rows: Sequence[tuple[str, Sequence[np.ndarray]]], columns: Sequence[str]) -> np.ndarray:
    """A contact sheet of rows of images.

    Args:
        rows: label and images of each row, uint8 [h,w,3], all of one size.
        columns: label of each column.

    Returns:
        uint8 [H,W,3].
    """
    height, width = rows[0][1][0].shape[:2]
    margin = 8 + max(_text_width(label) for label, _ in rows)
    sheet = np.full(
        (LABEL_HEIGHT + len(rows) * (height + GAP), margin + len(columns) * (width + GAP), 3), 255, np.uint8
    )
    for column, label in enumerate(columns):
        _write(sheet, label, margin + column * (width + GAP) + 2, LABEL_HEIGHT - 7)
    for row, (label, images) in enumerate(rows):
        top = LABEL_HEIGHT + row * (height + GAP)
        _write(sheet, label, 4, top + height // 2)
        for column, image in enumerate(images):
            left = margin + column * (width + GAP)
            sheet[top : top + height, left : left + width] = image
    return sheet


def _text_width(text: str) -> int:
    return cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.45, 1)[0][0]


def _write(sheet: np.ndarray, text: str, x: int, y: int) -> None:
    cv2.putText(sheet, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (40, 40, 40), 1, cv2.LINE_AA)
