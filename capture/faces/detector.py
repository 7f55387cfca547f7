"""Finding faces in an image with MediaPipe's BlazeFace networks (Bazarevsky et al. 2019)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from capture.networks.litert import load_network
from capture.networks.models import model_path

#: Rows of Detection.keypoints; left and right as seen by the person.
RIGHT_EYE, LEFT_EYE, NOSE_TIP, MOUTH, RIGHT_EAR, LEFT_EAR = range(6)


@dataclass(frozen=True)
class Detection:
    """One face."""

    box: np.ndarray  # [4] x0, y0, x1, y1 pixels: brow to chin
    score: float  # 0..1
    keypoints: np.ndarray  # [6,2] pixels, in the order of the constants above

    @property
    def height(self) -> float:
        """Height of the box in pixels."""
        return float(self.box[3] - self.box[1])


@dataclass(frozen=True)
class _Layout:
    """One network: its anchors sit on square grids of these sizes, so many to a cell."""

    side: int  # pixels of the input
    grids: tuple[tuple[int, int], ...]  # (cells along a side, anchors a cell)
    least_score: float


_LAYOUTS = {
    "short_range": _Layout(128, ((16, 2), (8, 6)), 0.5),
    "full_range": _Layout(192, ((48, 1),), 0.5),
}
_SAME_FACE_IOU = 0.3
#: Sides of the tiles searched when the whole image shows no face, as fractions of its longer side.
_TILE_FRACTIONS = (0.5, 0.25)
#: A tile is never smaller than this: enlarging further shows the network nothing new.
_SMALLEST_TILE = 160


class FaceDetector:
    """Finds faces of any size: whole image first (near, then far), then overlapping tiles."""

    def __init__(self, model: Literal["auto", "short_range", "full_range"] = "auto") -> None:
        """
        Args:
            model: one network on the whole image ("short_range": faces of at least a fifth of the image, 1 ms;
                "full_range": a twentieth, 4 ms), or both and tiles until something is found ("auto").
        """
        names = ("short_range", "full_range") if model == "auto" else (model,)
        self._networks = [_BlazeFace(name) for name in names]
        self._tiles = model == "auto"

    def detect(self, rgb: np.ndarray, thorough: bool = True) -> list[Detection]:
        """Faces in an image, largest first.

        Args:
            rgb: [H,W,3] uint8.
            thorough: search tiles when the whole image shows nothing (up to 0.2 s); "auto" only.

        Returns:
            Detections in pixels of `rgb`; empty when there are none.
        """
        height, width = rgb.shape[:2]
        for network in self._networks:
            if faces := network(rgb):
                return _largest_first(faces)
        if not (self._tiles and thorough):
            return []
        for fraction in _TILE_FRACTIONS:
            side = round(fraction * max(height, width))
            if side < _SMALLEST_TILE:
                break
            faces = [face for x, y in _tile_corners(width, height, side) for face in self._in_tile(rgb, x, y, side)]
            if faces:
                return _largest_first(_merge(faces))
        return []

    def _in_tile(self, rgb: np.ndarray, x: int, y: int, side: int) -> list[Detection]:
        shift = np.array([x, y], dtype=np.float32)
        return [
            Detection(face.box + np.tile(shift, 2), face.score, face.keypoints + shift)
            for face in self._networks[-1](rgb[y : y + side, x : x + side])
        ]


class _BlazeFace:
    """One network with its anchors."""

    def __init__(self, model: str) -> None:
        self._layout = _LAYOUTS[model]
        self._network = load_network(model_path(f"face_detection_{model}"))
        self._anchors = _anchors(self._layout)

    def __call__(self, rgb: np.ndarray) -> list[Detection]:
        side = self._layout.side
        longer = max(rgb.shape[:2])
        raw, logits = self._network(_letterbox(rgb, side))
        scores = 1 / (1 + np.exp(-np.clip(logits[0, :, 0], -80, 80)))
        keep = scores >= self._layout.least_score
        points = raw[0, keep].reshape(-1, 8, 2) / side  # center, size, six keypoints
        points[:, [0, *range(2, 8)]] += self._anchors[keep, None]
        points *= longer
        corners = np.concatenate([points[:, 0] - points[:, 1] / 2, points[:, 0] + points[:, 1] / 2], axis=1)
        faces = zip(corners, scores[keep], points[:, 2:], strict=True)
        return _merge([Detection(box, float(score), marks) for box, score, marks in faces])


def _letterbox(rgb: np.ndarray, side: int) -> np.ndarray:
    """The image in the upper left of a black square, [1,side,side,3] float32 in -1..1."""
    height, width = rgb.shape[:2]
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    square = np.zeros((side, side, 3), np.uint8)
    square[: size[1], : size[0]] = cv2.resize(
        rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    )
    return (square.astype(np.float32) / 127.5 - 1)[None]


def _anchors(layout: _Layout) -> np.ndarray:
    """Cell centers [N,2] in 0..1, repeated for each anchor of the cell."""
    blocks = []
    for cells, repeats in layout.grids:
        line = (np.arange(cells, dtype=np.float32) + 0.5) / cells
        centers = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
        blocks.append(np.repeat(centers, repeats, axis=0))
    return np.concatenate(blocks)


def _merge(faces: list[Detection]) -> list[Detection]:
    """Non-maximum suppression that averages overlapping detections, weighted by their scores."""
    left = sorted(faces, key=lambda face: -face.score)
    merged = []
    while left:
        boxes = np.stack([face.box for face in left])
        same = _iou(boxes[0], boxes) > _SAME_FACE_IOU
        same[0] = True
        group = [face for face, is_same in zip(left, same, strict=True) if is_same]
        weights = np.array([face.score for face in group], dtype=np.float32)
        weights /= weights.sum()
        box = np.tensordot(weights, np.stack([face.box for face in group]), axes=1)
        marks = np.tensordot(weights, np.stack([face.keypoints for face in group]), axes=1)
        merged.append(Detection(box, group[0].score, marks))
        left = [face for face, is_same in zip(left, same, strict=True) if not is_same]
    return merged


def _iou(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union [N] of one box with `boxes` [N,4]."""
    upper = np.maximum(box[:2], boxes[:, :2])
    lower = np.minimum(box[2:], boxes[:, 2:])
    overlap = np.prod(np.clip(lower - upper, 0, None), axis=1)
    area = np.prod(box[2:] - box[:2])
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return overlap / np.maximum(area + areas - overlap, 1e-6)


def _largest_first(faces: list[Detection]) -> list[Detection]:
    return sorted(faces, key=lambda face: -face.height)


def _tile_corners(width: int, height: int, side: int) -> Iterator[tuple[int, int]]:
    """Upper left corners of half-overlapping tiles that cover the image."""
    for y in _starts(height, side):
        for x in _starts(width, side):
            yield x, y


def _starts(length: int, side: int) -> list[int]:
    if length <= side:
        return [0]
    count = int(np.ceil((length - side) / (side / 2))) + 1
    return [int(start) for start in np.linspace(0, length - side, count).round()]
