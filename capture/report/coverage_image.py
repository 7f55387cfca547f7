"""Image of the coverage of a clip: views, expressions, and what to film again."""

from __future__ import annotations

import cv2
import numpy as np

from avatar.data.capture_folder import Capture
from capture.coach.requests import PITCH_TARGET, YAW_TARGET
from capture.report.coverage import PITCH_EDGES, YAW_EDGES, Coverage, cell_of
from capture.report.face_pixels import read_frame
from capture.report.geometry import TrackedGeometry
from capture.report.summary import CaptureReport
from capture.tracker.indices import FACE_COUNT

Color = tuple[int, int, int]  # RGB
PAPER = (250, 249, 246)
INK = (38, 42, 48)
FAINT = (122, 128, 136)
LINE = (214, 214, 210)
BLUE = (46, 105, 176)
GREEN = (52, 140, 88)
AMBER = (206, 116, 20)
_SCALE = 2  # pixels drawn per pixel of the image

WIDTH = 1200
HEIGHT = 800
_CELL = 68
_MAP_X = 78
_MAP_Y = 100
_BARS_X = 968
_BARS_Y = 100
_BAR_WIDTH = 186
#: Weight of an expression at full length of a bar.
_FULL = 1.0
#: Range of the weight below which an expression counts as not seen.
_SEEN = 0.15


def coverage_image(capture: Capture, geometry: TrackedGeometry, report: CaptureReport) -> np.ndarray:
    """The image [800,1200,3] uint8 RGB.

    Args:
        capture: the capture.
        geometry: its tracked heads.
        report: its report.
    """
    canvas = Canvas(WIDTH, HEIGHT)
    frames = report.frames
    coverage = report.coverage
    canvas.text(28, 42, f"Coverage of {report.source}", size=24)
    canvas.text(
        28, 66, f"{frames['training']} training frames over {coverage.seconds:.0f} seconds; without held-out frames"
    )
    _draw_views(canvas, capture, geometry, coverage)
    _draw_checks(canvas, report)
    _draw_expressions(canvas, coverage)
    return canvas.rgb()


def _draw_views(canvas: Canvas, capture: Capture, geometry: TrackedGeometry, coverage: Coverage) -> None:
    """The map of views: a face and a count in each cell."""
    counts = np.array(coverage.views)
    canvas.text(_MAP_X, _MAP_Y - 10, "views: rotation of the face, degrees; frames in each cell", FAINT)
    thumbnails = _thumbnails(capture, geometry)
    for (row, column), count in np.ndenumerate(counts):
        x = _MAP_X + column * _CELL
        y = _MAP_Y + row * _CELL
        canvas.box(x + 1, y + 1, _CELL - 2, _CELL - 2, (236, 235, 231))
        if count:
            canvas.paste(x + 1, y + 1, thumbnails[row, column])
            canvas.box(x + 1, y + _CELL - 16, 8 + canvas.text_width(str(count), 11), 15, (255, 255, 255))
            canvas.text(x + 5, y + _CELL - 5, str(count), size=11)
    rows, columns = counts.shape
    for column, yaw in enumerate((YAW_EDGES[:-1] + YAW_EDGES[1:]) / 2):
        x = _MAP_X + (column + 0.5) * _CELL
        canvas.text(x, _MAP_Y + rows * _CELL + 17, f"{yaw:+.0f}" if yaw else "0", FAINT, 12, "center")
    for row, pitch in enumerate(((PITCH_EDGES[:-1] + PITCH_EDGES[1:]) / 2)[::-1]):
        y = _MAP_Y + (row + 0.5) * _CELL + 4
        canvas.text(_MAP_X - 8, y, f"{pitch:+.0f}" if pitch else "0", FAINT, 12, "right")
    canvas.text(28, _MAP_Y + 14, "up", INK, 12)
    canvas.text(28, _MAP_Y + rows * _CELL - 4, "down", INK, 12)
    bottom = _MAP_Y + rows * _CELL + 36
    canvas.text(_MAP_X, bottom, "person's right", INK, 12)
    canvas.text(_MAP_X + columns * _CELL, bottom, "person's left", INK, 12, "right")
    left = _cell_position(-YAW_TARGET, YAW_EDGES)
    top = _cell_position(-PITCH_TARGET, PITCH_EDGES)
    width = (columns - 2 * left) * _CELL
    height = (rows - 2 * top) * _CELL
    canvas.box(_MAP_X + left * _CELL, _MAP_Y + top * _CELL, width, height, BLUE, 2)
    canvas.text(_MAP_X + columns * _CELL / 2, bottom, "blue frame: what an avatar needs", BLUE, 12, "center")


