"""Train the acoustic model of avatar/performance/speech.

    python -m tools.weights.acoustic -o avatar/performance/speech/acoustic.npz

Needs the extra `dev` and the program `flite` (Debian: apt-get install flite). With the defaults about 20 minutes on one
core: 8 hours of speech are made, then learned. The same seed on the same machine gives the same weights.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from avatar.performance.speech.acoustic import LAYERS, LOOKAHEAD, MAGIC, VERSION, normalized
from avatar.performance.speech.features import BANDS
from avatar.performance.speech.phones import PHONES, SILENCE
from tools.weights import flite
from tools.weights.speech_corpus import training_speech

CHANNELS = 112
_CROP, _BATCH = 400, 32  # frames
_FIRST = 60  # frames of a crop before which the network has not heard enough


class Network(nn.Module):
    """The network of avatar/performance/speech/acoustic.py, with normalization of each layer while it is trained."""

    def __init__(self) -> None:
        super().__init__()
        widths = [BANDS] + [CHANNELS] * len(LAYERS)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(widths[k], widths[k + 1], 3, dilation=offsets[1] - offsets[0], bias=False)
            for k, offsets in enumerate(LAYERS)
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(CHANNELS) for _ in LAYERS)
        self.head = nn.Conv1d(CHANNELS, len(PHONES), 1)

    def forward(self, features: Tensor) -> Tensor:
        """Scores [B,PHONES,T] of normalized features [B,BANDS,T]."""
        x = features
        for k, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            padded = nn.functional.pad(x, (-LAYERS[k][0], LAYERS[k][2]))
            y = torch.relu(norm(convolution(padded)))
            x = y if k == 0 else x + y
        return self.head(x)

    def folded_arrays(self) -> dict[str, np.ndarray]:
        """Weights for the file: of each layer [3 * inputs, CHANNELS] (earliest input first) and biases."""
        arrays: dict[str, np.ndarray] = {}
        for k, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            assert isinstance(convolution, nn.Conv1d) and isinstance(norm, nn.BatchNorm1d)
            assert norm.running_mean is not None and norm.running_var is not None
            gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            weights = (convolution.weight * gain[:, None, None]).permute(2, 1, 0).flatten(0, 1)
            arrays[f"weights_{k}"] = weights.detach().numpy().astype(np.float16)
            arrays[f"bias_{k}"] = (norm.bias - norm.running_mean * gain).detach().numpy().astype(np.float32)
        arrays["weights_out"] = self.head.weight[:, :, 0].T.detach().numpy().astype(np.float16)
        assert self.head.bias is not None
        arrays["bias_out"] = self.head.bias.detach().numpy().astype(np.float32)
        return arrays


def vary(features: Tensor, generator: torch.Generator) -> Tensor:
    """Log energies [B,T,BANDS] as other gains and microphones would give them, with some parts masked."""
    batch, frames, bands = features.shape

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=generator)

    angle = torch.arange(bands) / bands * torch.pi
    curve = sum(
        uniform(-1.2, 1.2, batch, 1, 1) * torch.cos(order * angle + uniform(0, 6, batch, 1, 1)) for order in (1, 2, 3)
    )
    at = torch.arange(bands) * (1 + uniform(-0.08, 0.08, batch, 1)) + uniform(
        -0.5, 0.5, batch, 1
    )  # another vocal tract
    low = at.floor().clamp(0, bands - 2)
    fraction = (at - low).clamp(0, 1)[:, None]
    low = low.long()[:, None].expand(batch, frames, bands)
    features = features.gather(2, low) * (1 - fraction) + features.gather(2, low + 1) * fraction
    gained = torch.logaddexp(features + curve + uniform(-4, 1, batch, 1, 1), torch.tensor(-16.1))
    at, width = uniform(0, bands, batch, 1, 1), uniform(0, 6, batch, 1, 1)
    index = torch.arange(bands)
    hidden = (index > at) & (index < at + width) & (uniform(0, 1, batch, 1, 1) < 0.4)
    return torch.where(hidden, gained.mean(dim=(1, 2), keepdim=True), gained)


def transitions(labels: np.ndarray) -> dict[str, np.ndarray]:
    """How often one phone follows another, [P,P] logarithms, and the mean duration of each, [P] frames."""
    changes = np.flatnonzero(np.diff(labels)) + 1
    runs = labels[np.concatenate(([0], changes))]
    counts = np.full((len(PHONES), len(PHONES)), 2.0)
    np.add.at(counts, (runs[:-1], runs[1:]), 1)
    np.fill_diagonal(counts, 1e-3)
    total = np.bincount(labels, minlength=len(PHONES)) / np.maximum(np.bincount(runs, minlength=len(PHONES)), 1)
    share = np.bincount(labels, minlength=len(PHONES)) / len(labels)
    return {
        "log_following": np.log(counts / counts.sum(axis=1, keepdims=True)).astype(np.float32),
        "mean_frames": total.astype(np.float32),
        "log_share": np.log(share).astype(np.float32),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the speech, train, write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--hours", type=float, default=8.0, help="hours of speech")
    parser.add_argument("--steps", type=int, default=2000, help="steps of training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--without", default="", choices=("", *flite.VOICES), help="voice of Flite that is held out")
    options = parser.parse_args(arguments)
    torch.manual_seed(options.seed)
    began = time.monotonic()
    voices = tuple(voice for voice in flite.VOICES if voice != options.without)
    utterances = list(training_speech(options.hours, options.seed, voices))
    features = torch.from_numpy(np.concatenate([one.features for one in utterances]))
    labels = torch.from_numpy(np.concatenate([one.labels for one in utterances]))
    print(f"{len(labels) / 360000:.2f} h of speech in {time.monotonic() - began:.0f} s", flush=True)
    network, generator = Network(), torch.Generator().manual_seed(options.seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, options.steps, pct_start=0.1)
    for step in range(options.steps):
        starts = torch.randint(0, len(labels) - _CROP, (_BATCH,), generator=generator)
        at = starts[:, None] + torch.arange(_CROP)
        scores = network(normalized(vary(features[at], generator)).transpose(1, 2))
        scored = slice(_FIRST, _CROP - LOOKAHEAD)
        loss = nn.functional.cross_entropy(scores[:, :, scored], labels[at][:, scored], label_smoothing=0.02)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 50 == 0 or step == options.steps - 1:
            right = (scores[:, :, scored].argmax(1) == labels[at][:, scored]).float().mean()
            print(f"{step} loss {loss:.3f} frames right {right:.3f} after {time.monotonic() - began:.0f} s", flush=True)
    arrays: dict[str, Any] = {"magic": np.array(MAGIC), "version": np.array(VERSION), "phones": np.array(PHONES)}
    arrays |= network.folded_arrays() | transitions(labels.numpy())
    np.savez_compressed(options.output, **arrays)
    print(f"{options.output}: {options.output.stat().st_size / 1000:.0f} kB; silence is {PHONES.index(SILENCE)}")


if __name__ == "__main__":
    main()
