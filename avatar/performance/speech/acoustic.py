"""The acoustic model: how likely each phone is in every hundredth of a second of a sound.

A small network of convolutions over time, trained on synthetic voices (tools/weights/acoustic.py), evaluated with
NumPy alone. It hears LOOKAHEAD frames ahead and half a second back, so it serves a live microphone as well as files.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avatar.common.npz import DamagedNpz, Npz
from avatar.errors import HeadsplatError
from avatar.performance.speech.features import BANDS
from avatar.performance.speech.phones import PHONES

Floats = NDArray[np.float32]

MAGIC = "headsplat-acoustic"
VERSION = 1
FILE = Path(__file__).with_name("acoustic.npz")
#: Frames, relative to that of the output, whose values each layer combines.
LAYERS = ((-1, 0, 1), (-2, 0, 2), (-3, 0, 3), (-8, -4, 0), (-16, -8, 0), (-32, -16, 0))
#: Frames of 10 ms that must be heard after a frame to know its phone.
LOOKAHEAD = sum(offsets[2] for offsets in LAYERS)
#: Frames of silence that are heard before a sound.
_BEFORE = -sum(offsets[0] for offsets in LAYERS)
_MEAN = -9.0
_DEVIATION = 4.0
_SILENCE = -16.1  # logarithm of the energy of digital silence in every band


def normalized(features: Any) -> Any:
    """Log energies with about zero mean and unit variance: an array of NumPy, or a tensor in training."""
    return (features - _MEAN) / _DEVIATION


@dataclass(frozen=True)
class AcousticModel:
    """Weights of the network, and how phones follow each other."""

    weights: tuple[Floats, ...]  # of each layer [3 * inputs, outputs], earliest input first
    biases: tuple[Floats, ...]  # [outputs]
    weights_out: Floats  # [C,P]
    bias_out: Floats  # [P]
    log_following: Floats  # [P,P] logarithm of how often a phone (row) is followed by another, the diagonal unused
    mean_frames: Floats  # [P] mean duration, frames
    log_share: Floats  # [P] logarithm of the share of all frames


@cache
def acoustic_model() -> AcousticModel:
    """The model that comes with headsplat.

    Raises:
        HeadsplatError: the installed file is missing or damaged.
    """
    return load_acoustic_model(FILE)


def load_acoustic_model(path: Path) -> AcousticModel:
    """Read a model.

    Raises:
        HeadsplatError: the file cannot be read, or is none of this version.
    """
    try:
        npz = Npz(path)
        version = npz.array("version") if npz.text("magic") == MAGIC else None
        if version is None or int(version) != VERSION:
            raise DamagedNpz(f"it is no acoustic model of version {VERSION}")
        members = set(npz.names) - {"magic", "version", "phones"}
        arrays = {name: npz.array(name).astype(np.float32) for name in members}
        count = range(len(LAYERS))
        model = AcousticModel(
            tuple(arrays[f"weights_{k}"] for k in count),
            tuple(arrays[f"bias_{k}"] for k in count),
            *(arrays[name] for name in ("weights_out", "bias_out", "log_following", "mean_frames", "log_share")),
        )
        _check(model)
    except (DamagedNpz, KeyError, TypeError, ValueError) as error:
        raise HeadsplatError(f"{path}: the acoustic model cannot be used ({error}); install headsplat again") from error
    return model


def _check(model: AcousticModel) -> None:
    """Raise ValueError unless the shapes fit LAYERS, BANDS and PHONES."""
    width = BANDS
    for weights, bias in zip(model.weights, model.biases, strict=True):
        if weights.ndim != 2 or weights.shape[0] != 3 * width or bias.shape != weights.shape[1:]:
            raise ValueError(f"a layer has the shape {weights.shape}")
        width = weights.shape[1]
    count = len(PHONES)
    shapes = (width, count), (count,), (count, count), (count,), (count,)
    found = model.weights_out, model.bias_out, model.log_following, model.mean_frames, model.log_share
    if any(array.shape != shape for array, shape in zip(found, shapes, strict=True)):
        raise ValueError("its last layer or its table of phones has another size")


#: What streams of the model that comes with headsplat start with: an interrupted voice is heard anew within a frame.
_SILENT: list[Floats] = []


class AcousticStream:
    """Phones of one sound that arrives in parts."""

    def __init__(self, model: AcousticModel | None = None) -> None:
        """Start at silence, with the model that comes with headsplat unless another is given."""
        self._model = model or acoustic_model()
        self._heard: list[Floats] = []  # what each layer still needs of the frames before
        if model is None and _SILENT:
            self._heard[:] = _SILENT
            return
        widths = [BANDS] + [len(bias) for bias in self._model.biases[:-1]]
        self._heard += (
            np.zeros((-offsets[0], width), np.float32) for offsets, width in zip(LAYERS, widths, strict=True)
        )
        self.push(np.full((_BEFORE + LOOKAHEAD, BANDS), _SILENCE, np.float32))
        if model is None:
            _SILENT[:] = self._heard

    def push(self, features: Floats) -> Floats:
        """Hear more frames.

        Args:
            features: [n,BANDS], see `log_mel`.

        Returns:
            [n,P] logarithms of the probability of each of PHONES, of the frames up to LOOKAHEAD before the last one
            heard: the first frame of a sound comes with frame number LOOKAHEAD.
        """
        x = normalized(features)
        for k, offsets in enumerate(LAYERS):
            heard = np.concatenate((self._heard[k], x))
            count = len(heard) - (offsets[2] - offsets[0])
            if count <= 0:
                self._heard[k] = heard
                return np.zeros((0, len(PHONES)), np.float32)
            self._heard[k] = heard[count:]
            inputs = np.concatenate([heard[o - offsets[0] : o - offsets[0] + count] for o in offsets], axis=1)
            y = np.maximum(inputs @ self._model.weights[k] + self._model.biases[k], 0)
            x = y if k == 0 else y + heard[-offsets[0] : -offsets[0] + count]
        scores = x @ self._model.weights_out + self._model.bias_out
        scores -= scores.max(axis=1, keepdims=True)
        return scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))

    def finish(self) -> Floats:
        """The last LOOKAHEAD frames [LOOKAHEAD,P] of the sound, which ends in silence."""
        return self.push(np.full((LOOKAHEAD, BANDS), _SILENCE, np.float32))
