"""The mouth driven wider than training showed, with and without a mesh layer, against the truth of synthetic people.

    python -m tests.bench.bench_mouth --people noor kofi --size 512

Each person opens the mouth to HELD_OUT_JAW before the last fifth of the clip and further in it, with whole lips and
teeth that training hardly saw. Avatars are trained on the frames before. The others are rendered with their true
expressions, because the tracker sees half of such an opening, in poses that are refined against each avatar; the PSNR
of the mouth region is that of frames whose true jaw is wider than any training frame's.
Clips, captures, avatars and sheets (truth, without, with) stay in the work folder; clips and captures are reused.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from avatar.common.image_io import write_image
from avatar.data.capture_folder import Capture
from avatar.data.image_regions import region_masks
from avatar.data.training_frames import HeadStates, load_frames, over_white
from avatar.evaluation.frame_rendering import render_avatar_frame
from avatar.evaluation.metrics import psnr
from avatar.head import load_head
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import save_avatar
from avatar.refine.clip import refine_clip
from avatar.refine.options import RefineOptions
from avatar.training.config import TrainConfig
from avatar.training.fit import fit
from capture.synthetic.folder import TRUTH_FILE
from capture.synthetic.options import SyntheticOptions
from capture.synthetic.scripts import HELD_OUT_JAW
from capture.synthetic.truth import SyntheticTruth
from tests.bench.bench_truth import captured, filmed

SIZE = 256  # pixels, of training and of the compared images
SHEET_FRAMES = 5


def wide_rows(capture: Capture, truth: SyntheticTruth) -> np.ndarray:
    """Held-out rows of `capture` whose true jawOpen is above that of every training frame and HELD_OUT_JAW."""
    jaw = truth.expression[capture.track["frame_number"], truth.expression_names.index("jawOpen")]
    widest = max(float(jaw[capture.train_indices].max()), HELD_OUT_JAW)
    rows = np.asarray(capture.test_indices)
    return rows[jaw[rows] > widest]


def trained(capture: Capture, *, layer: bool, steps: int) -> Avatar:
    """An avatar of the training frames of `capture`."""
    config = TrainConfig(size=SIZE, gaussians=15000, steps=steps, layer=layer)
    return fit(capture, load_head(), config).avatar


def mouths(
    avatar: Avatar, capture: Capture, truth: SyntheticTruth, rows: np.ndarray
) -> tuple[list[float], list[np.ndarray], list[np.ndarray]]:
    """PSNR of the mouth at the frames `rows`, poses refined against `avatar`, and the images of avatar and truth."""
    frames = load_frames(capture, capture.test_indices, SIZE, avatar.head)
    expression = torch.from_numpy(truth.expression[capture.track["frame_number"][capture.test_indices]])
    states = HeadStates.of(replace(frames.states.params, expression=expression), avatar.head)
    frames = replace(frames, states=states)
    frames = replace(frames, states=refine_clip(avatar, frames, RefineOptions()).states)
    values, shown, true = [], [], []
    for index in np.flatnonzero(np.isin(capture.test_indices, rows)):
        predicted, _ = render_avatar_frame(avatar, frames, int(index))
        image = over_white(frames.rgb[index].numpy(), frames.alpha[index].numpy())
        landmarks = capture.track["landmarks"][capture.test_indices[index]]
        scaled = landmarks * (frames.camera.width / capture.metadata["width"])
        values.append(psnr(predicted, image, region_masks(scaled, frames.alpha[index].numpy() / 255)["mouth"]))
        shown.append(predicted)
        true.append(image)
    return values, shown, true


def sheet(rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Some images of each row side by side, uint8 BGR."""
    chosen = np.unique(np.linspace(0, len(rows[0]) - 1, min(SHEET_FRAMES, len(rows[0]))).astype(int))
    image = np.concatenate([np.concatenate([row[k] for k in chosen], 1) for row in rows])
    return (image[..., ::-1] * 255).clip(0, 255).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", nargs="+", default=["noor", "kofi"])
    parser.add_argument("--size", type=int, default=512, help="longer side of the clips, pixels")
    parser.add_argument("--frames", type=int, default=240)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--work", type=Path, default=Path("bench"))
    args = parser.parse_args()
    print("| person | frames | without a layer | with a layer | gain |\n|---|---|---|---|---|", flush=True)
    for person in args.people:
        width = 2 * round(args.size * 0.75 / 2)
        folder = filmed(
            SyntheticOptions(person=person, held_out=True, width=width, height=args.size, frames=args.frames), args.work
        )
        capture = captured(folder)
        truth = SyntheticTruth.load(folder / TRUTH_FILE)
        rows = wide_rows(capture, truth)
        avatars = [trained(capture, layer=layer, steps=args.steps) for layer in (False, True)]
        for avatar, name in zip(avatars, ("without", "with"), strict=True):
            save_avatar(args.work / f"{folder.name}.{name}.avatar", avatar)
        (without, plain, true), (layered, with_layer, _) = (mouths(avatar, capture, truth, rows) for avatar in avatars)
        write_image(args.work / f"{folder.name}.mouth.png", sheet([true, plain, with_layer]))
        low, high = float(np.mean(without)), float(np.mean(layered))
        print(f"| {person} | {len(rows)} | {low:.2f} | {high:.2f} | {high - low:+.2f} |", flush=True)


if __name__ == "__main__":
    main()
