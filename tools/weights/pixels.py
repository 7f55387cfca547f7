"""Learn the network that corrects expression weights by what the pixels show.

    python -m tools.weights.pixels -o capture/pixels/pixels.npz

Random synthetic people in random poses show rest, speech, action units, emotions and mixtures, of both sides or of
one, in varied light, with glasses, beards and wrinkles; each image is tracked by itself. The network learns from crops
of both halves of the face how the tracked weights differ from the shown ones, relative to the calm frames of the
person. Takes seven seconds per person on one core, then seven minutes; images and crops stay in the work folder and
are reused. The people are others than in `bench_action_units`. The result depends on the seed alone.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import Delaunay
from torch import Tensor, nn
from torch.nn import functional

from avatar.head import load_head
from avatar.head.arkit import ARKIT_52
from capture.pixels.correction import SeenFaces
from capture.pixels.crops import STEP, CropGrid
from capture.pixels.network import CORRECTED, MIRROR, SINGLE, standardized
from capture.tracker.landmark_model import LandmarkModel
from tools.weights.posed_people import BLIND, CropTracker, PosedPerson, TrackedCrops

Floats = NDArray[np.floating]

#: First seed of the people, images of each.
FIRST, IMAGES = 1001, 32
#: Rows of the grid in centimeters from the middle of the eyes, dense around lids and lips, and its columns.
_ROWS = ((4.1, 1.2, 18), (1.2, -1.6, 40), (-1.6, -5.8, 24), (-5.8, -9.1, 30))
_COLUMNS = (-0.6, 6.6, 64)
_CENTER = (2.5, -3.0)  # of half a face: nodes outside of the landmarks move toward it
_CHANNELS = (8, 16, 32, 48)
_FEATURES, _HIDDEN = 48, 64
_RATE, _DECAY = 2e-3, 1e-2
_PEOPLE, _FRAMES, _CALM = 6, 16, 5  # of a batch: people, frames of each, calm ones among them
#: Weight of the blind expressions in the loss, and how much more a frame counts that shows an expression.
_BLIND_WEIGHT, _SHOWN_WEIGHT = 3.0, 1.5
_WEIGHT_NOISE = 0.03
_BLUR = torch.tensor([1.0, 2.0, 1.0])[:, None] * torch.tensor([1.0, 2.0, 1.0]) / 16


def crop_grid() -> CropGrid:
    """The grid on the landmarks of the embedded head; its triangles are those of the face seen from the front."""
    base = LandmarkModel.from_head(load_head()).base * 100
    mirror = np.linalg.norm(base[:, None] * [-1, 1, 1] - base, axis=2).argmin(1)
    edges = [np.linspace(start, end, count + 1)[:-1] for start, end, count in _ROWS]
    rows = np.append(np.concatenate(edges), _ROWS[-1][1])[::STEP]
    columns = np.linspace(*_COLUMNS[:2], _COLUMNS[2] // STEP + 1)
    nodes = np.stack(np.meshgrid(columns, rows), -1)
    flat = nodes.reshape(-1, 2)
    triangles = Delaunay(base[:, :2])
    for amount in np.linspace(0, 1, 200):
        outside = triangles.find_simplex(flat) < 0
        flat = np.where(outside[:, None], nodes.reshape(-1, 2) * (1 - amount) + np.array(_CENTER) * amount, flat)
    found = triangles.find_simplex(flat)
    transform = triangles.transform[found]
    first = np.einsum("nij,nj->ni", transform[:, :2], flat - transform[:, 2])
    barycentric = np.concatenate([first, 1 - first.sum(1, keepdims=True)], 1).reshape(*nodes.shape[:2], 3)
    landmarks = triangles.simplices[found].reshape(*nodes.shape[:2], 3)
    return CropGrid(np.stack([landmarks, mirror[landmarks]]).astype(np.int64), np.stack([barycentric, barycentric]))


class Network(nn.Module):
    """The layers of `capture.pixels.network` for training."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        channels = (1, *_CHANNELS)
        pairs = itertools.pairwise(channels)
        self.convolutions = nn.ModuleList(nn.Conv2d(*pair, 3, 2, 1) for pair in pairs)
        self.shape = (channels[-1], *(length // 2 ** len(_CHANNELS) for length in size))
        self.features = nn.Linear(int(np.prod(self.shape)), _FEATURES)
        known = 2 * _FEATURES + 2 * len(ARKIT_52) + 2
        self.hidden = nn.ModuleList([nn.Linear(known, _HIDDEN), nn.Linear(_HIDDEN, _HIDDEN)])
        self.last = nn.Linear(_HIDDEN, len(CORRECTED))
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        self.mirror = torch.from_numpy(MIRROR)
        self.columns = torch.tensor([ARKIT_52.index(name) for name in CORRECTED])
        self.single = torch.from_numpy(SINGLE)

    def features_of(self, luma: Tensor) -> Tensor:
        """Features [B,Z] of crops [B,1,H,W]."""
        values = luma
        for layer in self.convolutions:
            values = functional.relu(layer(values))
        return self.features(values.flatten(1))

    def changes(self, features: Tensor, weights: Tensor, calm: Tensor, yaw_pitch: Tensor) -> Tensor:
        """Changes [B,52]; arguments as for `capture.pixels.network.PixelNetwork.changes`, `calm` [B,52]."""
        known = torch.stack([weights, weights - calm], 1)
        halves = torch.stack([known, known[..., self.mirror]], 1).flatten(2)
        turned = torch.stack([yaw_pitch, yaw_pitch * torch.tensor([-1.0, 1.0])], 1)
        values = torch.cat([features, features.flip(1), halves, turned], 2)
        for layer in self.hidden:
            values = functional.relu(layer(values))
        change = torch.zeros(len(weights), 2, len(ARKIT_52)).index_copy(2, self.columns, self.last(values))
        both = change[:, 0] + change[:, 1][:, self.mirror]
        return torch.where(self.single, both / 2, both)

    def arrays(self) -> dict[str, Floats]:
        """The layers as `PixelNetwork` has them."""
        outputs = self.features.weight.reshape(_FEATURES, *self.shape).permute(2, 3, 1, 0).reshape(-1, _FEATURES)
        values: dict[str, Tensor] = {"features.weight": outputs, "features.bias": self.features.bias}
        for k, layer in enumerate(self.convolutions):
            assert isinstance(layer, nn.Conv2d)
            weight = layer.weight.permute(2, 3, 1, 0)
            values[f"convolution{k}.weight"] = weight.reshape(-1, weight.shape[-1])
            assert layer.bias is not None
            values[f"convolution{k}.bias"] = layer.bias
        for name, dense in (("hidden0", self.hidden[0]), ("hidden1", self.hidden[1]), ("last", self.last)):
            assert isinstance(dense, nn.Linear)
            values[f"{name}.weight"] = dense.weight.T
            values[f"{name}.bias"] = dense.bias
        return {name: value.detach().numpy().astype(np.float16) for name, value in values.items()}


def augmented(luma: Tensor, people: int, rng: torch.Generator) -> Tensor:
    """Crops [B,1,H,W] 0..1 of `people` in other light, a little displaced, blurred and noisy; B/people of each."""
    batch, _, height, width = luma.shape

    def random(low: float, high: float, each: int = 1) -> Tensor:
        values = torch.rand(batch // each, generator=rng) * (high - low) + low
        return values.repeat_interleave(each)[:, None, None, None]

    across = torch.linspace(-1, 1, width)[None, None, None]
    down = torch.linspace(-1, 1, height)[None, None, :, None]
    bright = luma.clamp_min(1e-3) ** (random(0.6, 1.6, batch // people) * random(0.9, 1.1))
    bright = bright * torch.exp(random(-0.4, 0.4) * across + random(-0.3, 0.3) * down)

    turn = random(-0.06, 0.06).flatten()
    scale = torch.exp(random(-0.05, 0.05)).flatten()
    right, up = (torch.randn(batch, generator=rng) * spread for spread in (0.025, 0.015))
    sine, cosine, aspect = scale * torch.sin(turn), scale * torch.cos(turn), height / width
    rows = [torch.stack([cosine, -sine * aspect, right], 1), torch.stack([sine / aspect, cosine, up], 1)]
    places = functional.affine_grid(torch.stack(rows, 1), list(bright.shape), align_corners=False)
    moved = functional.grid_sample(bright, places, padding_mode="border", align_corners=False)

    for chance in (0.4, 0.16):
        padded = functional.pad(moved, (1, 1, 1, 1), mode="replicate")
        blurred = functional.conv2d(padded, _BLUR[None, None])
        moved = torch.where(random(0, 1) < chance, blurred, moved)
    return moved + torch.randn(moved.shape, generator=rng) * random(0, 0.02)


class _Batches:
    """Random frames of random people."""

    def __init__(self, people: Sequence[TrackedCrops], rng: torch.Generator) -> None:
        self._people = people
        self._rng = rng

    def next(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Crops [P*F,2,H,W] 0..1, tracked and true weights [P*F,52], yaw and pitch [P*F,2], calm rows [P,C]."""
        chosen = torch.randint(len(self._people), (_PEOPLE,), generator=self._rng)
        parts = [self._frames_of(self._people[int(each)]) for each in chosen]
        crops, tracked, true, turned = (torch.cat(column) for column in list(zip(*parts, strict=True))[:4])
        calm = torch.stack([part[4] + k * _FRAMES for k, part in enumerate(parts)])
        if torch.rand(1, generator=self._rng) < 0.5:  # the mirror images of the people
            mirror = torch.from_numpy(MIRROR)
            crops, tracked, true = crops.flip(1), tracked[:, mirror], true[:, mirror]
            turned = turned * torch.tensor([-1.0, 1.0])
        return crops, tracked, true, turned, calm

    def _frames_of(self, person: TrackedCrops) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        rows = torch.randperm(len(person.tracked), generator=self._rng)[:_FRAMES].numpy()
        rows = np.resize(rows, _FRAMES)  # a person of few frames shows some of them twice
        tracked, turned = person.tracked[rows], person.yaw_pitch[rows]
        nearest = SeenFaces(np.empty(0), tracked, turned).calmest_first()[:_CALM]
        luma = torch.from_numpy(person.crops[rows] / np.float32(255))
        known, true, angles = (
            torch.from_numpy(np.asarray(each, np.float32)) for each in (tracked, person.true[rows], turned)
        )
        return luma, known, true, angles, torch.from_numpy(nearest.copy())


def train(people: Sequence[TrackedCrops], size: tuple[int, int], steps: int, seed: int) -> Network:
    """The network after `steps` batches of `people` with crops of `size`."""
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    network = Network(size)
    optimizer = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=steps, pct_start=0.1)
    importance = torch.tensor([_BLIND_WEIGHT if name.startswith(BLIND) else 1.0 for name in ARKIT_52])
    batches = _Batches(people, rng)
    total = 0.0
    for step in range(1, steps + 1):
        crops, tracked, true, turned, calm = batches.next()

        def above_calm(values: Tensor, calm: Tensor = calm) -> Tensor:
            mean = values[calm].mean(1, keepdim=True)
            return (values.unflatten(0, (_PEOPLE, _FRAMES)) - mean).flatten(0, 1)

        luma = augmented(crops.flatten(0, 1)[:, None], _PEOPLE, rng)
        features = network.features_of(torch.from_numpy(standardized(luma[:, 0].numpy()))[:, None])
        noisy = torch.rand(len(tracked), 1, generator=rng) < 0.7
        noise = torch.randn(tracked.shape, generator=rng) * _WEIGHT_NOISE * noisy
        weights = (tracked + noise).clamp(0, 1)
        usual = weights - above_calm(weights)
        change = network.changes(above_calm(features.unflatten(0, (-1, 2))), weights, usual, turned)
        error = above_calm(weights + change - true)
        loss = (error**2 * importance * (1 + _SHOWN_WEIGHT * true)).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        total += loss.item()
        if step % 200 == 0:
            print(f"step {step}: loss {total / 200:.4f}", flush=True)
            total = 0.0
    return network


def crops_of(seed: int, work: Path, tracker: CropTracker) -> TrackedCrops:
    """The tracked crops of the person of a seed; made where they are not in `work`."""
    path = work / f"crops{seed}.npz"
    names = ("crops", "tracked", "true", "yaw_pitch")
    if not path.is_file():
        person = tracker(PosedPerson.stored(work / f"posed{seed}.npz", seed, IMAGES))
        unfinished = path.with_suffix(".part.npz")
        np.savez(unfinished, **{name: getattr(person, name) for name in names})
        unfinished.rename(path)
        print(f"person {seed}: {len(person.tracked)} images", flush=True)
    with np.load(path) as stored:
        return TrackedCrops(*(stored[name] for name in names))


def write(path: Path, network: Network, grid: CropGrid) -> None:
    """Write the network as `PixelNetwork` reads it."""
    arrays: dict[str, Any] = {
        **network.arrays(),
        "grid.landmarks": grid.landmarks.astype(np.uint16),
        "grid.barycentric": grid.barycentric.astype(np.float16),
    }
    np.savez_compressed(path, **arrays)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--seed", type=int, default=1, help="of the training")
    parser.add_argument("--work", type=Path, default=Path("bench"))
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    grid = crop_grid()
    tracker = CropTracker(grid)
    people = [crops_of(seed, args.work, tracker) for seed in range(FIRST, FIRST + args.people)]
    people = [person for person in people if len(person.tracked) >= _FRAMES]
    write(args.out, train(people, grid.size, args.steps, args.seed), grid)


if __name__ == "__main__":
    main()
