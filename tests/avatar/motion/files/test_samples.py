"""Real files, where available, and their evidence for the axes of Live Link's angles."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from avatar.motion import read_motion
from avatar.motion.files.angles import EYE_SIGNS, angles_to_rotvec
from avatar.motion.files.live_link import HEADER
from avatar.types import JAW, ROOT

pytestmark = pytest.mark.data

_FOLDER = Path(__file__).resolve().parents[5] / "shared" / "data" / "motions"
_TAKE = "livelink_alex_rom_3.csv"


@pytest.fixture(scope="module")
def motions() -> Path:
    """The folder of local motions beside the checkout; the test is skipped where it is absent."""
    if not _FOLDER.is_dir():
        pytest.skip("the local motions (../shared/data/motions) are not on this machine")
    return _FOLDER


@pytest.fixture(scope="module")
def columns(motions: Path) -> dict[str, np.ndarray]:
    """The columns of the take."""
    with (motions / _TAKE).open(encoding="utf-8") as stream:
        rows = list(csv.reader(stream))
    values = np.array([[float(cell) for cell in row[2:]] for row in rows[1:]])
    return dict(zip(rows[0][2:], values.T, strict=True))


def test_the_live_link_take_is_read_completely(motions: Path) -> None:
    found = read_motion(motions / _TAKE)
    assert len(found) == 4030 and found.space == "arkit52" and len(found.names) == 52 and found.confidence is None
    assert float(found.time[0]) == 0 and found.rate == pytest.approx(29.98, abs=0.01)
    assert not found.joint_rot.any()


def test_our_header_equals_that_of_the_take(motions: Path) -> None:
    with (motions / _TAKE).open(encoding="utf-8") as stream:
        assert tuple(stream.readline().strip().split(",")) == HEADER


def test_positive_eye_yaw_looks_to_the_persons_right_and_pitch_down(columns: dict[str, np.ndarray]) -> None:
    for side, sign in (("Left", 1), ("Right", -1)):
        inwards = columns[f"EyeLookIn{side}"] - columns[f"EyeLookOut{side}"]
        downwards = columns[f"EyeLookDown{side}"] - columns[f"EyeLookUp{side}"]
        assert np.corrcoef(columns[f"{side}EyeYaw"], sign * inwards)[0, 1] > 0.998
        assert np.corrcoef(columns[f"{side}EyePitch"], downwards)[0, 1] > 0.995


def test_eyes_have_no_torsion_and_equal_height_in_our_order_only(columns: dict[str, np.ndarray]) -> None:
    def slopes(order: str, signs: np.ndarray) -> tuple[float, float]:
        """The largest torsion of the eyes, and the difference of the heights at which they look."""
        torsion, height = [], []
        for side in ("Left", "Right"):
            yaw, pitch, roll = (columns[f"{side}Eye{angle}"] for angle in ("Yaw", "Pitch", "Roll"))
            by_axis = {"X": pitch * signs[0], "Y": yaw * signs[1], "Z": roll * signs[2]}
            turn = Rotation.from_euler(order, np.stack([by_axis[axis] for axis in order], 1)).as_matrix()
            torsion.append(np.abs(turn[:, 1, 0]).max())
            height.append(-turn[:, 1, 2] / turn[:, 2, 2])
        return max(torsion), float(np.sqrt(np.mean((height[0] - height[1]) ** 2)))

    assert slopes("XYZ", EYE_SIGNS)[0] < 1e-6 and slopes("XYZ", EYE_SIGNS)[1] < 1e-4
    for order in ("XZY", "YXZ", "YZX", "ZXY", "ZYX"):
        for roll in (-1.0, 1.0):
            torsion, difference = slopes(order, np.array([1.0, -1.0, roll]))
            assert torsion > 1e-3 or difference > 3e-4, order


def test_eye_angles_repeat_the_weights(columns: dict[str, np.ndarray]) -> None:
    """So using both would rotate twice; the constant is the splay at rest, which our heads do not have."""
    yaw_pitch_roll = np.stack([columns[f"LeftEye{angle}"] for angle in ("Yaw", "Pitch", "Roll")], 1)
    outwards = angles_to_rotvec(yaw_pitch_roll, EYE_SIGNS)[:, 1]
    moved = columns["EyeLookOutLeft"] > 0.05
    slope, rest = np.polyfit(columns["EyeLookOutLeft"][moved], outwards[moved], 1)
    assert np.degrees(slope) == pytest.approx(33, abs=1) and np.degrees(rest) == pytest.approx(4, abs=0.5)


def test_the_arkit_json_is_read_at_its_own_times(motions: Path) -> None:
    found = read_motion(motions / "beat_26_reamey_0_103_103_arkit.json")
    assert len(found) == 4019 and len(found.names) == 51 and found.rate == pytest.approx(60)
    assert any("tongueOut" in note for note in found.notes) and not found.joint_rot.any()


@pytest.mark.parametrize(
    ("name", "frames"),
    [
        ("flame_test_motion_poses.npy", 73),
        ("flame_test_motion_speak_expressions.npy", 145),
        ("flame_open_mouth_exp_pose_exp.npy", 909),
    ],
)
def test_flame_pairs_are_read_from_either_file(name: str, frames: int, motions: Path) -> None:
    found = read_motion(motions / name)
    assert len(found) == frames and found.space == "flame" and found.names[-1] == "expr99"
    assert found.joint_rot[:, ROOT].any() and float(found.joint_rot[:, JAW, 0].max()) > 0.1  # the jaw opens about +x
