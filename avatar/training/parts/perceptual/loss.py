"""The perceptual loss: LPIPS between rendered and true image in the last third of a training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avatar.errors import HeadsplatError
from avatar.training.config import TrainConfig
from avatar.training.parts.part import PartTraining, Step, Training
from avatar.training.parts.perceptual.lpips_package import PACKAGE_NETWORKS, package_module
from avatar.training.parts.perceptual.onnx_graph import OnnxGraph

#: Weight of the distance beside the photometric loss, fraction of the schedule after which it counts, and side of the
#: compared part of an image in pixels: a whole image would take as long as several steps.
WEIGHT = 0.05
FIRST = 2 / 3
SIDE = 128
_MEAN = (0.485, 0.456, 0.406)
_SPREAD = (0.229, 0.224, 0.225)

#: Distance [1] of two images [1,3,H,W] in 0..1, differentiable.
Distance = Callable[[Tensor, Tensor], Tensor]


class PerceptualLoss:
    """Distance of random parts of rendered and true images by a network."""

    def __init__(self, network: str | Path, device: torch.device | None = None) -> None:
        """
        Args:
            network: a name of the package `lpips` (`alex`, `vgg`, `squeeze`), or an ONNX file with two images as
                inputs, normalized as for ImageNet.
            device: on which images will be; None: the host.

        Raises:
            HeadsplatError: a package or the file is missing, or it is not such a network.
        """
        self.name = str(network)
        self.distance = _distance(self.name, device or torch.device("cpu"))

    def __call__(self, image: Tensor, truth: Tensor, rng: np.random.Generator) -> Tensor:
        """The weighted loss of a random part of one image.

        Args:
            image: [H,W,3] in 0..1, rendered, with gradients.
            truth: [H,W,3] in 0..1, over the same background.
            rng: chooses the part.
        """
        height, width = image.shape[:2]
        top, left = (int(rng.integers(max(1, size - SIDE + 1))) for size in (height, width))
        crops = (
            each[top : top + SIDE, left : left + SIDE].clamp(0, 1).permute(2, 0, 1)[None] for each in (image, truth)
        )
        return WEIGHT * self.distance(*crops).sum()


class PerceptualTraining(PartTraining):
    """Adds the perceptual loss of the images of a batch, over their random backgrounds."""

    key = "perceptual"

    def __init__(self, training: Training) -> None:
        """Args: see `PartTraining`."""
        super().__init__(training)
        self._loss = PerceptualLoss(training.config.perceptual, training.device)

    @classmethod
    def check(cls, config: TrainConfig, device: torch.device) -> None:
        """Raise HeadsplatError for a network that cannot be used."""
        if config.perceptual:
            PerceptualLoss(config.perceptual, device)

    @classmethod
    def of(cls, training: Training) -> PerceptualTraining | None:
        """None without a network in the settings."""
        return cls(training) if training.config.perceptual else None

    def loss(self, step: Step) -> Tensor | None:
        """The loss in the last third of the schedule."""
        if step.fraction < FIRST:
            return None
        background = step.background[:, None, None]
        matte = step.matte.float()[..., None] / 255
        images = step.rgb + (1 - step.alpha[..., None]) * background
        truth = step.truth.float() / 255 * matte + (1 - matte) * background
        rng = np.random.default_rng((self.training.config.seed, step.number, self.training.processes.rank))
        return torch.stack([self._loss(*pair, rng) for pair in zip(images, truth, strict=True)]).sum()

    def figures(self) -> dict[str, Any]:
        """The network."""
        return {"perceptual": self._loss.name}


def _distance(network: str, device: torch.device) -> Distance:
    if network in PACKAGE_NETWORKS:
        module = package_module(network, "--perceptual").to(device).requires_grad_(False)
        return lambda a, b: module(a, b, normalize=True)
    graph = OnnxGraph(Path(network)).to(device)
    if len(graph.inputs) != 2:
        raise HeadsplatError(f"{network}: {len(graph.inputs)} inputs, an LPIPS network has two images as inputs")
    mean, spread = (torch.tensor(value, device=device)[:, None, None] for value in (_MEAN, _SPREAD))

    def distance(a: Tensor, b: Tensor) -> Tensor:
        return graph((a - mean) / spread, (b - mean) / spread)

    side = torch.zeros(1, 3, 64, 64, device=device)
    try:
        value = distance(side, side)
    except (RuntimeError, ValueError, TypeError, KeyError, IndexError) as error:
        raise HeadsplatError(f"{network}: it does not run as an LPIPS network ({error}); give another one") from error
    if value.numel() != 1:
        raise HeadsplatError(f"{network}: its output has {value.numel()} values, an LPIPS network has one distance")
    return distance
