"""Written motions are read back unchanged as far as the format allows, and losses are reported."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from torch import Tensor

from avatar.errors import HeadsplatError
from avatar.head.arkit import ARKIT_52
from avatar.motion import read_motion, write_motion
from avatar.motion.files.gaze import total_rotations
from avatar.motion.files.live_link import HEADER
from avatar.motion.files.stored import MAGIC
from avatar.types import JAW, JOINT_NAMES, LEFT_EYE, NECK, RIGHT_EYE, ROOT, Motion
from tests.avatar.motion.files.small import motion

QUICK = settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@st.composite
def motions(draw: st.DrawFn, names: tuple[str, ...] = ARKIT_52) -> Motion:
    """Motions with pauses, gaze in the joints and frames without a face; times at the resolution of a timecode."""
    frames = draw(st.integers(1, 6))
    steps = draw(st.lists(st.integers(500, 10_000_000), min_size=frames, max_size=frames))
    start = draw(st.floats(-100, 100))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scale = draw(st.sampled_from([0.0, 0.01, 0.3, 1.0]))
    made = replace(motion(frames, names), notes=())
    return replace(
        made,
        time=start + torch.tensor(np.cumsum(steps) / 60_000, dtype=torch.float64),
        weights=torch.from_numpy(rng.uniform(0, 1, made.weights.shape)).float(),
        joint_rot=torch.from_numpy(rng.uniform(-scale, scale, made.joint_rot.shape)).float(),
        confidence=draw(st.sampled_from([None, made.confidence])),
        resting=draw(st.sampled_from(["find", "zero"])),
    )


def _skull(found: Motion) -> np.ndarray:
    root, neck = (Rotation.from_rotvec(found.joint_rot[:, joint].double().numpy()) for joint in (ROOT, NECK))
    return (root * neck).as_matrix()


def _turned(found: Motion) -> np.ndarray:
    """Rotation vectors of jaw and eyes [T,3,2] about x and y, weights included."""
    total = total_rotations(found.names, found.weights.double().numpy(), found.joint_rot.double().numpy())
    return total[:, [JAW, LEFT_EYE, RIGHT_EYE], :2]


def _others(found: Motion) -> Tensor:
    """The weights that rotate no joint."""
    kept = [name for name in ARKIT_52 if not name.startswith(("eyeLook", "jawOpen", "jawLeft", "jawRight"))]
    return torch.stack([found.weights[:, found.names.index(name)] for name in kept], 1)


@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_pose_gaze_and_weights_are_kept_by_other_formats(suffix: str, tmp_path: Path) -> None:
    @QUICK
    @given(motions())
    def survives(made: Motion) -> None:
        write_motion(tmp_path / f"a{suffix}", made)
        found = read_motion(tmp_path / f"a{suffix}")
        time = made.time - made.time[0] if suffix == ".csv" else made.time
        assert torch.allclose(found.time, time, rtol=0, atol=1e-5)
        assert torch.allclose(_others(found), _others(made), rtol=0, atol=1e-9)
        assert np.allclose(_skull(found), _skull(made), atol=1e-5)
        lifts = _turned(made)[:, 0, 0] < 0  # a jaw above closed, which no weight expresses
        turned = _turned(made)
        turned[lifts, 0, 0] = 0
        assert np.allclose(_turned(found), turned, atol=1e-5)
        assert found.resting == made.resting

    survives()


def test_our_file_format_is_lossless(tmp_path: Path) -> None:
    names = st.lists(st.text(min_size=1, max_size=12), min_size=0, max_size=5, unique=True)
    encodable = names.filter(lambda made: all(name.encode("utf-8", "ignore").decode() == name for name in made))

    @QUICK
    @given(st.data())
    def survives(data: st.DataObject) -> None:
        made = data.draw(motions(tuple(data.draw(encodable))))
        made = replace(made, space="a head of 2026", notes=("one.", "zwei é"))
        assert write_motion(tmp_path / "a.motion.npz", made) == ()
        found = read_motion(tmp_path / "a.motion.npz")
        for name in (field.name for field in fields(Motion)):
            one, other = getattr(made, name), getattr(found, name)
            assert torch.equal(one, other) and one.dtype == other.dtype if isinstance(one, Tensor) else one == other

    survives()


def test_weights_without_gaze_in_the_joints_are_kept_exactly(tmp_path: Path) -> None:
    made = replace(motion(5), joint_rot=torch.zeros(5, len(JOINT_NAMES), 3))
    write_motion(tmp_path / "a.json", made)
    assert torch.equal(read_motion(tmp_path / "a.json").weights, made.weights)


def test_gaze_in_the_joints_is_written_as_weights_and_angles(tmp_path: Path) -> None:
    rest = torch.zeros(1, len(JOINT_NAMES), 3)
    rest[0, LEFT_EYE, 1] = rest[0, RIGHT_EYE, 1] = math.radians(14)
    write_motion(tmp_path / "a.csv", replace(motion(1), joint_rot=rest, weights=torch.zeros(1, 52)))
    cells = (tmp_path / "a.csv").read_text().splitlines()[1].split(",")
    row = dict(zip(HEADER[2:], map(float, cells[2:]), strict=True))
    assert row["EyeLookOutLeft"] == pytest.approx(0.5) == row["EyeLookInRight"]
    assert row["EyeLookInLeft"] == row["EyeLookOutRight"] == row["EyeLookDownLeft"] == 0
    assert row["LeftEyeYaw"] == row["RightEyeYaw"] == pytest.approx(-math.radians(14))


def test_the_header_of_a_take_equals_the_apps(tmp_path: Path) -> None:
    write_motion(tmp_path / "a.csv", motion())
    header, row = (tmp_path / "a.csv").read_text().splitlines()[:2]
    assert len(header.split(",")) == len(row.split(",")) == 63 and row.startswith("00:00:00:00.000,61,")
    assert header.startswith("Timecode,BlendShapeCount,EyeBlinkLeft,EyeLookDownLeft,")
    assert ",JawForward,JawRight,JawLeft,JawOpen," in header and ",MouthRight,MouthLeft,MouthSmileLeft," in header
    assert header.endswith(",TongueOut,HeadYaw,HeadPitch,HeadRoll," + ",".join(HEADER[-6:]))


def test_a_take_that_rests_at_zero_has_one_column_of_zeros_more(tmp_path: Path) -> None:
    losses = write_motion(tmp_path / "a.csv", motion())
    assert write_motion(tmp_path / "b.csv", replace(motion(), resting="zero")) == losses
    lines, longer = ((tmp_path / name).read_text().splitlines() for name in ("a.csv", "b.csv"))
    assert longer == [f"{line},{'0' if row else 'RestingWeight'}" for row, line in enumerate(lines)]
    assert read_motion(tmp_path / "b.csv").names == read_motion(tmp_path / "a.csv").names


def test_a_frame_without_a_face_is_kept(tmp_path: Path) -> None:
    made = replace(motion(3), confidence=torch.tensor([1.0, 0.0, 1.0]))
    write_motion(tmp_path / "a.csv", made)
    found = read_motion(tmp_path / "a.csv")
    assert found.confidence is not None and found.confidence.tolist() == [1, 0, 1]
    assert torch.equal(found.weights[1], found.weights[0])


def _lossy() -> Motion:
    """Three frames with everything that some file cannot hold, of known sizes."""
    made = motion(3, (*ARKIT_52[:-1], "Wink", "Wave"))
    turn = torch.zeros_like(made.joint_rot)
    turn[1, NECK, 1], turn[2, LEFT_EYE, 2] = math.radians(5), math.radians(3)
    weights = torch.zeros_like(made.weights)
    weights[1:, made.names.index("Wink")] = torch.tensor([0.7, 0.2])
    return replace(
        made,
        time=made.time + 2,
        weights=weights,
        joint_rot=turn,
        translation=torch.tensor([[0.0, 0, 0], [0.05, 0, 0], [0.02, 0, 0]]),
        confidence=torch.tensor([1.0, 0.0, 0.5]),
    )


_OF_BOTH = {
    "the file cannot store the head's translation: dropped, 5.0 cm of travel",
    "the neck's rotation, up to 5.0 degrees, is merged into the head's",
    "rotations of jaw and eyes that weights cannot express (eye torsion, a jaw above closed) are dropped: up to 3.0 "
    "degrees in 1 frame",
}


def test_losses_of_a_take_are_reported_with_their_size(tmp_path: Path) -> None:
    assert set(write_motion(tmp_path / "a.csv", _lossy())) == _OF_BOTH | {
        "the times of the file start at 0, those of the motion at 2.000 s",
        "the file has no columns for Wink (up to 0.70 in 2 frames): dropped",
        "the file has no columns for Wave: dropped, they do not move",
        "the motion does not have tongueOut: written as 0",
        "the file stores only whether a frame has a face, not its confidence, down to 0.50",
    }


def test_json_keeps_other_names_and_reports_losses_with_their_size(tmp_path: Path) -> None:
    assert set(write_motion(tmp_path / "a.json", _lossy())) == _OF_BOTH | {
        "the file cannot store the confidence of each frame: those without a face (1) look like the others"
    }
    assert {"Wink", "Wave"} < set(read_motion(tmp_path / "a.json").names)
    sure = replace(motion(3), confidence=torch.ones(3), joint_rot=torch.zeros(3, 5, 3), translation=torch.zeros(3, 3))
    assert write_motion(tmp_path / "b.json", sure) == write_motion(tmp_path / "b.csv", sure) == ()
    assert write_motion(tmp_path / "c.motion.npz", _lossy()) == ()


@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_weights_of_another_space_are_refused(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError, match=r"these are of flame; write \.motion\.npz, or convert them with"):
        write_motion(tmp_path / f"a{suffix}", motion(names=("expr0",), space="flame"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.txt", "a", "a.npz"])
def test_another_suffix_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(
        HeadsplatError, match=r"a motion is written as \.csv \(Live Link Face\), \.json or \.motion\.npz"
    ):
        write_motion(tmp_path / name, motion())


def test_a_motion_of_no_frames_or_no_numbers_is_not_written(tmp_path: Path) -> None:
    made = motion()
    with pytest.raises(HeadsplatError, match="has no frames"):
        write_motion(tmp_path / "a.csv", made[:0])
    with pytest.raises(HeadsplatError, match="weights of the motion has entries that are not numbers"):
        write_motion(tmp_path / "a.csv", replace(made, weights=made.weights * math.nan))
    with pytest.raises(HeadsplatError, match="times of the motion do not increase"):
        write_motion(tmp_path / "a.csv", replace(made, time=torch.zeros(4, dtype=torch.float64)))
    with pytest.raises(HeadsplatError, match="spans a day"):
        write_motion(tmp_path / "a.csv", replace(made, time=made.time * 1e6))


def test_the_old_file_is_kept_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.motion.npz"
    write_motion(path, motion(2))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("avatar.motion.files.stored.np.savez_compressed", full)
    with pytest.raises(HeadsplatError, match="the disk is full"):
        write_motion(path, motion(3))
    assert len(read_motion(path)) == 2 and list(tmp_path.iterdir()) == [path]


def test_files_of_version_1_are_read() -> None:
    found = read_motion(Path(__file__).parents[3] / "data" / "version1.motion.npz")
    assert found.space == "flame" and found.names == ("expr0", "expr1", "eyelidLeft") and len(found) == 3
    assert found.notes == ("written by the first version",) and found.resting == "find"


def test_a_made_motion_of_version_1_rests_at_zero() -> None:
    found = read_motion(Path(__file__).parents[3] / "data" / "version1_zero.motion.npz")
    assert found.resting == "zero" and found.notes == ("written by version 1",)


def test_another_way_to_rest_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"names": ["jawOpen"], "resting": ["zero"], "frames": [{"weights": [0]}]}')
    with pytest.raises(
        HeadsplatError, match=r"a\.json: resting is \['zero'\], expected \"find\" or \"zero\"; write it"
    ):
        read_motion(path)
    with pytest.raises(ValueError, match=r'Motion\.resting: expected "find" or "zero", got \'none\''):
        replace(motion(), resting="none")


def _header(text: str) -> dict[str, np.ndarray]:
    return {"header": np.frombuffer(text.encode(), np.uint8)}


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (_header("{}"), "header: not a motion of headsplat"),
        (_header("{"), "header: damaged"),
        (_header('{"magic": "headsplat-motion", "version": 3}'), "version 3, this headsplat reads up to 2; update"),
        (
            _header(json.dumps({"magic": MAGIC, "version": 2, "joints": JOINT_NAMES, "names": [], "notes": []})),
            'header: resting is None, expected "find" or "zero"; write it again',
        ),
        ({"weights": np.zeros((4, 2))}, r"weights: expected \[4,52\], found \[4, 2\]"),
        ({"weights": np.full((4, 52), np.inf)}, "weights: a value that is not a number"),
        ({"time": np.zeros(4)}, "time: expected at least one frame and times that increase"),
        ({"time": np.zeros(0)}, "time: expected at least one frame"),
    ],
)
def test_a_wrong_motion_file_names_the_array(changed: dict[str, np.ndarray], sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "a.motion.npz"
    write_motion(path, motion())
    np.savez(path, **{**dict(np.load(path)), **changed})
    with pytest.raises(HeadsplatError, match=rf"a\.motion\.npz: {sentence}"):
        read_motion(path)
