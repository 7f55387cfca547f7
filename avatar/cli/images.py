"""Pictures for people: PNG files, labeled grids, data URIs."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from avatar.common.files import atomic_path
from avatar.common.image_io import encode_png

LABEL_HEIGHT = 22  # pixels above each picture of a grid
GAP = 6


def png_bytes(picture: np.ndarray) -> bytes:
    """The picture uint8 [H,W,3] sRGB as a PNG file."""
    return encode_png(picture[..., ::-1])


def write_image(path: Path, picture: np.ndarray) -> None:
    """Write uint8 [H,W,3] sRGB as PNG, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(png_bytes(picture))


def data_uri(data: bytes, kind: str = "image/png") -> str:
    """A data: URI, for pages that stand alone."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def labeled_grid(rows: Sequence[tuple[str, Sequence[np.ndarray]]], columns: Sequence[str]) -> np.ndarray:
    """A contact sheet uint8 [H,W,3] of rows of pictures (all uint8 [h,w,3] of one size).

    Args:
        rows: label and pictures of each row.
        columns: labels above the pictures, one a column.
    """
    height, width = rows[0][1][0].shape[:2]
    margin = 8 + max(_text_width(label) for label, _ in rows)
    sheet = np.full(
        (LABEL_HEIGHT + len(rows) * (height + GAP), margin + len(columns) * (width + GAP), 3), 255, np.uint8
    )
    for column, label in enumerate(columns):
        _write(sheet, label, margin + column * (width + GAP) + 2, LABEL_HEIGHT - 7)
    for row, (label, pictures) in enumerate(rows):
        top = LABEL_HEIGHT + row * (height + GAP)
        _write(sheet, label, 4, top + height // 2)
        for column, picture in enumerate(pictures):
            left = margin + column * (width + GAP)
            sheet[top : top + height, left : left + width] = picture
    return sheet


def _text_width(text: str) -> int:
    return cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.45, 1)[0][0]


def _write(sheet: np.ndarray, text: str, x: int, y: int) -> None:
    cv2.putText(sheet, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (40, 40, 40), 1, cv2.LINE_AA)
