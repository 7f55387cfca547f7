"""Rigs of published head avatars and ours on the same clips, poses, seconds and Gaussians; prints Markdown tables.

    python -m tests.bench.bench_rigs CLIP.mp4 ... --lpips lpips_sq.onnx

One avatar of ours refines the poses of all frames of a clip first; every rig trains on the same refined poses of the
training frames. Rows: "driven" has the tracker's poses of held-out frames, "refined" those refined by that one avatar.
The first rig takes `--steps`, and every other one the steps that take as long, from steps timed in turns, so that other
programs on the machine do not change the result. Values are medians over the seeds. Clips, captures, poses and the log
of all runs (`rigs.jsonl`) stay in the work folder; what the log has is not run again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from avatar import ops
from avatar.data.capture_folder import Capture
from avatar.data.training_frames import TrainingFrames, load_frames
from avatar.evaluation.frame_rendering import render_avatar_frame
from avatar.evaluation.landmarks import LandmarkDistance
from avatar.evaluation.lpips import LpipsNetwork, load_lpips
from avatar.evaluation.protocol import frames_per_second
from avatar.evaluation.scoring import Scorer
from avatar.head import load_head
from avatar.head.model import HeadModel
from avatar.jobs.landmarker import landmarker
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import load_avatar, save_avatar
from avatar.refine.clip import learn_torso, refine_clip
from avatar.refine.corrected_pose import with_corrected_pose
from avatar.refine.measured_torso import with_measured_torso
from avatar.refine.track import RefinedTrack
from avatar.training.config import TrainConfig
from avatar.training.fit import fit
from avatar.training.parts.local_bases import keep_local
from avatar.training.prepared_frames import prepared_frames
from avatar.training.trainer import Trainer
from capture import CaptureOptions
from tests.bench.bench_clips import captured
from tests.bench.rigs import RIGS, Rig

COLUMNS = {
    "psnr": "PSNR", "psnr_head": "head", "lpips": "LPIPS", "lpips_face": "LPIPS face", "landmarks": "landmarks %",
    "landmarks_mouth": "mouth %", "psnr_mouth": "mouth dB", "psnr_eyes": "eyes dB", "psnr_temporal": "temporal dB",
    "steps": "steps", "fps": "fps", "mb": "MB",
}  # fmt: skip
#: Steps of a rig that are timed at once, and rounds in which the rigs take turns; the fastest round counts.
TIMED_STEPS, ROUNDS = 30, 3
TRAINED, TESTED = "train", "test"


@dataclass(frozen=True)
class Clip:
    """A capture with the poses that all rigs share."""

    capture: Capture
    person: HeadModel
    train: TrainingFrames  # in refined poses
    driven: TrainingFrames  # held-out frames in the tracker's poses
    refined: TrainingFrames  # held-out frames in refined poses


def load_clip(capture: Capture, base: TrainConfig, work: Path) -> Clip:
    """The frames of a capture in poses that an avatar of ours refined, from `work` if they are there."""
    folder = work / f"{capture.root.name}.poses"
    reference = folder / "reference.avatar"
    if not reference.is_file():
        _refine(capture, base, folder, reference)
    avatar = load_avatar(reference)
    trained_on, tested = (RefinedTrack.load(replace(capture, root=folder / name)) for name in (TRAINED, TESTED))
    assert trained_on is not None and tested is not None
    person, frames = prepared_frames(capture, load_head(), base)
    rows, held = capture.train_indices, capture.test_indices
    train = replace(frames, states=trained_on.states(capture, rows, person))
    test = load_frames(capture, held, base.size, person)
    states = with_measured_torso(avatar, capture, held, with_corrected_pose(avatar, capture, held, test.states))
    refined = replace(test, states=tested.states(capture, held, person))
    return Clip(capture, person, train, replace(test, states=states), refined)


def _refine(capture: Capture, base: TrainConfig, folder: Path, reference: Path) -> None:
    """Train an avatar with its usual steps, refine held-out frames against it, and store all of it in `folder`."""
    result = fit(capture, load_head(), replace(base, steps=4000))
    assert result.refined_track is not None
    test = load_frames(capture, capture.test_indices, base.size, result.avatar.head)
    with ops.one_thread():
        found = refine_clip(result.avatar, test, base.refine)
    track = RefinedTrack.of(capture, capture.test_indices, found.states, found.flagged, result.avatar.head)
    for name, each in ((TRAINED, result.refined_track), (TESTED, track)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        each.save(folder / name)
    save_avatar(reference, result.avatar)


def steps_of(rigs: Sequence[Rig], clip: Clip, base: TrainConfig) -> dict[str, int]:
    """Steps of each rig that take as long as `base.steps` of the first one, from rounds in which they take turns."""
    trainers = {rig.name: rig.trainer(clip.person, clip.train, base) for rig in rigs}
    fastest = dict.fromkeys(trainers, float("inf"))
    with ops.one_thread():
        for _ in range(ROUNDS):
            for name, trainer in trainers.items():
                started = time.perf_counter()
                for step in range(TIMED_STEPS):
                    trainer.step(0.05 + step * 1e-4)
                fastest[name] = min(fastest[name], (time.perf_counter() - started) / TIMED_STEPS)
    longest = base.steps * fastest[rigs[0].name]
    return {name: round(longest / each) for name, each in fastest.items()}


def trained(rig: Rig, clip: Clip, base: TrainConfig, steps: int) -> Avatar:
    """An avatar with this rig after so many steps."""
    trainer: Trainer = rig.trainer(clip.person, clip.train, replace(base, steps=steps))
    with ops.one_thread():
        learn_torso(trainer.avatar, clip.train.states)
        for step in range(steps):
            trainer.step(step / steps)
        trainer.bake()
    keep_local(trainer.avatar.blendshapes)
    return trainer.avatar.requires_grad_(False)


def megabytes(avatar: Avatar) -> float:
    """Size of what an avatar needs beside its head, MB."""
    return sum(value.numel() * value.element_size() for value in avatar.state_dict().values()) / 1e6


def scores(avatar: Avatar, clip: Clip, scorer: Scorer) -> dict[str, dict[str, float]]:
    """Rows "driven" and "refined" of one avatar."""
    renderer, held = partial(render_avatar_frame, avatar), clip.capture.test_indices
    found = {
        "driven": scorer.score("driven", renderer, clip.driven, held),
        "refined": scorer.score("refined", renderer, clip.refined, held),
    }
    return {name: values | {"mb": megabytes(avatar)} for name, values in found.items()}


def fastest_fps(avatars: dict[str, Avatar], capture: Capture, size: int) -> dict[str, float]:
    """Frames per second of each avatar, the best of rounds in which they take turns."""
    found = dict.fromkeys(avatars, 0.0)
    for _ in range(ROUNDS):
        for name, avatar in avatars.items():
            found[name] = max(found[name], frames_per_second(avatar, capture, size, "native"))
    return found


def measured(
    clip: Clip, rigs: Sequence[Rig], base: TrainConfig, steps: dict[str, int], network: LpipsNetwork | None
) -> Iterator[dict[str, Any]]:
    """The entries of the log for one clip and seed, two for each rig as soon as it is trained."""
    scorer = Scorer(clip.person, clip.capture, network, None, LandmarkDistance.of(landmarker()))
    avatars: dict[str, Avatar] = {}
    for rig in rigs:
        avatars[rig.name] = trained(rig, clip, base, steps[rig.name])
        for name, values in scores(avatars[rig.name], clip, scorer).items():
            plain = {key.removesuffix(f"_{network.name}") if network else key: v for key, v in values.items()}
            entry = {"clip": clip.capture.root.name, "rig": rig.name, "seed": base.seed, "row": name}
            yield entry | plain | {"steps": steps[rig.name]}
    for rig_name, fps in fastest_fps(avatars, clip.capture, base.size).items():
        yield {"clip": clip.capture.root.name, "rig": rig_name, "seed": base.seed, "row": "speed", "fps": fps}


def table(entries: Sequence[dict[str, Any]]) -> str:
    """The Markdown table of logged entries: medians over the seeds, one row for each clip, kind of poses and rig."""
    runs: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for entry in entries:
        runs.setdefault((entry["clip"], entry["row"], entry["rig"]), []).append(entry)
    lines = ["| clip, row, rig | " + " | ".join(COLUMNS.values()) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for (clip, row, rig), values in sorted(runs.items(), key=lambda each: each[0][:2]):
        if row == "speed":
            continue
        speed = [entry["fps"] for entry in runs.get((clip, "speed", rig), [])]
        columns = {name: [entry[name] for entry in values if name in entry] for name in COLUMNS} | {"fps": speed}
        cells = [f"{statistics.median(columns[name]):.4g}" if columns[name] else "-" for name in COLUMNS]
        lines.append(f"| {clip}, {row}, {rig} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--work", type=Path, default=Path("bench"))
    parser.add_argument("--steps", type=int, default=2000, help="of the first rig; the others train as long")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--gaussians", type=int, default=15000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rigs", nargs="+", choices=[rig.name for rig in RIGS], default=[rig.name for rig in RIGS])
    parser.add_argument("--lpips", help="alex, vgg, squeeze or an ONNX file")
    args = parser.parse_args()
    base = TrainConfig(size=args.size, gaussians=args.gaussians, steps=args.steps)
    rigs = [rig for rig in RIGS if rig.name in args.rigs]
    network = load_lpips(args.lpips) if args.lpips else None
    options = CaptureOptions(test_fraction=0.2)
    clips = [load_clip(captured(path, args.work, options), base, args.work) for path in args.clips]
    log = args.work / "rigs.jsonl"
    entries = [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []
    steps = steps_of(rigs, clips[0], base) | {each["rig"]: each["steps"] for each in entries if "steps" in each}
    for seed in args.seeds:
        for clip in clips:
            done = {each["rig"] for each in entries if (each["clip"], each["seed"]) == (clip.capture.root.name, seed)}
            left = [rig for rig in rigs if rig.name not in done]
            for entry in measured(clip, left, replace(base, seed=seed), steps, network):
                entries.append(entry)
                with log.open("a") as stream:
                    stream.write(json.dumps(entry) + "\n")
    print(table(entries))


if __name__ == "__main__":
    main()
