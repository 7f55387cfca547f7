"""Wrinkles of combinations of expressions that training never showed: by blendshapes alone, and by local strain.

    python -m tests.bench.bench_wrinkles --seeds 0 1 2 -o FOLDER

A synthetic person, whose lines are as deep as the true mesh is compressed, makes five extreme expressions of the whole
face one after another; these frames train. Mixtures, the upper face of one and the lower face of another, are held out.
The true track is used. The figure is the mean absolute difference of the high-passed images (minus a Gaussian blur),
times 255, over the pixels where the person with wrinkles differs from the same person without: of the trained and of
the held-out frames. The same of the person without any lines, and of blendshapes that train on the mixtures too, tell
how much can be gained. A sheet shows truth, blendshapes, strain and the latter for each held-out mixture, and the
foreheads twice as large.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from unittest.mock import patch

import cv2
import numpy as np
import torch

from avatar import ops
from avatar.common.image_io import write_image
from avatar.data.capture_folder import TRACK_FILE, Capture
from avatar.data.training_frames import TrainingFrames, load_frames, over_white
from avatar.evaluation.frame_rendering import render_avatar_frame
from avatar.head import load_head
from avatar.model.avatar import Avatar, bake_identity
from avatar.training.config import TrainConfig
from avatar.training.fit import fit
from capture.synthetic.exact_capture import write_exact_capture
from capture.synthetic.options import SyntheticOptions
from capture.synthetic.scripts import Face, Script
from capture.synthetic.video import SyntheticScene

Rendered = tuple[np.ndarray, np.ndarray]

#: The trained expressions, each of the whole face: surprise, anger, joy, disgust, worry.
EXTREMES: tuple[dict[str, float], ...] = (
    {"browInnerUp": 1.0, "browOuterUp": 1.0, "eyeWide": 0.6, "jawOpen": 0.7},
    {"browDown": 1.0, "eyeSquint": 0.6, "mouthPress": 0.6, "mouthFrown": 0.6},
    {"mouthSmile": 1.0, "cheekSquint": 0.8, "eyeSquint": 0.3, "mouthUpperUp": 0.3},
    {"noseSneer": 1.0, "mouthUpperUp": 0.6, "browDown": 0.5, "cheekSquint": 0.5},
    {"browInnerUp": 0.8, "mouthPucker": 0.9},
)
#: The held-out mixtures, as indices of EXTREMES: brows and eyes of the first, the rest of the second.
MIXTURES = ((0, 2), (0, 3), (2, 0), (1, 0), (4, 2), (1, 4))
_UPPER = ("brow", "eye")
#: Avatars: name, whether with strain, whether the mixtures train, too.
KINDS = (("blendshapes", False, False), ("strain", True, False), ("blendshapes, all frames", False, True))
_TURN, _NOD = 8.0, 2.0  # degrees, of the head, to either side within each expression
_PER_FACE, _SIGMA, _VISIBLE = 6, 2.5, 0.02  # frames, pixels, of the color


def mixture(upper: dict[str, float], lower: dict[str, float]) -> dict[str, float]:
    """Weights by stem: of brows and eyes those of `upper`, of the rest those of `lower`."""
    above = {stem: weight for stem, weight in upper.items() if stem.startswith(_UPPER)}
    return above | {stem: weight for stem, weight in lower.items() if not stem.startswith(_UPPER)}


def script() -> Script:
    """The extremes, then the mixtures, without speech; the head turns once within each, so that only faces are new."""
    parts = [*EXTREMES, *(mixture(EXTREMES[a], EXTREMES[b]) for a, b in MIXTURES)]
    starts = np.linspace(0, 1, len(parts) + 1)
    bounds = starts.tolist()
    faces: tuple[Face, ...] = tuple(
        (start, end, 1.0, weights) for start, end, weights in zip(bounds, bounds[1:], parts, strict=False)
    )
    side = (-1.0) ** np.arange(len(starts))
    return Script(np.stack([starts, _TURN * side, _NOD * side, 0 * side], 1), faces, ((0.0, 1.0),))


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


def frames_of(capture: Capture, size: int, avatar: Avatar | None = None) -> TrainingFrames:
    """All frames of the capture, posed for the head of an avatar or for that of the person."""
    rows = np.arange(len(capture.track["is_test"]))
    identity = torch.from_numpy(np.asarray(capture.track["identity"], np.float32))
    return load_frames(capture, rows, size, bake_identity(load_head(), identity) if avatar is None else avatar.head)


def true_images(capture: Capture, size: int) -> list[Rendered]:
    """Color over white and alpha of all frames of the capture."""
    frames = frames_of(capture, size)
    pairs = ((frames.rgb[row].numpy(), frames.alpha[row].numpy()) for row in range(len(frames)))
    return [(over_white(rgb, alpha), alpha) for rgb, alpha in pairs]


def avatar_images(capture: Capture, size: int, avatars: list[Avatar]) -> list[list[Rendered]]:
    """Color over white and alpha of all frames of each avatar; prints the processor time of a frame of each."""
    each = [frames_of(capture, size, avatar) for avatar in avatars]
    found: list[list[Rendered]] = [[] for _ in avatars]
    seconds: list[list[float]] = [[] for _ in avatars]
    with ops.one_thread_each():
        for row in range(len(each[0])):  # in turn, so that what else the machine does meets all
            for k, (avatar, frames) in enumerate(zip(avatars, each, strict=True)):
                start = process_time()
                found[k].append(render_avatar_frame(avatar, frames, row))
                seconds[k].append(process_time() - start)
    print("milliseconds of processor time a frame:", *(f"{1e3 * np.median(times):.2f}" for times in seconds))
    return found


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


def trained(seed: int, config: TrainConfig, capture: Capture) -> list[Avatar]:
    """An avatar of each of KINDS; prints the processor time of their trainings."""
    avatars, seconds, held_out = [], [], capture.track["is_test"]
    for _, wrinkles, all_frames in KINDS:
        shown = {**capture.track, "is_test": held_out & (not all_frames)}
        start = process_time()
        given = replace(capture, track=shown)
        avatars.append(fit(given, load_head(), replace(config, wrinkles=wrinkles, seed=seed)).avatar)
        seconds.append(process_time() - start)
    print("seconds of processor time of the training:", *(f"{value:.1f}" for value in seconds))
    return avatars


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
        with patch("capture.synthetic.renderer._DEPTH", 0.0):
            plain = true_images(recorded(Path(temporary) / "without", options), config.size)
        truth, held_out = true_images(capture, config.size), capture.track["is_test"]
        avatars = trained(seed, config, capture)
        columns = avatar_images(capture, config.size, avatars)
    for name, images in zip(("no lines", *(kind[0] for kind in KINDS)), (plain, *columns), strict=True):
        scores = (error(images, truth, plain, np.flatnonzero(rows)) for rows in (~held_out, held_out))
        print(seed, name, *(f"{score:.3f}" for score in scores), flush=True)
    middles = [_PER_FACE * (len(EXTREMES) + k) + _PER_FACE // 2 for k in range(len(MIXTURES))]
    write_image(folder / f"wrinkles-{seed}.png", sheet([truth, *columns], middles)[..., ::-1])


def main() -> None:
    """See the docstring of the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--gaussians", type=int, default=16000)
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("-o", "--output", type=Path, default=Path("."))
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    config = TrainConfig(size=given.size, gaussians=given.gaussians, steps=given.steps, refine_at=1.0, coarse_share=0.0)
    print("person, avatar, high-pass error of trained and of held-out frames")
    for seed in given.seeds:
        measure(seed, config, given.output)


if __name__ == "__main__":
    main()
