"""LPIPS (Zhang et al. 2018): perceptual distance by a network of the package `lpips`, or from an ONNX file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from avatar.errors import HeadsplatError
from avatar.training.parts.perceptual.lpips_package import PACKAGE_NETWORKS, package_module


@dataclass(frozen=True)
class LpipsNetwork:
    """An LPIPS network."""

    name: str  # for the table; distances of different networks are not comparable
    distance: Callable[[np.ndarray, np.ndarray], float]  # of two images [H,W,3] in 0..1


def load_lpips(network: str | Path) -> LpipsNetwork:
    """An LPIPS network.

    Args:
        network: one of PACKAGE_NETWORKS, or the path of an ONNX file with two inputs.

    Raises:
        HeadsplatError: a package or the weights are missing, or the file is not such a network.
    """
    if str(network) in PACKAGE_NETWORKS:
        return _package_network(str(network))
    return _onnx_network(Path(network))


def _package_network(name: str) -> LpipsNetwork:
    """A network of the package `lpips`, version 0.1 of its weights, on the CPU."""
    network = package_module(name, "--lpips")

    def tensor(image: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32))

    def distance(a: np.ndarray, b: np.ndarray) -> float:
        with torch.no_grad():
            return float(network(tensor(a), tensor(b), normalize=True))

    return LpipsNetwork(name, distance)


def _onnx_network(path: Path) -> LpipsNetwork:
    """An LPIPS network from an ONNX file with two inputs; its name is the file's stem without a leading `lpips_`.

    The inputs are images [1,3,H,W] normalized as for ImageNet, as in LPIPS networks exported without their scaling
    layer.

    Raises:
        HeadsplatError: onnxruntime is missing, or the file is not such a network.
    """
    if not path.is_file():
        raise HeadsplatError(
            f"{path}: no such file; give an LPIPS network in ONNX format to --lpips, or {', '.join(PACKAGE_NETWORKS)} "
            "of the package lpips"
        )
    try:
        import onnxruntime
    except ImportError as error:
        raise HeadsplatError("LPIPS needs onnxruntime; install it with `pip install onnxruntime`") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # several images are scored at the same time
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

    return LpipsNetwork(path.stem.removeprefix("lpips_"), distance)
