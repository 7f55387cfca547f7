"""Distance of the torso's pose from the truth of a synthetic clip.

    python -m tests.bench.torso_truth me.avatar me.capture clip/truth.npz

The torso frame of the avatar is that of the skull at its mean pose, so one rigid transform between the two frames, the
same in all frames, is removed first, and one scale of the scene: a single camera does not determine it. Both come from
training frames.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from avatar.data.capture_folder import Capture
from avatar.data.training_frames import HeadStates
from avatar.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle, mean_rotation
from avatar.head import load_head
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import load_avatar
from avatar.refine.corrected_pose import with_corrected_pose
from avatar.refine.measured_torso import with_measured_torso
from avatar.types import ROOT, TorsoPose
from capture.synthetic.truth import SyntheticTruth

#: The point whose distance is measured, meters, in the torso's frame: the middle of the upper chest.
CHEST = (0.0, -0.22, -0.05)


def true_poses(truth: SyntheticTruth, steps: np.ndarray) -> TorsoPose:
    """Poses of the torso at frames `steps` [T] of a synthetic clip."""
    identity = torch.from_numpy(truth.identity).float()
    root = load_head().joint_locations(identity)[ROOT].double()
    rotation = axis_angle_to_matrix(torch.from_numpy(truth.joint_rot[steps, ROOT]).double())
    return TorsoPose(rotation, torch.from_numpy(truth.translation[steps]).double() + root - rotation @ root)


def driven_poses(avatar: Avatar, capture: Capture, *, measured: bool) -> TorsoPose:
    """Poses of the torso at all rows of `capture` as tracked: from the image if `measured`, else from the torso map."""
    rows = np.arange(len(capture))
    states = HeadStates.of(capture.params(rows), avatar.head)
    if measured:
        states = with_measured_torso(avatar, capture, rows, with_corrected_pose(avatar, capture, rows, states))
    pose = avatar.rig.torso(states.rotation, states.translation) if states.torso is None else states.torso
    return TorsoPose(pose.rotation.double(), pose.translation.double())


def torso_errors(found: TorsoPose, true: TorsoPose, is_test: np.ndarray) -> tuple[Tensor, Tensor]:
    """Errors of held-out frames: angles [n] in degrees and distances [n] of the chest in millimeters.

    Args:
        found: poses of T frames.
        true: of the same frames.
        is_test: [T] bool.
    """
    train, test = np.flatnonzero(~is_test), np.flatnonzero(is_test)
    chest = found.translation.new_tensor(CHEST)
    where = (found.rotation @ chest) + found.translation
    back = true.rotation.transpose(1, 2)
    rotation = true.rotation @ mean_rotation((back @ found.rotation)[train])
    degrees = matrix_to_axis_angle(found.rotation[test] @ rotation[test].transpose(1, 2)).norm(dim=-1).rad2deg()
    # scale * where = R local + t in the training frames, by least squares.
    known = torch.cat([where[train, :, None], -true.rotation[train]], -1).reshape(-1, 4)
    scale, *local = torch.linalg.lstsq(known, true.translation[train].reshape(-1, 1)).solution[:, 0]
    distance = scale * where - (true.rotation @ torch.stack(local) + true.translation)
    return degrees, 1e3 * distance[test].norm(dim=-1)


def main() -> None:
    """Print the medians for the torso map and for the measured torso."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("avatar", "capture", "truth"):
        parser.add_argument(name, type=Path)
    given = parser.parse_args()
    avatar, capture, truth = load_avatar(given.avatar), Capture.load(given.capture), SyntheticTruth.load(given.truth)
    true = true_poses(truth, np.asarray(capture.track["frame_number"], np.int64))
    for name, measured in (("torso map", False), ("measured", True)):
        degrees, distance = torso_errors(
            driven_poses(avatar, capture, measured=measured), true, capture.track["is_test"]
        )
        print(f"{name}: median {degrees.median():.2f} degrees, {distance.median():.1f} mm")


if __name__ == "__main__":
    main()
