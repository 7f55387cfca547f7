"""The network that corrects expression weights by what the pixels show, in plain NumPy.

The two halves of the face are one batch: the features of a half, less those of the person's calm frames, the features
of the other half, the weights as this half has them, and the pose give the change of every weight of the half. An
expression without a side has the mean of both. `pixels.npz` is made by `python -m tools.weights.pixels`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from avatar.head.arkit import ARKIT_52
from capture.pixels.crops import CropGrid

Floats = NDArray[np.floating]

FILE = Path(__file__).with_name("pixels.npz")
#: Expressions whose weights the network changes, by their names in the left half: all that pixels of the skin show.
CORRECTED = tuple(
    name
    for name in ARKIT_52
    if not name.startswith(("eyeLook", "tongueOut", "jawForward")) and not name.endswith("Right")
)
_LEAST_CONTRAST = 0.015  # of a crop, 0..1
_STRIDE = 2


def standardized(luma: Floats) -> Floats:
    """Luma [B,H,W] 0..1 less its mean over the crop, over its standard deviation."""
    spread = luma.std((1, 2), ddof=1, keepdims=True) + _LEAST_CONTRAST
    return np.asarray((luma - luma.mean((1, 2), keepdims=True)) / spread, np.float32)


@dataclass(frozen=True, eq=False)
class PixelNetwork:
    """The layers, float32; weights [inputs, outputs], of convolutions [9 * channels, outputs] by row and column."""

    grid: CropGrid
    convolutions: tuple[tuple[Floats, Floats], ...]
    features_layer: tuple[Floats, Floats]
    hidden: tuple[tuple[Floats, Floats], ...]
    last: tuple[Floats, Floats]

    @staticmethod
    @lru_cache(maxsize=1)
    def load() -> PixelNetwork:
        """The network of the package."""
        return PixelNetwork.read(FILE)

    @staticmethod
    def read(path: Path) -> PixelNetwork:
        """The network that `tools.weights.pixels` has written to `path`."""
        with np.load(path, allow_pickle=False) as stored:
            values = {name: stored[name] for name in stored.files}

        def layer(name: str) -> tuple[Floats, Floats]:
            return values[f"{name}.weight"].astype(np.float32), values[f"{name}.bias"].astype(np.float32)

        def layers(stem: str) -> tuple[tuple[Floats, Floats], ...]:
            return tuple(layer(f"{stem}{k}") for k in range(len(values)) if f"{stem}{k}.weight" in values)

        grid = CropGrid(values["grid.landmarks"].astype(np.int64), values["grid.barycentric"].astype(np.float64))
        return PixelNetwork(grid, layers("convolution"), layer("features"), layers("hidden"), layer("last"))

    def features(self, crops: NDArray[np.uint8]) -> Floats:
        """Features [2,Z] of the crops [2,H,W] of a frame."""
        values = standardized(crops / np.float32(255))[..., None]
        for weight, bias in self.convolutions:
            padded = np.pad(values, ((0, 0), (1, 1), (1, 1), (0, 0)))
            windows = sliding_window_view(padded, (3, 3), (1, 2))[:, ::_STRIDE, ::_STRIDE]  # [2,h,w,C,3,3]
            rows = windows.transpose(0, 1, 2, 4, 5, 3).reshape(*windows.shape[:3], -1)
            values = np.maximum(rows @ weight + bias, 0)
        weight, bias = self.features_layer
        return np.asarray(values.reshape(2, -1) @ weight + bias)

    def changes(self, features: Floats, weights: Floats, calm: Floats, yaw_pitch: Floats) -> Floats:
        """Changes [B,52] of the weights.

        Args:
            features: [B,2,Z], less those of the calm frames.
            weights: [B,52] as tracked.
            calm: [52], their mean over the calm frames.
            yaw_pitch: [B,2] radians, of the head.
        """
        known = np.concatenate([weights, weights - calm], 1).astype(np.float32)
        mirrored = known[:, np.concatenate([MIRROR, len(ARKIT_52) + MIRROR])]
        turned = np.stack([yaw_pitch, yaw_pitch * [-1, 1]], 1)
        parts = [features, features[:, ::-1], np.stack([known, mirrored], 1), turned]
        values = np.concatenate(parts, 2).astype(np.float32)
        for weight, bias in self.hidden:
            values = np.maximum(values @ weight + bias, 0)
        weight, bias = self.last
        halves = np.zeros((len(weights), 2, len(ARKIT_52)))
        halves[:, :, _CORRECTED] = values @ weight + bias
        both = halves[:, 0] + halves[:, 1][:, MIRROR]
        return np.where(SINGLE, both / 2, both)


_OTHER_SIDE = {"Left": "Right", "Right": "Left"}
#: Column of the same expression on the other side; its own where an expression has no side.
MIRROR = np.array(
    [ARKIT_52.index(re.sub("Left$|Right$", lambda side: _OTHER_SIDE[side[0]], name)) for name in ARKIT_52]
)
_CORRECTED = [ARKIT_52.index(name) for name in CORRECTED]
#: Expressions without a side.
SINGLE = np.array([not name.endswith(("Left", "Right")) for name in ARKIT_52])
