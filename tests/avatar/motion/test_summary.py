"""The summary of a motion."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from avatar.motion.files import read_arrays, read_motion
from avatar.motion.summary import MotionSummary
from avatar.types import NECK, ROOT, Motion

SAMPLES = Path(__file__).parents[2] / "data"


def motion(names: tuple[str, ...], peaks: list[float]) -> Motion:
    weights = torch.tensor([[0.0] * len(peaks), peaks])
    return Motion(torch.tensor([0.0, 1.0]).double(), names, weights, "x", torch.zeros(2, 5, 3), torch.zeros(2, 3))


def test_only_the_most_active_numbered_coefficients_are_listed() -> None:
    names = tuple(f"expr{k}" for k in range(100))
    text = MotionSummary.of(motion(names, [0.1 + k / 10 for k in range(100)]), "take").to_text().splitlines()
    rows = [line for line in text if line.startswith("expr") and not line.startswith("expression")]
    assert [row.split()[0] for row in rows] == [f"expr{99 - k}" for k in range(12)]
    assert text[-1] == "and 88 more (--json has all)"


def test_weights_outside_0_to_1_are_named() -> None:
    text = MotionSummary.of(motion(("jawOpen", "eyeBlinkRight", "jawLeft"), [1.0, 5.7, -0.5]), "take").to_text()
    assert "2 expressions outside 0 to 1: eyeBlinkRight reaches 5.70, jawLeft reaches -0.50" in text


@pytest.mark.parametrize("sample", ["version1.motion.npz", "version1.recording.csv"])
def test_a_file_has_the_same_summary_with_and_without_pytorch(sample: str) -> None:
    arrays, motion = read_arrays(SAMPLES / sample), read_motion(SAMPLES / sample)
    for name in ("time", "weights", "joint_rot", "translation"):
        tensor, array = getattr(motion, name), getattr(arrays, name)
        assert array.dtype == (np.float64 if name == "time" else np.float32)
        assert torch.equal(tensor, torch.from_numpy(array))
    assert MotionSummary.of(arrays, sample) == MotionSummary.of(motion, sample)


def test_the_range_of_the_head_is_that_of_root_and_neck_about_the_mean() -> None:
    start = motion(("jawOpen",), [1.0])
    joint_rot = start.joint_rot.clone()
    joint_rot[0, ROOT], joint_rot[1, ROOT] = torch.tensor([0.1, -0.3, 0.0]), torch.tensor([-0.2, 0.4, 0.1])
    joint_rot[0, NECK], joint_rot[1, NECK] = torch.tensor([0.2, 0.0, 0.1]), torch.tensor([0.0, 0.3, 0.0])
    found = MotionSummary.of(replace(start, joint_rot=joint_rot), "take").head_degrees
    root, neck = (Rotation.from_rotvec(joint_rot[:, joint].double().numpy()) for joint in (ROOT, NECK))
    angles = np.degrees(((root * neck) * (root * neck).mean().inv()).as_rotvec())
    assert [found[name] for name in ("pitch", "yaw", "roll")] == pytest.approx(np.ptp(angles, axis=0).tolist())


def test_expressions_of_equal_activity_keep_their_order() -> None:
    start = motion(("jawOpen", "mouthPucker", "browInnerUp"), [0.3, 0.8, 0.8])
    weights = torch.cat([start.weights, start.weights.flip(0) * (1 + 1e-12)]).double()
    whole = Motion(torch.arange(4.0).double(), start.names, weights, "x", torch.zeros(4, 5, 3), torch.zeros(4, 3))
    rows = [line.split()[0] for line in MotionSummary.of(whole, "take").to_text().splitlines()[-3:]]
    assert rows == ["mouthPucker", "browInnerUp", "jawOpen"]
