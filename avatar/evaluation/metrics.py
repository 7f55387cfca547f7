"""Image metrics of the protocol: PSNR, SSIM, LPIPS (with a given network), temporal difference, flicker."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from avatar import ops
from avatar.errors import HeadsplatError


@dataclass(frozen=True)
class LpipsNetwork:
    """An LPIPS network."""

    name: str  # for the table; distances of different networks are not comparable
    distance: Callable[[np.ndarray, np.ndarray], float]  # of two images [H,W,3] in 0..1


def psnr(a: np.ndarray, b: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio in dB of two images [H,W,3] in 0..1, at most 100; over `mask` [H,W] if given.

    An empty mask gives nan.

    Raises:
        ValueError: an image has values that are not finite.
    """
    error = np.square(a.astype(np.float64) - b).mean(-1)
    if mask is not None and not mask.any():
        return float("nan")
    mean = error.mean() if mask is None else error[mask].mean()
    if not np.isfinite(mean):
        raise ValueError("psnr: the images have values that are not finite")
    return float(min(100.0, -10 * np.log10(max(mean, 1e-12))))


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Mean structural similarity (11x11 Gaussian window, sigma 1.5; Wang et al. 2004) of two images [H,W,3] in 0..1."""
    first, second = (torch.from_numpy(np.ascontiguousarray(x, np.float32))[None] for x in (a, b))
    return float(ops.ssim(first, second)[0])


def load_lpips(path: str | Path) -> LpipsNetwork:
    """An LPIPS network from an ONNX file with two inputs; its name is the file's stem without a leading `lpips_`.

    The inputs are images [1,3,H,W] normalized as for ImageNet, as in LPIPS networks exported without their scaling
    layer.

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
        raise HeadsplatError(f"{path}: {len(names)} inputs, an LPIPS network has two images as inputs")
    mean = np.array([0.485, 0.456, 0.406], np.float32)
    spread = np.array([0.229, 0.224, 0.225], np.float32)

    def distance(a: np.ndarray, b: np.ndarray) -> float:
        feeds = [((x.astype(np.float32) - mean) / spread).transpose(2, 0, 1)[None] for x in (a, b)]
        return float(np.ravel(session.run(None, dict(zip(names, feeds, strict=True)))[0])[0])

    return LpipsNetwork(Path(path).stem.removeprefix("lpips_"), distance)


class TemporalDifference:
    """PSNR of the differences of consecutive frames: how well changes from frame to frame are reproduced."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self._values: list[float] = []

    def add(self, predicted: np.ndarray, truth: np.ndarray) -> None:
        """Add the next frame [H,W,3] in 0..1 and its truth."""
        residual = predicted.astype(np.float32) - truth
        if self._last is not None:
            square = float(np.square(residual - self._last).mean())
            self._values.append(-10 * math.log10(max(square, 1e-10)))
        self._last = residual

    @property
    def value(self) -> float:
        """Mean over all pairs of frames, dB; nan before the second frame."""
        return float(np.mean(self._values)) if self._values else float("nan")


class Flicker:
    """Temporal flicker of consecutive frames: root mean square of the second difference of the residual, x 255."""

    def __init__(self) -> None:
        self._last: list[np.ndarray] = []
        self._squares: list[float] = []

    def add(self, predicted: np.ndarray, truth: np.ndarray) -> None:
        """Add the next frame [H,W,3] in 0..1 and its truth."""
        self._last = [*self._last[-2:], predicted.astype(np.float32) - truth]
        if len(self._last) == 3:
            a, b, c = self._last
            self._squares.append(float(np.square(a - 2 * b + c).mean()))

    @property
    def value(self) -> float:
        """Flicker of all frames; nan before the third frame."""
        return float(255 * np.sqrt(np.mean(self._squares))) if self._squares else float("nan")
