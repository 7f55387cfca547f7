"""Basin of convergence of the refinement: perturb refined poses of training frames, refine again, count failures.

python -m tests.bench.bench_basin CAPTURE... [--steps 1500] [--turn 4 --shift 0.4 --depth 2]
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from avatar.data.capture_folder import Capture
from avatar.data.capture_head import head_of
from avatar.data.training_frames import HeadStates, load_frames
from avatar.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from avatar.refine.clip import with_poses
from avatar.refine.options import RefineOptions
from avatar.refine.poses import refine_poses
from avatar.refine.targets import Targets
from avatar.training.config import TrainConfig
from avatar.training.fit import fit

FAILED = 1.5  # degrees from the result of the unperturbed start


def perturbed(states: HeadStates, turn: float, shift: float, depth: float) -> HeadStates:
    """`states` rotated by `turn` degrees about random axes and moved by `shift` (sideways) and `depth` cm, randomly."""
    rng = torch.Generator().manual_seed(0)
    axis = torch.nn.functional.normalize(torch.randn(len(states), 3, generator=rng), dim=1)
    side = torch.randn(len(states), 3, generator=rng).sign()
    rotation = axis_angle_to_matrix(axis * np.radians(turn)) @ states.rotation
    moved = states.translation + side * torch.tensor([shift, shift, depth]) / 100
    return replace(states, rotation=rotation, translation=moved)


def errors(capture: Capture, steps: int, turn: float, shift: float, depth: float) -> np.ndarray:
    """Degrees [n] between the results from refined and from perturbed poses, for every fourth training frame."""
    result = fit(capture, head_of(capture), TrainConfig(size=256, gaussians=15000, steps=steps))
    avatar, track = result.avatar, result.refined_track
    assert track is not None
    rows = capture.train_indices[::4]
    frames = load_frames(capture, rows, TrainConfig.size, avatar.head)
    states = track.states(capture, rows, avatar.head)
    options = RefineOptions()
    targets = Targets.of(frames, options.size)
    converged = refine_poses(avatar, targets, states, replace(options, iterations=20, tolerance=1e-4))
    again = refine_poses(avatar, targets, perturbed(with_poses(states, converged.poses), turn, shift, depth), options)
    difference = again.poses.rotation[:, 0] @ converged.poses.rotation[:, 0].transpose(1, 2)
    return matrix_to_axis_angle(difference).norm(dim=1).rad2deg().numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captures", nargs="+", type=Path)
    parser.add_argument("--steps", type=int, default=1500, help="training steps of the avatar")
    parser.add_argument("--turn", type=float, default=4.0, help="degrees")
    parser.add_argument("--shift", type=float, default=0.4, help="centimeters sideways")
    parser.add_argument("--depth", type=float, default=2.0, help="centimeters")
    args = parser.parse_args()
    for path in args.captures:
        found = errors(Capture.load(path), args.steps, args.turn, args.shift, args.depth)
        failed = 100 * np.mean(found > FAILED)
        print(f"{path.name}: {len(found)} frames, median {np.median(found):.2f} deg, failed {failed:.1f} %", flush=True)


if __name__ == "__main__":
    main()
