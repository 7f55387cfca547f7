"""Picture metrics of the protocol: PSNR, SSIM, LPIPS (where a network is given), regions, flicker."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch

from avatar import ops
from avatar.errors import HeadsplatError

#: MediaPipe landmark rings that outline a region.
LIP_RING = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
RIGHT_EYE_RING = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
LEFT_EYE_RING = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
FACE_RING = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150,
    136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip

Lpips = Callable[[np.ndarray, np.ndarray], float]


def psnr(a: np.ndarray, b: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio in dB of pictures [H,W,3] in 0..1, over `mask` [H,W] where given; at most 100.

    An empty mask gives nan; pictures that are not finite raise ValueError.
    """
    error = np.square(a.astype(np.float64) - b).mean(-1)
    if mask is not None and not mask.any():
        return float("nan")
    mean = error.mean() if mask is None else error[mask].mean()
    if not np.isfinite(mean):
        raise ValueError("psnr: the pictures hold values that are not finite")
    return float(min(100.0, -10 * np.log10(max(mean, 1e-12))))


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Mean structural similarity (11x11 Gaussian window, sigma 1.5; Wang et al. 2004) of pictures [H,W,3] in 0..1."""
    first, second = (torch.from_numpy(np.ascontiguousarray(x, np.float32))[None] for x in (a, b))
    return float(ops.ssim(first, second)[0])


def load_lpips(path: str | Path) -> tuple[str, Lpips]:
    """An LPIPS network from a two-input ONNX file: (name for the table, distance of two pictures [H,W,3] in 0..1).

    The two inputs take ImageNet-normalised pictures [1,3,H,W], as LPIPS networks exported without their scaling
    layer do. The name is the file's stem without a leading `lpips_`: distances of different networks never compare.

    Raises:
        HeadsplatError: onnxruntime is missing, or the file is not such a network.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise HeadsplatError("LPIPS needs onnxruntime; install it with `pip install onnxruntime`") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise HeadsplatError(f"{path}: not a readable ONNX network; give an LPIPS network with two inputs") from error
    names = [entry.name for entry in session.get_inputs()]
    if len(names) != 2:
        raise HeadsplatError(f"{path}: {len(names)} inputs, an LPIPS network has two pictures as inputs")
    mean = np.array([0.485, 0.456, 0.406], np.float32)
    spread = np.array([0.229, 0.224, 0.225], np.float32)

    def distance(a: np.ndarray, b: np.ndarray) -> float:
        feeds = [((x.astype(np.float32) - mean) / spread).transpose(2, 0, 1)[None] for x in (a, b)]
        return float(np.ravel(session.run(None, dict(zip(names, feeds, strict=True)))[0])[0])

    return Path(path).stem.removeprefix("lpips_"), distance


def region_masks(landmarks: np.ndarray, matte: np.ndarray) -> dict[str, np.ndarray]:
    """Masks [H,W] of mouth, eyes and hair from landmarks [478,2+] in pixels and the matte [H,W] in 0..1.

    Mouth and eyes are their landmark hulls, widened; hair is what the matte holds above the chin outside the face.
    """
    height, width = matte.shape
    scale = float(np.linalg.norm(landmarks[33, :2] - landmarks[263, :2]))

    def hull(ring: tuple[int, ...], grow: float) -> np.ndarray:
        canvas = np.zeros((height, width), np.uint8)
        points = cv2.convexHull(landmarks[list(ring), :2].round().astype(np.int32))
        cv2.fillConvexPoly(canvas, points, 1)
        reach = max(1, round(grow * scale))
        return cv2.dilate(canvas, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0

    mouth = hull(LIP_RING, 0.12)
    eyes = hull(RIGHT_EYE_RING, 0.12) | hull(LEFT_EYE_RING, 0.12)
    above_chin = np.arange(height)[:, None] < landmarks[152, 1]
    hair = (matte > 0.5) & ~hull(FACE_RING, 0.02) & above_chin
    return {"mouth": mouth, "eyes": eyes, "hair": hair}


def head_box(pixels: np.ndarray, width: int, height: int) -> tuple[slice, slice]:
    """Rows and columns of the face-and-hair box around projected head vertices [n,2]: 12 % of its height on top."""
    low, high = pixels.min(0), pixels.max(0)
    tall = high[1] - low[1]
    top, bottom = int(max(0, low[1] - 0.12 * tall)), int(np.clip(high[1], 1, height))
    left, right = int(max(0, low[0] - 0.04 * tall)), int(np.clip(high[0] + 0.04 * tall, 1, width))
    return slice(min(top, bottom - 1), bottom), slice(min(left, right - 1), right)


class TemporalDifference:
    """How well the change from each frame to the next is shown: PSNR of the differences of consecutive frames."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self._values: list[float] = []

    def add(self, predicted: np.ndarray, truth: np.ndarray) -> None:
        """Take the next frame [H,W,3] in 0..1 and its truth."""
        residual = predicted.astype(np.float32) - truth
        if self._last is not None:
            square = float(np.square(residual - self._last).mean())
            self._values.append(-10 * math.log10(max(square, 1e-10)))
        self._last = residual

    @property
    def value(self) -> float:
        """Mean over the pairs so far, dB; nan before the second frame."""
        return float(np.mean(self._values)) if self._values else float("nan")


class Flicker:
    """Temporal flicker of consecutive frames: root mean square of the second difference of the residual, x 255."""

    def __init__(self) -> None:
        self._last: list[np.ndarray] = []
        self._squares: list[float] = []

    def add(self, predicted: np.ndarray, truth: np.ndarray) -> None:
        """Take the next frame [H,W,3] in 0..1 and its truth."""
        self._last = [*self._last[-2:], predicted.astype(np.float32) - truth]
        if len(self._last) == 3:
            a, b, c = self._last
            self._squares.append(float(np.square(a - 2 * b + c).mean()))

    @property
    def value(self) -> float:
        """The flicker so far; nan before the third frame."""
        return float(255 * np.sqrt(np.mean(self._squares))) if self._squares else float("nan")
