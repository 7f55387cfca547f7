"""Wrinkles of combinations of expressions that training never showed: by blendshapes alone, and by local strain.

    python -m tests.bench.bench_wrinkles --seeds 0 1 2 -o FOLDER

A synthetic person, whose lines are as deep as the true mesh is compressed, makes five extreme expressions one after
another; these frames train. Mixtures of them are held out. The true track is used. The figure is the mean absolute
difference of the high-passed images (minus a Gaussian blur), times 255, over the pixels where the person with wrinkles
differs from the same person without: of the trained and of the held-out frames. A sheet shows truth, blendshapes and
strain for each held-out mixture, and the foreheads twice as large.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import cv2
import numpy as np
import torch

from avatar.common.image_io import write_image
from avatar.data.capture_folder import TRACK_FILE, Capture
from avatar.data.training_frames import load_frames, over_white
from avatar.evaluation.frame_rendering import render_avatar_frame
from avatar.head import load_head
from avatar.model.avatar import Avatar, baked
from avatar.training.config import TrainConfig
from avatar.training.fit import fit
from capture.synthetic.exact_capture import write_exact_capture
from capture.synthetic.options import SyntheticOptions
from capture.synthetic.scripts import Face, Script
from capture.synthetic.video import SyntheticScene

Rendered = tuple[np.ndarray, np.ndarray]

#: The trained expressions.
EXTREMES: tuple[dict[str, float], ...] = (
    {"browInnerUp": 1.0, "browOuterUp": 1.0},
    {"browDown": 1.0, "eyeSquint": 0.6},
    {"mouthSmile": 1.0, "cheekSquint": 0.8},
    {"noseSneer": 1.0, "mouthUpperUp": 0.5},
    {"jawOpen": 0.8},
)
#: The held-out mixtures, as indices of EXTREMES.
MIXTURES = ((0, 2), (0, 3), (2, 4), (1, 4), (0, 4), (1, 2))
_HEAD = np.array([[0, 0, 0, 0], [0.25, 8, 2, 0], [0.5, -8, -2, 0], [0.75, 6, 0, 0], [1, 0, 0, 0]], np.float64)
_PER_FACE, _SIGMA, _VISIBLE = 6, 2.5, 0.02  # frames, pixels, of the luminance


def script() -> Script:
    """The extremes, then the mixtures, with a little motion of the head and no speech."""
    parts = [*EXTREMES, *({**EXTREMES[a], **EXTREMES[b]} for a, b in MIXTURES)]
    faces: tuple[Face, ...] = tuple(
        (k / len(parts), (k + 1) / len(parts), 1.0, weights) for k, weights in enumerate(parts)
    )
    return Script(_HEAD, faces, ((0.0, 1.0),))


def recorded(folder: Path, options: SyntheticOptions) -> Capture:
    """The performance of `script` in `folder` with its true track; the mixtures are held out."""
    with patch("capture.synthetic.video.script_named", lambda name: script()):
        write_exact_capture(folder, SyntheticScene(options))
    with np.load(folder / TRACK_FILE) as stored:
        track = dict(stored)
    track["is_test"] = np.arange(options.frames) >= _PER_FACE * len(EXTREMES)
    np.savez(folder / TRACK_FILE, **track)
    return Capture.load(folder)


def high_pass(image: np.ndarray) -> np.ndarray:
    """An image [H,W,3] minus its Gaussian blur."""
    return image - np.asarray(cv2.GaussianBlur(image, (0, 0), _SIGMA))


def images(capture: Capture, size: int, avatar: Avatar | None = None) -> list[Rendered]:
    """Color over white and alpha of all frames: of the capture, or as an avatar shows them."""
    rows = np.arange(len(capture.track["is_test"]))
    identity = torch.from_numpy(np.asarray(capture.track["identity"], np.float32))
    person = baked(load_head(), identity) if avatar is None else avatar.head
    frames = load_frames(capture, rows, size, person)
    if avatar is not None:
        return [render_avatar_frame(avatar, frames, int(row)) for row in rows]
    pairs = ((frames.rgb[row].numpy(), frames.alpha[row].numpy()) for row in rows)
    return [(over_white(rgb, alpha), alpha) for rgb, alpha in pairs]


def error(found: list[Rendered], truth: list[Rendered], plain: list[Rendered], rows: np.ndarray) -> float:
    """Mean difference of the high-passed images on the wrinkles, times 255."""
    total, count = 0.0, 0
    for row in rows:
        wrinkled = np.abs(high_pass(truth[row][0]) - high_pass(plain[row][0])).mean(-1) > _VISIBLE
        away = np.abs(high_pass(found[row][0]) - high_pass(truth[row][0])).mean(-1)
        total, count = total + float(away[wrinkled].sum()), count + int(wrinkled.sum())
    return 255 * total / max(count, 1)


def sheet(columns: list[list[Rendered]], rows: list[int]) -> np.ndarray:
    """A row for each frame of `rows`: the image of each column, then the forehead of each, twice as large."""
    lines = []
    for row in rows:
        whole = [column[row][0] for column in columns]
        height, width = whole[0].shape[:2]
        crop = slice(height // 8, height // 8 + height // 2), slice(width // 4, width // 4 + width // 2)
        near = [cv2.resize(image[crop], (width, height), interpolation=cv2.INTER_CUBIC) for image in whole]
        lines.append(np.concatenate([*whole, *near], 1))
    return (np.concatenate(lines).clip(0, 1) * 255 + 0.5).astype(np.uint8)


def measure(seed: int, config: TrainConfig, folder: Path) -> None:
    """Train and score one person; prints a line for each kind of avatar and writes the sheet."""
    count = _PER_FACE * (len(EXTREMES) + len(MIXTURES))
    options = SyntheticOptions(
        seed=seed, width=config.size, height=config.size, frames=count, noise=0.0, exposure_drift=0.0, handheld=0.0,
        focal=2.0, wrinkles=True,
    )  # fmt: skip
    with TemporaryDirectory() as temporary:
        capture = recorded(Path(temporary) / "with", options)
        # Without lines: the depth is zero everywhere.
        with patch("capture.synthetic.compression._DEPTH", 0.0):
            plain = images(recorded(Path(temporary) / "without", options), config.size)
        truth, held_out = images(capture, config.size), capture.track["is_test"]
        columns = [truth]
        for name, wrinkles in (("blendshapes", False), ("strain", True)):
            avatar = fit(capture, load_head(), replace(config, wrinkles=wrinkles, seed=seed)).avatar
            columns.append(images(capture, config.size, avatar))
            scores = (error(columns[-1], truth, plain, np.flatnonzero(rows)) for rows in (~held_out, held_out))
            print(seed, name, *(f"{score:.3f}" for score in scores), flush=True)
    middles = [_PER_FACE * (len(EXTREMES) + k) + _PER_FACE // 2 for k in range(len(MIXTURES))]
    write_image(folder / f"wrinkles-{seed}.png", sheet(columns, middles)[..., ::-1])


def main() -> None:
    """See the docstring of the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--gaussians", type=int, default=8000)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("-o", "--output", type=Path, default=Path("."))
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    config = TrainConfig(size=given.size, gaussians=given.gaussians, steps=given.steps, refine_at=1.0, coarse_share=0.0)
    print("person, avatar, high-pass error of trained and of held-out frames")
    for seed in given.seeds:
        measure(seed, config, given.output)


if __name__ == "__main__":
    main()
