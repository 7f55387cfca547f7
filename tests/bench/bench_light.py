"""Light of the clip and other lights, on synthetic people whose albedo and images in other lights are known.

    python -m tests.bench.bench_light --seeds 0 1 2

Each person is filmed in strong light from the left and from the right, with the same motion and the true track. Of both
clips an avatar is trained with constant colors and one with `light = true`. Printed for each person:

- the difference of the two avatars in white light, on the head without clothes: the root mean square of the difference
  of logarithms of linear light, after one factor; with constant colors, with the light estimated from them afterwards,
  and with the light learned in training.
- PSNR against images of the person in light from below, which no training saw, at the best common exposure: of the
  avatar from the left and of that from the right, not relit, relit by the estimated and by the learned light.
- processor seconds of the trainings with constant colors and with light.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

from avatar import ops
from avatar.data.capture_folder import Capture
from avatar.head import load_head
from avatar.model.avatar import Avatar
from avatar.model.parts.light.head_light import GAMMA
from avatar.model.parts.light.lights import Light, light_named
from avatar.model.parts.light.relight import Relighting, relit
from avatar.rendering.animator import Animator
from avatar.training.config import TrainConfig
from avatar.training.fit import fit
from avatar.types import Camera
from capture.synthetic.exact_capture import write_exact_capture
from capture.synthetic.options import SyntheticOptions
from capture.synthetic.video import SyntheticScene
from tests.support.room_light import room_coefficients

CLIPS, UNSEEN = ("left", "right"), "below"
_SHOWN = (0.02, 0.15, 0.31, 0.51, 0.68, 0.85)  # of the length of the clips: the frames that are compared
_DARK = 1e-3  # least linear light whose logarithm is taken

Shown = list[tuple[Tensor, Tensor]]


def images(avatar: Avatar, capture: Capture, rows: list[int], size: int) -> Shown:
    """Color [H,W,3] and the mask [H,W] of the head without clothes, at `rows` of a capture."""
    stored = capture.metadata["cameras"][0]
    K, pose = (torch.tensor(stored[key], dtype=torch.float32)[None] for key in ("K", "world_to_cam"))
    animator, found = Animator(avatar, size, size, (0, 0, 0)), []
    for row in rows:
        animator.render(capture.params(np.array([row])), Camera(K, pose, size, size))
        torso = animator.blend_features(avatar.rig.skin[:, None].repeat(1, 3))[..., 0]
        color = animator.rgb / animator.alpha.clamp_min(1e-3)[..., None]
        found.append((color.clone(), (animator.alpha > 0.95) & (torso < 0.2)))
    return found


def linear(colors: Tensor) -> Tensor:
    """Linear light of display colors."""
    return colors.clamp(0, 1) ** GAMMA


def difference(first: Shown, second: Shown) -> float:
    """Root mean square of the difference of logarithms of linear light after one factor, on the masks of the first."""
    logarithms = [
        (linear(one[mask]).clamp_min(_DARK).log() - linear(other[mask]).clamp_min(_DARK).log())
        for (one, mask), (other, _) in zip(first, second, strict=True)
    ]
    return float(torch.cat(logarithms).std(correction=0))


def psnr(shown: Shown, truths: list[Tensor], masks: list[Tensor]) -> float:
    """Over the pixels of the masks, after the best common exposure in linear light."""
    pixels = linear(torch.cat([color[mask] for (color, _), mask in zip(shown, masks, strict=True)]))
    truth = torch.cat([image[mask] for image, mask in zip(truths, masks, strict=True)])
    errors = [((pixels * gain).clamp(0, 1) ** (1 / GAMMA) - truth).square().mean() for gain in np.geomspace(0.3, 3, 90)]
    return -10 * float(torch.stack(errors).min().log10())


def measure(options: SyntheticOptions, config: TrainConfig, folder: Path) -> None:
    """Film and train one person; prints its lines."""
    rows = [int(share * options.frames) for share in _SHOWN]
    scenes = {name: SyntheticScene(replace(options, light=name)) for name in (*CLIPS, UNSEEN)}
    captures = [write_exact_capture(folder / name, scenes[name]) for name in CLIPS]
    truths = [torch.from_numpy(scenes[UNSEEN].frame(row).copy()).float() / 255 for row in rows]
    avatars: dict[bool, list[Avatar]] = {}
    for light in (False, True):
        started = time.process_time()
        with ops.one_thread():
            avatars[light] = [
                fit(capture, load_head(), replace(config, light=light)).avatar.requires_grad_(False)
                for capture in captures
            ]
        print(options.seed, "training with light" if light else "training", f"{time.process_time() - started:.0f} s")
    white = Relighting(light_named("white"))
    other = Relighting(Light(UNSEEN, torch.from_numpy(room_coefficients(UNSEEN)).float()))
    plain = [images(avatar, captures[0], rows, config.size) for avatar in avatars[False]]
    print(options.seed, "constant colors", f"difference {difference(*plain):.2f}", end=", ")
    print("unseen light", *(f"{psnr(each, truths, [mask for _, mask in each]):.2f}" for each in plain), flush=True)
    for name, chosen in (("estimated", avatars[False]), ("learned", avatars[True])):
        in_white = [images(relit(avatar, white), captures[0], rows, config.size) for avatar in chosen]
        below = [images(relit(avatar, other), captures[0], rows, config.size) for avatar in chosen]
        figures = (
            psnr(each, truths, [mask for _, mask in first]) for each, first in zip(below, plain, strict=True)
        )  # fmt: skip
        print(options.seed, f"{name} light", f"difference {difference(*in_white):.2f}", end=", ")
        print("unseen light", *(f"{figure:.2f}" for figure in figures), flush=True)


def main() -> None:
    """See the docstring of the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--gaussians", type=int, default=8000)
    parser.add_argument("--steps", type=int, default=900)
    given = parser.parse_args()
    config = TrainConfig(size=given.size, gaussians=given.gaussians, steps=given.steps, refine_at=1.0)
    for seed in given.seeds:
        options = SyntheticOptions(
            seed=seed, person="random", width=given.size, height=given.size, frames=given.frames, noise=0.0,
            exposure_drift=0.0, handheld=0.0, yaw=40.0,
        )  # fmt: skip
        with TemporaryDirectory() as folder:
            measure(options, replace(config, seed=seed), Path(folder))


if __name__ == "__main__":
    main()
