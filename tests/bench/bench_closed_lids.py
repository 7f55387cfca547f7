"""Lids that close as no frame of the training showed, or as only some closures did, against held-out frames.

    python -m tests.bench.bench_closed_lids a.capture b.capture --lpips lpips_sq.onnx --work bench

A closure is a run of frames in which a blink exceeds the person's usual one by HELD of what is left to a full blink. Of
each capture two avatars are trained: `none` without any closure, `half` without every second one. Both are scored on
the frames of the closures held out from it in which both eyes are CLOSED, and on frames of open eyes that the capture
holds out, in poses refined against that avatar: PSNR and LPIPS of the eyes. Then they are driven from the front: how
far the eyes are open at blink .5 and 1 by a landmark network, relative to rest. Avatars stay in the work folder and
are reused; sheets (truth, rendered; rest, .5, 1) are written again.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from avatar import ops
from avatar.common.image_io import write_image
from avatar.data.capture_folder import Capture
from avatar.data.image_regions import LEFT_EYE_RING, RIGHT_EYE_RING, region_masks
from avatar.data.training_frames import TrainingFrames, load_frames, over_white
from avatar.evaluation.frame_rendering import render_avatar_frame
from avatar.evaluation.lpips import LpipsNetwork, load_lpips
from avatar.evaluation.metrics import psnr
from avatar.evaluation.response import BLINK, WEIGHTS, driven_images, measure_response
from avatar.head import load_head
from avatar.jobs.landmarker import landmarker
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import load_avatar, save_avatar
from avatar.refine.clip import refine_clip
from avatar.refine.corrected_pose import with_corrected_pose
from avatar.refine.measured_torso import with_measured_torso
from avatar.refine.options import RefineOptions
from avatar.training.config import TrainConfig
from avatar.training.fit import fit

TRAIN_SIZE = 256  # pixels, of training and of the compared images
HELD = 0.3
CLOSED = 0.4
SPLITS = ("none", "half")
MOST_FRAMES = 16  # scored, of one capture
#: Width and height in pixels of the crop around both eyes, and what of the width their corners span.
CROP = (192, 80)
SPAN = 0.78
#: Frames of closed eyes in a sheet, and driven blinks in it.
SHEET_FRAMES = 3
SHEET_BLINKS = (0, 2, 4)


def blinks(capture: Capture) -> np.ndarray:
    """Blinks [T,2] of both eyes: 0 is the person's usual one, 1 a full one."""
    weights = capture.track["expression"][:, [capture.expression_names.index(name) for name in BLINK]]
    usual = np.median(weights, 0)
    return np.asarray((weights - usual) / np.maximum(1 - usual, 1e-3))


def closures(blink: np.ndarray) -> np.ndarray:
    """Number [T] of the closure of each frame, counted from 0; -1 outside of closures."""
    inside = blink.max(1) > HELD
    starts = np.diff(np.r_[False, inside].astype(int)) == 1
    return np.where(inside, np.cumsum(starts) - 1, -1)


def spread(rows: np.ndarray) -> np.ndarray:
    """MOST_FRAMES of `rows`, or all, evenly spread."""
    return rows[np.unique(np.linspace(0, max(len(rows) - 1, 0), min(MOST_FRAMES, len(rows))).astype(int))]


def held_out(capture: Capture, split: str) -> tuple[Capture, np.ndarray, np.ndarray]:
    """The capture without the closures of a split, nor the frames beside them, and the rows to score: closed, open."""
    blink = blinks(capture)
    number = closures(blink)
    chosen = (number >= 0) & ((number % 2 == 0) | (split == "none"))
    left_out = np.convolve(chosen, [1, 1, 1], "same") > 0
    test = capture.track["is_test"]
    track = dict(capture.track) | {"is_test": left_out | test}
    closed = chosen & (blink.min(1) > CLOSED)
    return replace(capture, track=track), *(spread(np.flatnonzero(each)) for each in (closed, test & (number < 0)))


def trained(capture: Capture, path: Path, steps: int) -> Avatar:
    """The avatar of the training frames of `capture`, from `path` if it is there."""
    if not path.is_file():
        config = TrainConfig(size=TRAIN_SIZE, gaussians=15000, steps=steps)
        save_avatar(path, fit(capture, load_head(), config).avatar)
    avatar = load_avatar(path)
    avatar.requires_grad_(False)
    return avatar


