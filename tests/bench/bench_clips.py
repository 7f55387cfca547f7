"""Quality and time on real clips: capture, train with several seeds and modes, evaluate; prints a Markdown table.

    python -m tests.bench.bench_clips CLIP.mp4 --test-fraction 0.2 --seconds 60 --seeds 3 --lpips lpips_sq.onnx

Rows are medians over the seeds. A clip is captured once into the work folder and reused.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace
from pathlib import Path

from avatar.data.capture_folder import METADATA_FILE, Capture
from avatar.evaluation.protocol import evaluate
from avatar.head import load_head
from avatar.jobs.landmarker import landmarker
from avatar.training.config import TrainConfig
from avatar.training.fit import fit
from capture import CaptureOptions, run_capture

MODES = {"reduced": {"mode": "reduced"}, "expression": {"mode": "expression"}, "none": {"bases": 0}}
BASELINES = ("static head", "textured mesh")
#: Columns of the table, by their names in the report; `lpips` is that of any network.
COLUMNS = {
    "psnr": "PSNR",
    "psnr_head": "head",
    "ssim": "SSIM",
    "lpips": "LPIPS",
    "psnr_mouth": "mouth",
    "psnr_eyes": "eyes",
    "psnr_hair": "hair",
    "landmarks": "landmarks %",
    "landmarks_mouth": "mouth %",
    "landmarks_eyes": "eyes %",
    "needles_2x": "needles 2x",
    "psnr_head_2x": "head 2x",
    "psnr_head_bicubic": "head bicubic 2x",
    "sharpness_2x": "sharpness 2x",
    "train_psnr": "train",
    "steps": "steps",
    "seconds": "s",
    "fps": "frames/s",
    "basis_mb": "basis MB",
    "psnr_temporal": "temporal",
    "jitter": "jitter",
}


def captured(clip: Path, work: Path, options: CaptureOptions) -> Capture:
    """The capture of `clip` in the folder `work`, made if it does not exist."""
    split = options.split.mode[0] + str(options.split.value)
    folder = work / f"{clip.stem}_{split}"
    return Capture.load(folder) if (folder / METADATA_FILE).exists() else run_capture(clip, folder, options)


def run(capture: Capture, config: TrainConfig, lpips: str | None) -> dict[str, dict[str, float]]:
    """Rows of one evaluation, with figures of the training in the row `driven`."""
    started = time.perf_counter()
    result = fit(capture, load_head(), config)
    avatar, seconds = result.avatar, time.perf_counter() - started
    report = evaluate(
        avatar,
        capture,
        size=config.size,
        lpips=lpips,
        refine=config.refine,
        track=result.refined_track,
        landmarker=landmarker(),
        full=True,
    )
    poses = replace(config.refine, expressions=False)
    report.rows["refined poses"] = evaluate(avatar, capture, size=config.size, lpips=lpips, refine=poses).rows[
        "refined"
    ]
    figures = report.metadata.refinement
    assert figures is not None
    for row, when in (("driven", "jitter_before"), ("refined", "jitter_after")):
        report.rows[row]["jitter"] = figures[when]["rotation_deg"]
    report.rows["driven"] |= {
        "train_psnr": report.rows["train"]["psnr"],
        "steps": float(result.report.steps),
        "seconds": seconds,
        "fps": report.metadata.frames_per_second,
        "basis_mb": avatar.blendshapes.basis.numel() * 4 / 1e6,
    }
    return report.rows


def row(name: str, runs: list[dict[str, float]]) -> str:
    """One row of the table: medians over `runs`."""
    known = [name for name in runs[0] if name.startswith("lpips_")]
    columns = [known[0] if column == "lpips" and known else column for column in COLUMNS]
    cells = [f"{statistics.median(r[c] for r in runs):.4g}" if c in runs[0] else "-" for c in columns]
    return f"| {name} | " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--work", type=Path, default=Path("bench"))
    parser.add_argument("--test-fraction", type=float)
    parser.add_argument("--test-every", type=int)
    parser.add_argument("--test-yaw", type=float)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--gaussians", type=int, default=TrainConfig.gaussians)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--modes", nargs="+", choices=list(MODES), default=["reduced"])
    parser.add_argument("--lpips", help="alex, vgg, squeeze or an ONNX file")
    args = parser.parse_args()
    options = CaptureOptions(test_fraction=args.test_fraction, test_every=args.test_every, test_yaw=args.test_yaw)
    print("| clip, mode | " + " | ".join(COLUMNS.values()) + " |")
    print("|---" * (len(COLUMNS) + 1) + "|")
    for clip in args.clips:
        capture = captured(clip, args.work, options)
        for mode in args.modes:
            base = TrainConfig(size=args.size, max_seconds=args.seconds, gaussians=args.gaussians, **MODES[mode])
            runs = [run(capture, replace(base, seed=seed), args.lpips) for seed in range(args.seeds)]
            for name in ("driven", "refined poses", "refined"):
                print(row(f"{clip.stem}, {mode}, {name}", [rows[name] for rows in runs]), flush=True)
        for name in BASELINES:
            print(row(f"{clip.stem}, {name}", [rows[name] for rows in runs]), flush=True)


if __name__ == "__main__":
    main()
