"""A light page for drawing with OpenCV at twice its size, for smooth lines and letters."""

from __future__ import annotations

import cv2
import numpy as np

Color = tuple[int, int, int]  # RGB
PAPER, INK, FAINT, LINE = (250, 249, 246), (38, 42, 48), (122, 128, 136), (214, 214, 210)
BLUE, GREEN, AMBER = (46, 105, 176), (52, 140, 88), (206, 116, 20)
_SCALE = 2


class Canvas:
    """RGB image of `width` x `height` pixels; all coordinates are of the finished image."""

    def __init__(self, width: int, height: int) -> None:
        self._pixels = np.full((height * _SCALE, width * _SCALE, 3), PAPER, np.uint8)

    def box(self, x: float, y: float, width: float, height: float, color: Color, line: float = 0) -> None:
        """A rectangle: filled, or an outline `line` pixels wide."""
        corners = (_up(x), _up(y)), (_up(x + width) - 1, _up(y + height) - 1)
        cv2.rectangle(self._pixels, *corners, color, max(1, round(line * _SCALE)) if line else -1)

    def text(self, x: float, y: float, text: str, color: Color = INK, size: int = 13, align: str = "left") -> None:
        """One line of text whose baseline is at `y`; `size` is the height of a line in pixels.

        OpenCV's fonts are ASCII: other characters become question marks.
        """
        text = text.encode("ascii", "replace").decode()
        if align != "left":
            x -= self.text_width(text, size) / (1 if align == "right" else 2)
        position = (_up(x), _up(y))
        cv2.putText(self._pixels, text, position, cv2.FONT_HERSHEY_SIMPLEX, _font(size), color, 2, cv2.LINE_AA)

    @staticmethod
    def text_width(text: str, size: int = 13) -> float:
        """Width in pixels of a line of text."""
        (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, _font(size), 2)
        return float(width) / _SCALE

    def wrapped(self, x: float, y: float, width: float, text: str, color: Color = INK, size: int = 13) -> float:
        """Text broken into lines of at most `width` pixels; returns the baseline of the next line."""
        line = ""
        for word in text.split():
            longer = f"{line} {word}".strip()
            if line and self.text_width(longer, size) > width:
                self.text(x, y, line, color, size)
                line, y = word, y + 1.35 * size
            else:
                line = longer
        self.text(x, y, line, color, size)
        return y + 1.35 * size

    def paste(self, x: float, y: float, image: np.ndarray) -> None:
        """Copy an image [H,W,3] RGB at twice its final size to the corner (x, y)."""
        height, width = image.shape[:2]
        self._pixels[_up(y) : _up(y) + height, _up(x) : _up(x) + width] = image

    def finished(self) -> np.ndarray:
        """The image [H,W,3] uint8 RGB."""
        height, width = self._pixels.shape[:2]
        return cv2.resize(self._pixels, (width // _SCALE, height // _SCALE), interpolation=cv2.INTER_AREA)


def _up(value: float) -> int:
    return round(value * _SCALE)


def _font(size: int) -> float:
    """OpenCV's scale of a Hershey font whose capitals are 21 pixels high at 1."""
    return 0.72 * size * _SCALE / 21
