"""Expressions that training never showed: offsets learned for each Gaussian against offsets of a network.

    python -m tests.bench.bench_left_out --seeds 0 1 2 --lpips lpips_sq.onnx

A synthetic person whose wrinkles follow the compression of the skin makes faces; in the last fifth, which is held out,
come families of expressions that no training frame has (`capture.synthetic.scripts.HELD_OUT`). The true track is used.
Rows: no blendshapes; bases of each Gaussian with linear weights, and with those of the default; and each network as it
is and compiled to bases. PSNR of the whole image,
of the head, the mouth and the eyes, and LPIPS, all of the held-out frames.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from torch import Tensor

from avatar import ops
from avatar.data.capture_folder import TRACK_FILE, Capture
from avatar.data.training_frames import TrainingFrames, load_frames
from avatar.evaluation.frame_rendering import render_avatar_frame
from avatar.evaluation.lpips import LpipsNetwork, load_lpips
from avatar.evaluation.scoring import Scorer
from avatar.head import load_head
from avatar.model.avatar import Avatar
from avatar.model.blendshapes import Blendshapes
from avatar.refine.clip import learn_torso
from avatar.training.config import TrainConfig
from avatar.training.parts.offset_network.network import OffsetNetwork
from avatar.training.parts.offset_network.training import OffsetNetworkTraining
from avatar.training.prepared_frames import prepared_frames
from avatar.training.trainer import Trainer
from capture.synthetic.exact_capture import write_exact_capture
from capture.synthetic.options import SyntheticOptions
from capture.synthetic.scripts import HELD_OUT_FROM
from capture.synthetic.video import SyntheticScene
from tests.bench.rigs import Rig

#: Rows of the table: settings of the training.
ROWS: dict[str, dict[str, object]] = {
    "none": {"bases": 0}, "linear": {"hidden": 0}, "default": {}, "uv": {"offsets": "uv"}, "hash": {"offsets": "hash"},
}  # fmt: skip


class ByNetwork(Blendshapes):
    """Blendshapes whose offsets a network computes for the frame that `show` chose."""

    def __init__(self, trained: Blendshapes, features: Tensor, network: OffsetNetwork) -> None:
        """
        Args:
            trained: mean, spread and count of the Gaussians are taken from it.
            features: [T,F] of the training frames.
            network: trained.
        """
        super().__init__("reduced", features, features.shape[1], trained.count)
        self.offsets, self.vertices = network, features.new_zeros(0)

    def show(self, vertices: Tensor) -> None:
        """Choose a frame by its vertices [V,3]."""
        self.vertices = vertices[None]

    def weights(self, features: Tensor) -> Tensor:
        """The standardized features [B,F]."""
        return self.standardized(features)

    def forward(self, weights: Tensor) -> Tensor:
        """Offsets [B,M,CHANNELS] for standardized features [B,F]."""
        found: Tensor = self.offsets(weights, self.vertices)
        return found


def recorded(folder: Path, options: SyntheticOptions) -> Capture:
    """A performance in `folder` whose last part is held out."""
    write_exact_capture(folder, SyntheticScene(options))
    with np.load(folder / TRACK_FILE) as stored:
        track = dict(stored)
    track["is_test"] = np.arange(options.frames) >= HELD_OUT_FROM * options.frames
    np.savez(folder / TRACK_FILE, **track)
    return Capture.load(folder)


def shown_by(
    blendshapes: ByNetwork, avatar: Avatar, frames: TrainingFrames, index: int
) -> tuple[np.ndarray, np.ndarray]:
    """Render image `index` of an avatar with these blendshapes."""
    blendshapes.show(frames.vertices(index))
    return render_avatar_frame(avatar, frames, index)


def measure(
    capture: Capture, base: TrainConfig, rows: Sequence[str], network: LpipsNetwork | None
) -> Iterator[tuple[str, dict[str, float]]]:
    """Train each row on one capture; its name and scores of the held-out frames."""
    person, frames = prepared_frames(capture, load_head(), base)
    test = load_frames(capture, capture.test_indices, base.size, person)
    scorer = Scorer(person, capture, network, None)
    score = partial(scorer.score, "held out", frames=test, indices=capture.test_indices)
    for name in rows:
        rig = Rig(name, ROWS[name] | {"compile_at": 1.0}, limits=True)
        trainer: Trainer = rig.trainer(person, frames, base)
        avatar = trainer.avatar
        with ops.one_thread():
            learn_torso(avatar, frames.states)
            for step in range(base.steps):
                trainer.step(step / base.steps)
        avatar.requires_grad_(False)
        networks = trainer.part(OffsetNetworkTraining)
        if networks is not None and networks.network is not None:
            bases = avatar.blendshapes
            offsets = networks.network.requires_grad_(False)
            avatar.blendshapes = by_network = ByNetwork(bases, frames.features, offsets)
            yield name, score(renderer=partial(shown_by, by_network, avatar))
            avatar.blendshapes = bases
            trainer.bake()
            name = f"{name}, compiled"
        yield name, score(renderer=partial(render_avatar_frame, avatar))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--gaussians", type=int, default=8000)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--lpips", help="alex, vgg, squeeze or an ONNX file")
    given = parser.parse_args()
    network = load_lpips(given.lpips) if given.lpips else None
    base = TrainConfig(size=given.size, gaussians=given.gaussians, steps=given.steps, coarse_share=0.0)
    for seed in given.seeds:
        options = SyntheticOptions(
            seed=seed, width=given.size, height=given.size, frames=given.frames, focal=2.0, yaw=8.0, noise=0.0,
            exposure_drift=0.0, held_out=True, wrinkles=True, person="random",
        )  # fmt: skip
        with TemporaryDirectory() as temporary:
            capture = recorded(Path(temporary) / "capture", options)
            for name, values in measure(capture, replace(base, seed=seed), given.rows, network):
                chosen = {k: v for k, v in values.items() if k.startswith(("psnr", "lpips"))}
                print(seed, name, *(f"{key} {value:.4g}" for key, value in chosen.items()), sep=" | ", flush=True)


if __name__ == "__main__":
    main()
