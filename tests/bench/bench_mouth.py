"""The mouth driven wider than training showed, with and without a mesh layer, against the truth of synthetic people.

    python -m tests.bench.bench_mouth --people noor kofi

Avatars are trained on a clip in which the mouth opens to HELD_OUT_JAW and lips hardly bare teeth. Then the same person
opens the mouth, smiles and bares the teeth one after another in front of a still camera (the performance "sweep"),
and the avatars are rendered with the true expressions, in poses refined from the true ones against each avatar: the
figures are PSNR of the mouth region and of its part between the lips, by expression. Clips, captures, avatars and
sheets (truth, without, with) stay in the work folder; all but the sheets are reused.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch

from avatar.common.image_io import write_image
from avatar.data.image_regions import region_masks
from avatar.data.training_frames import HeadStates, TrainingFrames, over_white
from avatar.evaluation.frame_rendering import render_avatar_frame
from avatar.evaluation.metrics import psnr
from avatar.head import load_head
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import load_avatar, save_avatar
from avatar.refine.clip import refine_clip
from avatar.refine.options import RefineOptions
from avatar.training.config import TrainConfig
from avatar.training.fit import fit
from avatar.types import Camera
from capture.synthetic.options import SyntheticOptions
from capture.synthetic.scripts import HELD_OUT_JAW
from capture.synthetic.truth import SyntheticTruth
from capture.synthetic.video import SyntheticScene
from tests.bench.bench_truth import captured, filmed

SIZE = 256  # pixels, of training and of the compared images
#: Expressions that are compared, and the weight from which on; jawOpen alone is wider than in training.
COMPARED = {"jawOpen": HELD_OUT_JAW + 0.1, "mouthSmileLeft": 0.6, "mouthUpperUpLeft": 0.5, "mouthLowerDownLeft": 0.5}
SWEEP_FRAMES = 480
SWEPT = 0.66  # of the sweep: the head is still
#: Landmarks of the inner edges of the lips, around the opening.
INNER_RING = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
#: Pixels around the face of the cropped images relative to the distance of its outer landmarks.
MARGIN = 1.5
SHEET_FRAMES = 6


def compared_rows(expression: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Rows of the weights [T,E] of a sweep in which each expression of COMPARED is large."""
    still = np.arange(len(expression)) < SWEPT * len(expression)
    columns = {name: expression[:, list(names).index(name)] for name in COMPARED}
    return {name: np.flatnonzero(still & (columns[name] > least)) for name, least in COMPARED.items()}


def trained(options: SyntheticOptions, work: Path, *, layer: bool, steps: int) -> Avatar:
    """An avatar of the frames of a clip that are not held out, from `work` if it is there."""
    folder = filmed(options, work)
    path = work / f"{folder.name}-{steps}-{'with' if layer else 'without'}.avatar"
    if not path.is_file():
        config = TrainConfig(size=SIZE, gaussians=15000, steps=steps, layer=layer)
        save_avatar(path, fit(captured(folder), load_head(), config).avatar)
    return load_avatar(path)


