"""Distance of tracks from the truth of synthetic captures: render, capture with the real networks, score, one table.

    python -m tests.bench.bench_truth --people noor kofi --size 512 --frames 240
    python -m tests.bench.bench_truth --causes 1 2 3 # a row for each cause of errors, of random people

Below the tracks of each person are baselines, which must be worse by the same metrics, and "exact landmarks": the
tracker alone, with the true landmarks as input. Clips and captures stay in the work folder and are reused. The people
are synthetic: the figures compare trackers, they do not measure accuracy on people.
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch

from avatar.common.image_io import read_image
from avatar.data.capture_folder import METADATA_FILE, Capture, frame_name
from avatar.data.training_frames import load_frames
from avatar.errors import HeadsplatError
from avatar.head import load_head
from avatar.refine.clip import refine_clip
from avatar.refine.options import RefineOptions
from avatar.refine.track import RefinedTrack
from avatar.training.config import TrainConfig
from avatar.training.fit import fit
from avatar.types import HeadParams
from capture import CaptureOptions, run_capture
from capture.faces.landmarks import HeadDetector
from capture.synthetic.folder import MATTES_DIR, TRUTH_FILE, VIDEO_FILE, write_synthetic
from capture.synthetic.options import SyntheticOptions
from capture.synthetic.truth import SyntheticTruth
from tests.bench.exact_landmarks import exact_capture
from tests.bench.track_comparison import first_rows, score_tracks
from tests.bench.track_score import TruthScore, matte_iou, table
from tests.bench.truth_causes import report
from tests.support.crops import crop_of_row

REFINED_FILE = "refined.npz"
TEST_FRACTION = 0.2
WRONG_FOCAL = 1.3  # relative to the truth: the baseline of a wrong focal length
MATTE_STEP = 10  # frames between two scored mattes


def tracks(capture: Capture) -> dict[str, HeadParams]:
    """Every track of `capture` by name, one row per time step: of the landmarks, and refined if present."""
    rows = first_rows(capture)
    params = capture.params(rows)
    found = {"landmarks": params}
    path = capture.root / REFINED_FILE
    if path.is_file():
        with np.load(path, allow_pickle=False) as stored:
            refined = (
                torch.from_numpy(stored[name][rows]).float() for name in ("expression", "joint_rot", "translation")
            )
            found["refined"] = HeadParams(params.identity, *refined)
    return found


def score_capture(capture: Capture, folder: Path, rows: str = "all") -> dict[str, TruthScore]:
    """Scores of every track of `capture` against the truth in `folder`, baselines last; `rows`: all, train or test."""
    truth = SyntheticTruth.load(folder / TRUTH_FILE)
    scores = score_tracks(capture, truth, tracks(capture), rows, HeadDetector())
    overlap = _matte_iou(capture, folder)
    return {name: replace(each, matte_iou=overlap) for name, each in scores.items()}


def _matte_iou(capture: Capture, folder: Path) -> float:
    """Mean IoU of mattes over some frames of a phone clip; nan for a folder of calibrated cameras."""
    if not (folder / MATTES_DIR).is_dir():
        return float("nan")
    rows = range(0, len(capture), MATTE_STEP)
    crops = [crop_of_row(capture.metadata, capture.track["principal_point"][row]) for row in rows]
    size = max(capture.metadata["width"], capture.metadata["height"])
    _, found = capture.images(rows, size)
    true = [_true_matte(folder, int(number)) for number in capture.track["frame_number"][rows]]
    return float(np.mean([matte_iou(a, crop.apply(b)) for a, crop, b in zip(found, crops, true, strict=True)]))


def _true_matte(folder: Path, number: int) -> np.ndarray:
    matte = read_image(folder / MATTES_DIR / frame_name(number), cv2.IMREAD_GRAYSCALE)
    if matte is None:
        raise HeadsplatError(f"{folder}: its matte of frame {number} is missing; make it again with --overwrite")
    return matte


def filmed(options: SyntheticOptions, work: Path) -> Path:
    """The folder of a synthetic clip in `work`, made if it does not exist."""
    held = "-held-out" if options.held_out else ""
    name = f"{options.person}-{options.performance}{held}-{options.width}x{options.height}-{options.frames}"
    folder = work / f"{name}-cam{options.cameras}"
    if not folder.is_dir():
        write_synthetic(folder, options)
    return folder


def captured(folder: Path, focal: float | None = None) -> Capture:
    """The capture of a clip or of a folder of calibrated cameras; `focal` in pixels, None: it is estimated."""
    out = folder.with_name(f"{folder.name}.capture" if focal is None else f"{folder.name}-focal.capture")
    if (out / METADATA_FILE).is_file():
        return Capture.load(out)
    source = folder / VIDEO_FILE if (folder / VIDEO_FILE).is_file() else folder
    return run_capture(source, out, CaptureOptions(test_fraction=TEST_FRACTION, focal=focal))


def refine(capture: Capture, steps: int, seed: int = 0) -> None:
    """Train an avatar on `capture`, refine every frame against it, frozen, and save the track in the capture folder.

    Initial poses are the refined ones for training frames, those of the landmarks for held-out frames.
    """
    result = fit(capture, load_head(), TrainConfig(size=256, gaussians=15000, steps=steps, seed=seed))
    avatar, track = result.avatar, result.refined_track
    assert track is not None
    parts = []
    for rows, states in (
        (capture.train_indices, track.states(capture, capture.train_indices, avatar.head)),
        (capture.test_indices, None),
    ):
        frames = load_frames(capture, rows, TrainConfig.size, avatar.head)
        found = refine_clip(avatar, frames if states is None else replace(frames, states=states), RefineOptions())
        parts.append(RefinedTrack.of(capture, rows, found.states, found.flagged, avatar.head))
    training, held_out = parts
    arrays = {
        name: np.where(
            training.refined.reshape(-1, *[1] * (getattr(training, name).ndim - 1)),
            getattr(training, name),
            getattr(held_out, name),
        )
        for name in ("refined", "flagged", "expression", "joint_rot", "translation", "torso_rot", "torso_translation")
    }
    arrays["refined"] = training.refined | held_out.refined
    RefinedTrack(capture.fingerprint, **arrays).save(capture.root)


def score_folder(folder: Path, rows: str, steps: int) -> dict[str, TruthScore]:
    """All rows of one synthetic capture; for a phone clip with exact landmarks and a wrong focal length at the end."""
    capture = captured(folder)
    if steps and not (capture.root / REFINED_FILE).is_file():
        refine(capture, steps)
    scores = score_capture(capture, folder, rows)
    if (folder / VIDEO_FILE).is_file():
        exact = exact_capture(capture, SyntheticTruth.load(folder / TRUTH_FILE))
        scores["exact landmarks"] = score_capture(exact, folder, rows)["landmarks"]
        focal = float(SyntheticTruth.load(folder / TRUTH_FILE).K[0, 0, 0]) * WRONG_FOCAL
        scores["landmarks, wrong focal"] = score_capture(captured(folder, focal), folder, rows)["landmarks"]
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", nargs="+", default=["noor", "kofi", "ines"])
    parser.add_argument("--performance", nargs="+", default=["demo"])
    parser.add_argument("--held-out", action="store_true", help="whole expressions and wide turns only at the end")
    parser.add_argument("--size", type=int, default=512, help="longer side of the images, pixels")
    parser.add_argument("--frames", type=int, default=240)
    parser.add_argument("--rows", choices=("all", "train", "test"), default="all")
    parser.add_argument("--cameras", nargs="+", type=int, default=[1], help="1 is a phone, more are calibrated")
    parser.add_argument("--steps", type=int, default=1500, help="of the avatar frames are refined against; 0: none")
    parser.add_argument("--work", type=Path, default=Path("bench"))
    parser.add_argument("--causes", nargs="+", type=int, metavar="SEED", help="of random people: a row a cause")
    args = parser.parse_args()
    if args.causes:
        print(report(args.causes))
        return
    for person, performance, cameras in itertools.product(args.people, args.performance, args.cameras):
        options = SyntheticOptions(
            person=person,
            performance=performance,
            held_out=args.held_out,
            width=2 * round(args.size * 0.75 / 2),
            height=args.size,
            frames=args.frames,
            cameras=cameras,
        )
        folder = filmed(options, args.work)
        print(
            f"\n{folder.name}, {args.rows} frames\n\n{table(score_folder(folder, args.rows, args.steps))}", flush=True
        )


if __name__ == "__main__":
    main()
