"""The training of the acoustic model, in two steps on noise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from avatar.performance.speech.acoustic import (
    LAYERS,
    LOOKAHEAD,
    AcousticModel,
    load_acoustic_model,
    normalized,
)
from avatar.performance.speech.features import BANDS
from avatar.performance.speech.phones import PHONES
from tests.support.sounds import log_probabilities
from tools.weights import acoustic
from tools.weights.speech_corpus import Utterance

FRAMES = 1000


def noise(*_: object) -> Iterator[Utterance]:
    """An utterance of every phone in turn, of random features."""
    features = np.random.default_rng(0).normal(-9, 4, (FRAMES, BANDS)).astype(np.float32)
    yield Utterance(features, np.arange(FRAMES) // 5 % len(PHONES), "noise")


def test_the_program_writes_a_model_that_the_package_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acoustic, "training_speech", noise)
    acoustic.main(["-o", str(tmp_path / "acoustic.npz"), "--steps", "2"])
    (utterance,) = noise()
    found = log_probabilities(utterance.features[:50], load_acoustic_model(tmp_path / "acoustic.npz"))
    assert found.shape == (50, len(PHONES)) and np.isfinite(found).all()


def test_folded_weights_are_the_network() -> None:
    """Away from the start of a sound, which training pads with zeros and the package with silence."""
    torch.manual_seed(0)
    network = acoustic.Network().eval()
    (utterance,) = noise()
    features = utterance.features[:300]
    with torch.no_grad():
        expected = network(normalized(torch.from_numpy(features)).T[None])[0].T.log_softmax(dim=1).numpy()
    arrays = network.folded_arrays()
    layers = range(len(LAYERS))
    model = AcousticModel(
        tuple(arrays[f"weights_{k}"].astype(np.float32) for k in layers),
        tuple(arrays[f"bias_{k}"] for k in layers),
        arrays["weights_out"].astype(np.float32),
        arrays["bias_out"],
        **acoustic.transitions(utterance.labels),
    )
    found = log_probabilities(features, model)
    inside = slice(60, 300 - LOOKAHEAD)
    assert np.abs(found - expected)[inside].max() < 0.02  # float16 weights