def _cell_position(angle: float, edges: np.ndarray) -> float:
    """Position of an angle on the map, in cells."""
    return float((angle - edges[0]) / (edges[1] - edges[0]))


def _thumbnails(capture: Capture, geometry: TrackedGeometry) -> dict[tuple[int, int], np.ndarray]:
    """For each cell with frames the face [2*(cell-2),2*(cell-2),3] RGB of the frame nearest to its center."""
    rows = capture.train_indices
    yaw = geometry.yaw[rows]
    pitch = geometry.pitch[rows]
    lines, columns = cell_of(yaw, pitch)
    yaws = (YAW_EDGES[:-1] + YAW_EDGES[1:]) / 2
    pitches = ((PITCH_EDGES[:-1] + PITCH_EDGES[1:]) / 2)[::-1]
    distance = np.hypot(yaw - yaws[columns], pitch - pitches[lines])
    faces = {}
    for cell in set(zip(lines.tolist(), columns.tolist(), strict=True)):
        inside = np.flatnonzero((lines == cell[0]) & (columns == cell[1]))
        row = int(rows[inside[np.argmin(distance[inside])]])
        faces[cell] = _face(read_frame(capture, row)[..., ::-1], geometry.projected[row, :FACE_COUNT])
    return faces


def _face(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Square crop of the face with a margin; white outside of the image."""
    side = 1.35 * float(np.ptp(points, axis=0).max())
    corner = (points.min(0) + points.max(0)) / 2 - side / 2
    target = 2 * (_CELL - 2)
    scale = target / side
    matrix = np.array([[scale, 0, -scale * corner[0]], [0, scale, -scale * corner[1]]])
    return cv2.warpAffine(
        np.ascontiguousarray(image), matrix, (target, target), flags=cv2.INTER_AREA, borderValue=(255, 255, 255)
    )


def _draw_checks(canvas: Canvas, report: CaptureReport) -> None:
    """Passed checks in two columns, then the advice of the others."""
    y = _MAP_Y + (len(PITCH_EDGES) - 1) * _CELL + 66.0
    good = [check for check in report.checks if check.good]
    missing = [check for check in report.checks if not check.good]
    for index, check in enumerate(good):
        _bullet(canvas, 30 + 362 * (index % 2), y + 17 * (index // 2), 340, GREEN, f"{check.topic}: {check.found}", 11)
    y += 17 * ((len(good) + 1) // 2) + 8
    canvas.text(30, y, "film again:" if missing else "nothing to film again", FAINT)
    y += 20
    size = 13 if len(missing) < 5 else 12 if len(missing) < 8 else 10  # twelve sentences still fit
    for check in missing:
        y = _bullet(canvas, 30, y, 690, AMBER, f"{check.advice} ({check.found})", size)


def _bullet(canvas: Canvas, x: float, y: float, width: float, color: Color, text: str, size: int) -> float:
    """Wrapped text with a colored box; returns the baseline of the next line."""
    canvas.box(x, y - 8, 8, 8, color)
    return canvas.wrap(x + 16, y, width, text, INK, size) + 2


def _draw_expressions(canvas: Canvas, coverage: Coverage) -> None:
    """One row per expression or left-right pair, with a bar from minimum to maximum weight."""
    canvas.text(_BARS_X - 188, _BARS_Y - 26, "expressions: minimum to maximum weight", FAINT)
    rows = pairs_of(coverage.expressions)
    if not rows:
        canvas.wrap(_BARS_X - 188, _BARS_Y, 370, "this head's expressions are numbered and have no names", FAINT)
        return
    pitch = min(22.0, (HEIGHT - _BARS_Y - 40) / len(rows))
    for line, (name, bars) in enumerate(rows):
        y = _BARS_Y + line * pitch
        canvas.text(_BARS_X - 10, y + 0.62 * pitch, name, align="right", size=12)
        canvas.box(_BARS_X, y + 2, _BAR_WIDTH, pitch - 5, (236, 235, 231))
        height = (pitch - 5) / len(bars)
        for index, (low, high) in enumerate(bars):
            start, length = np.clip([low, high - low], 0, _FULL) * _BAR_WIDTH / _FULL
            color = (BLUE if index == 0 else (114, 160, 214)) if high - low >= _SEEN else LINE
            canvas.box(_BARS_X + start, y + 2 + index * height, max(length, 2), height, color)
    bottom = _BARS_Y + len(rows) * pitch + 14
    for fraction in (0, 0.5, 1):
        canvas.text(_BARS_X + fraction * _BAR_WIDTH, bottom, f"{fraction:g}", FAINT, 12, "center")
    canvas.text(_BARS_X - 188, bottom + 18, "pairs: left above right; gray: hardly moved", FAINT, 12)


def pairs_of(expressions: dict[str, tuple[float, float]]) -> list[tuple[str, list[tuple[float, float]]]]:
    """Rows of the chart: single expressions with one range, left-right pairs with two."""
    rows: dict[str, list[tuple[float, float]]] = {}
    for name, bounds in expressions.items():
        stem, side = (name[:-4], "Left") if name.endswith("Left") else (name.removesuffix("Right"), "")
        paired = f"{stem}Left" in expressions and f"{stem}Right" in expressions and stem not in ("jaw", "mouth")
        rows.setdefault(stem if paired else name, []).insert(0 if side else 1, bounds)
    return list(rows.items())


class Canvas:
    """An RGB image of `width` x `height` pixels, drawn at twice its size; coordinates are of the image."""

    def __init__(self, width: int, height: int) -> None:
        self._pixels = np.full((height * _SCALE, width * _SCALE, 3), PAPER, np.uint8)

    def box(self, x: float, y: float, width: float, height: float, color: Color, line: float = 0) -> None:
        """A rectangle.

        Args:
            x: of the left edge, pixels.
            y: of the upper edge, pixels.
            width: pixels.
            height: pixels.
            color: RGB 0..255.
            line: width of an outline in pixels; 0: filled.
        """
        corners = (_up(x), _up(y)), (_up(x + width) - 1, _up(y + height) - 1)
        cv2.rectangle(self._pixels, *corners, color, max(1, round(line * _SCALE)) if line else -1)

    def text(self, x: float, y: float, text: str, color: Color = INK, size: int = 13, align: str = "left") -> None:
        """One line of text; OpenCV's fonts are ASCII: other characters become question marks.

        Args:
            x: pixels, of the side or middle that `align` names.
            y: of the baseline, pixels.
            text: the line.
            color: RGB 0..255.
            size: height of a line, pixels.
            align: "left", "center" or "right".
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

    def wrap(self, x: float, y: float, width: float, text: str, color: Color = INK, size: int = 13) -> float:
        """Text broken into lines; returns the baseline of the next line in pixels.

        Args:
            x: of the left edge, pixels.
            y: of the first baseline, pixels.
            width: of the longest line, pixels.
            text: words.
            color: RGB 0..255.
            size: height of a line, pixels.
        """
        line = ""
        for word in text.split():
            longer = f"{line} {word}".strip()
            if line and self.text_width(longer, size) > width:
                self.text(x, y, line, color, size)
                line = word
                y = y + 1.35 * size
            else:
                line = longer
        self.text(x, y, line, color, size)
        return y + 1.35 * size

    def paste(self, x: float, y: float, image: np.ndarray) -> None:
        """Copy an image [H,W,3] RGB at twice its final size to the corner (x, y)."""
        height, width = image.shape[:2]
        self._pixels[_up(y) : _up(y) + height, _up(x) : _up(x) + width] = image

    def rgb(self) -> np.ndarray:
        """The image [H,W,3] uint8 RGB."""
        height, width = self._pixels.shape[:2]
        return cv2.resize(self._pixels, (width // _SCALE, height // _SCALE), interpolation=cv2.INTER_AREA)


def _up(value: float) -> int:
    return round(value * _SCALE)


def _font(size: int) -> float:
    """OpenCV's scale of a Hershey font whose capitals are 21 pixels high at 1."""
    return 0.72 * size * _SCALE / 21