def refined(avatar: Avatar, capture: Capture, rows: np.ndarray) -> TrainingFrames:
    """The frames `rows` in poses refined against the avatar."""
    frames = load_frames(capture, rows, TRAIN_SIZE, avatar.head)
    corrected = with_corrected_pose(avatar, capture, rows, frames.states)
    # Far apart in time: the motion between these frames is not smooth.
    states = with_measured_torso(avatar, capture, rows, corrected)
    frames = replace(frames, states=states, time=10.0 * np.arange(len(rows)))
    with ops.one_thread():
        return replace(frames, states=refine_clip(avatar, frames, RefineOptions(expressions=False)).states)


def around_eyes(image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The crop of an image [H,W,3] around both eyes, by landmarks [478,2+] in pixels."""
    points = landmarks[[*RIGHT_EYE_RING, *LEFT_EYE_RING], :2]
    low, high = points.min(0), points.max(0)
    scale = SPAN * CROP[0] / (high - low).max()
    shift = np.array(CROP) / 2 - scale * (low + high) / 2
    placed = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    return cv2.warpAffine(image, placed, CROP, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE).clip(0, 1)


def driven(avatar: Avatar) -> list[np.ndarray]:
    """The crops around the eyes of the avatar driven by BLINK at WEIGHTS, from the front."""
    images = [(image.astype(np.float32) / 255, points) for image, points in driven_images(avatar, avatar, BLINK)]
    return [around_eyes(image, images[0][1]) for image, _ in images]


def scores(
    avatar: Avatar, capture: Capture, rows: np.ndarray, network: LpipsNetwork | None
) -> tuple[tuple[str, str], list[np.ndarray]]:
    """PSNR and LPIPS of the eyes in the frames `rows`, and crops of some: truth, rendered."""
    if not len(rows):
        return ("-", "-"), []
    frames = refined(avatar, capture, rows)
    values, crops = [], []
    shown = set(np.linspace(0, len(rows) - 1, SHEET_FRAMES).astype(int).tolist())
    for index, row in enumerate(rows):
        predicted, _ = render_avatar_frame(avatar, frames, index)
        matte = frames.alpha[index].numpy()
        truth = over_white(frames.rgb[index].numpy(), matte).astype(np.float32)
        landmarks = capture.track["landmarks"][row] * (frames.camera.width / capture.metadata["width"])
        pair = [around_eyes(image, landmarks) for image in (truth, predicted)]
        distance = network.distance(*pair) if network else float("nan")
        values.append((psnr(predicted, truth, region_masks(landmarks, matte / 255)["eyes"]), distance))
        if index in shown:
            crops += pair
    eyes, lpips = np.nanmean(values, 0)
    return (f"{eyes:.2f}", f"{lpips:.4f}"), crops


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captures", nargs="+", type=Path)
    parser.add_argument("--splits", nargs="+", choices=SPLITS, default=SPLITS)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--lpips", help="alex, vgg, squeeze or an ONNX file")
    parser.add_argument("--work", type=Path, default=Path("bench"))
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    network = load_lpips(args.lpips) if args.lpips else None
    header = "capture", "closures trained", "closed eyes: frames", "PSNR", "LPIPS", "open eyes: PSNR", "LPIPS"
    header += "open at blink .5", "at 1"
    print("| " + " | ".join(header) + " |\n|" + "---|" * len(header), flush=True)
    for path in args.captures:
        whole = Capture.load(path)
        for split in args.splits:
            capture, *chosen = held_out(whole, split)
            name = f"{path.stem}-{split}"
            avatar = trained(capture, args.work / f"{name}.avatar", args.steps)
            (closed, images), (opened, _) = (scores(avatar, capture, rows, network) for rows in chosen)
            response = measure_response(avatar, landmarker())
            opening = response.eye_openness if response else [np.nan] * len(WEIGHTS)
            blinked = driven(avatar)
            images += [blinked[index] for index in SHEET_BLINKS]
            images += [np.ones_like(images[-1])] * (len(images) % 2)
            sheet = np.concatenate([np.concatenate(images[k : k + 2], 1) for k in range(0, len(images), 2)])
            write_image(args.work / f"{name}.png", (sheet[..., ::-1] * 255).astype(np.uint8))
            cells = len(chosen[0]), *closed, *opened, f"{opening[2]:.2f}", f"{opening[4]:.2f}"
            print(f"| {path.stem} | {split} | " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    main()