class Sweep:
    """Frames of the compared expressions, cropped to the head."""

    def __init__(self, options: SyntheticOptions) -> None:
        still = replace(options, performance="sweep", held_out=False, frames=SWEEP_FRAMES, handheld=0.0)
        scene = SyntheticScene(still)
        self.truth: SyntheticTruth = scene.truth()
        found = compared_rows(self.truth.expression, self.truth.expression_names)
        self.names = np.concatenate([[name] * len(rows) for name, rows in found.items()])
        self.rows = np.concatenate(list(found.values()))
        points = self.truth.landmarks[0, self.rows]
        center, side = points.mean((0, 1)), int(MARGIN * np.ptp(points[0], axis=0).max())
        left, top = (int(value) for value in (center - side / 2).clip(0))
        side = min(side, options.width - left, options.height - top)
        frames = [scene.record(int(row))[0] for row in self.rows]
        box = slice(top, top + side), slice(left, left + side)
        self._rgb = torch.from_numpy(np.stack([frame.rgb[box] for frame in frames]))
        self._alpha = torch.from_numpy(np.stack([frame.matte[box] for frame in frames]))
        K = torch.from_numpy(self.truth.K[:1].copy())
        K[:, 0, 2] -= left
        K[:, 1, 2] -= top
        count = len(self.rows)
        view = torch.from_numpy(self.truth.world_to_cam[:1])
        self._camera = Camera(K.expand(count, 3, 3), view.expand(count, 4, 4), side, side)
        self.landmarks = (points - [left, top]) * (SIZE / side)

    def frames(self, avatar: Avatar) -> TrainingFrames:
        """The frames in the true poses and expressions."""
        count = len(self.rows)
        states = HeadStates.of(self.truth.params()[torch.from_numpy(self.rows)], avatar.head)
        # Far apart in time: the motion between these frames is not smooth.
        time, step = 10.0 * np.arange(count), torch.arange(count)
        full = TrainingFrames(self._rgb, self._alpha, self._camera, states, step, time, torch.ones(count))
        return full.resized(SIZE / self._camera.width)


def mouths(avatar: Avatar, sweep: Sweep) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
    """PSNR [n,2] of the mouth and between the lips in the frames of `sweep`, and the images of avatar and truth."""
    frames = sweep.frames(avatar)
    frames = replace(frames, states=refine_clip(avatar, frames, RefineOptions(expressions=False)).states)
    values, shown, true = [], [], []
    for index in range(len(frames)):
        predicted, _ = render_avatar_frame(avatar, frames, index)
        alpha = frames.alpha[index].numpy()
        image = over_white(frames.rgb[index].numpy(), alpha)
        masks = region_masks(sweep.landmarks[index], alpha / 255)["mouth"], between_lips(sweep.landmarks[index])
        values.append([psnr(predicted, image, mask) for mask in masks])
        shown.append(predicted)
        true.append(image)
    return np.array(values), shown, true


def between_lips(landmarks: np.ndarray) -> np.ndarray:
    """Mask [SIZE,SIZE] of the opening of the mouth, from landmarks [478,2] in pixels."""
    canvas = np.zeros((SIZE, SIZE), np.uint8)
    return cv2.fillPoly(canvas, [landmarks[list(INNER_RING)].round().astype(np.int32)], 1) > 0


def sheet(rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Some images of each row side by side, uint8 BGR."""
    chosen = np.unique(np.linspace(0, len(rows[0]) - 1, min(SHEET_FRAMES, len(rows[0]))).astype(int))
    image = np.concatenate([np.concatenate([row[k] for k in chosen], 1) for row in rows])
    return (image[..., ::-1] * 255).clip(0, 255).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", nargs="+", default=["noor", "kofi"])
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--frames", type=int, default=240, help="of the clip to train on")
    parser.add_argument("--work", type=Path, default=Path("bench"))
    args = parser.parse_args()
    print(
        "| person | expression | frames | mouth: without, with a layer | between the lips |\n|---|---|---|---|---|",
        flush=True,
    )
    for person in args.people:
        options = SyntheticOptions(person=person, held_out=True, frames=args.frames)
        sweep = Sweep(options)
        avatars = [trained(options, args.work, layer=layer, steps=args.steps) for layer in (False, True)]
        (without, plain, true), (layered, shown, _) = (mouths(avatar, sweep) for avatar in avatars)
        write_image(args.work / f"{person}.mouth.png", sheet([true, plain, shown]))
        for name in (*COMPARED, ""):
            rows = np.flatnonzero(sweep.names == name) if name else np.arange(len(without))
            low, high = (np.nanmean(values[rows], 0) for values in (without, layered))
            cells = " | ".join(f"{a:.2f}, {b:.2f} ({b - a:+.2f})" for a, b in zip(low, high, strict=True))
            print(f"| {person} | {name or 'all'} | {len(rows)} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
