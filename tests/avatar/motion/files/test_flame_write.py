"""FLAME parameters are written as they are read, and what a layout cannot hold is said with its size."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from avatar.errors import HeadsplatError
from avatar.motion import read_motion, write_motion
from avatar.motion.files.flame_write import LAYOUTS
from avatar.types import JAW, LEFT_EYE, NECK, RIGHT_EYE, ROOT, Motion
from tests.avatar.motion.files.small import flame_parts, motion

QUICK = settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
_FLAME_NAMES = tuple(f"expr{number}" for number in range(50))
#: Joints that a layout has beside the root.
_JOINTS = {
    "flame_param.npz": (NECK, JAW, LEFT_EYE, RIGHT_EYE),
    "flame_param": (NECK, JAW, LEFT_EYE, RIGHT_EYE),
    ".deca.npz": (JAW,),
    ".emoca.npz": (JAW,),
    ".smirk.npz": (JAW,),
}


def flame_motion(frames: int = 4, seed: int = 0, *, lids: bool = False) -> Motion:
    """A motion of FLAME's expressions with every joint turned."""
    names = (*_FLAME_NAMES, "eyelidLeft", "eyelidRight") if lids else _FLAME_NAMES
    made = motion(frames, names, "flame", seed)
    return replace(made, weights=made.weights - 0.1, confidence=None, notes=())


@st.composite
def motions(draw: st.DrawFn) -> Motion:
    """Motions at a constant rate or not, that start at any time."""
    frames = draw(st.integers(1, 6))
    made = flame_motion(frames, draw(st.integers(0, 1000)))
    rate = draw(st.sampled_from([24.0, 25.0, 30000 / 1001, 30.0, 59.94, 120.0]))
    steps = draw(st.lists(st.integers(1, 3), min_size=frames, max_size=frames))
    scale = draw(st.sampled_from([0.0, 1.0, 8.0]))
    ticks = torch.tensor(steps, dtype=torch.float64).cumsum(0)
    return replace(made, time=draw(st.floats(-5, 5)) + ticks / rate, joint_rot=made.joint_rot * scale)


def _path(folder: Path, end: str) -> Path:
    return folder / (f"take{end}" if end.startswith(".") else end)


@pytest.mark.parametrize("end", LAYOUTS)
def test_what_a_layout_stores_is_read_back(end: str, tmp_path: Path) -> None:
    path = _path(tmp_path, end)
    without_neck = NECK not in _JOINTS[end]

    @QUICK
    @given(motions())
    def survives(made: Motion) -> None:
        for old in path.glob("*.npz"):
            old.unlink()
        write_motion(path, made)
        found = read_motion(path)
        assert torch.equal(found.weights[:, :50], made.weights) and found.names[:50] == made.names
        assert torch.allclose(found.time, made.time - made.time[0], rtol=0, atol=2e-6)
        head = Rotation.from_rotvec(made.joint_rot[:, ROOT].numpy())
        head = head * Rotation.from_rotvec(made.joint_rot[:, NECK].numpy()) if without_neck else head
        turn = Rotation.from_rotvec(found.joint_rot[:, ROOT].numpy())
        assert (turn.inv() * head).magnitude() == pytest.approx(0, abs=1e-5)
        for joint in _JOINTS[end]:
            assert torch.equal(found.joint_rot[:, joint], made.joint_rot[:, joint])
        if end.startswith("flame"):
            assert torch.equal(found.translation, made.translation)

    survives()


@pytest.mark.parametrize("frames", [1, 12])
@pytest.mark.parametrize(
    ("end", "names"),
    [
        ("flame_param.npz", {name: name for name in flame_parts(1) if name not in ("shape", "static_offset")}),
        (".deca.npz", {"expr": "exp", "pose": "pose"}),
        (".emoca.npz", {"expr": "expcode", "pose": "posecode"}),
        (".smirk.npz", {"expr": "expression_params", "rotation": "pose_params", "jaw_pose": "jaw_params",
                        "lids": "eyelid_params"}),
    ],
)  # fmt: skip
def test_a_file_is_written_as_it_was_read(end: str, names: dict[str, str], frames: int, tmp_path: Path) -> None:
    parts = flame_parts(frames)
    parts |= {"pose": np.concatenate([parts["rotation"], parts["jaw_pose"]], 1), "lids": np.abs(parts["expr"][:, :2])}
    arrays = {theirs: parts[ours] for ours, theirs in names.items()} | {"fps": np.array(25.0)}
    np.savez(tmp_path / "in.npz", **arrays)
    path = _path(tmp_path, end)
    write_motion(path, read_motion(tmp_path / "in.npz"))
    with np.load(path, allow_pickle=False) as written:
        assert set(written.files) == set(arrays)
        for name, array in arrays.items():
            if name != "fps" or frames > 1:
                assert np.array_equal(written[name], array), name
        assert all(written[name].dtype == np.float32 for name in names.values())  # GaussianAvatars drops others


def test_a_folder_of_frames_is_written_as_it_was_read(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    parts = flame_parts(4)
    kept = [name for name in parts if name not in ("shape", "static_offset")]
    for row, number in enumerate((0, 1, 4, 5)):
        np.savez(tmp_path / "in" / f"{number:05d}.npz", **{name: parts[name][row : row + 1] for name in kept})
    write_motion(tmp_path / "flame_param", read_motion(tmp_path / "in"))
    names = sorted(path.name for path in (tmp_path / "flame_param").glob("*.npz"))
    assert names == [f"{number:05d}.npz" for number in (0, 1, 4, 5)]
    for name in names:
        with np.load(tmp_path / "in" / name) as one, np.load(tmp_path / "flame_param" / name) as other:
            assert all(np.array_equal(one[part], other[part]) for part in kept)


def test_controls_of_our_heads_are_written_as_rotations(tmp_path: Path) -> None:
    made = flame_motion(2)
    weights = torch.tensor([[1.0, 0.5, 0.25], [0.0, 0.0, 0.0]])
    made = replace(
        made,
        names=(*made.names, "jawOpen", "eyeLookOutLeft", "eyelidLeft"),
        weights=torch.cat([made.weights, weights], 1),
        joint_rot=torch.zeros_like(made.joint_rot),
    )
    notes = write_motion(tmp_path / "flame_param.npz", made)
    found = read_motion(tmp_path / "flame_param.npz")
    assert found.joint_rot[0, JAW, 0] == pytest.approx(math.radians(19))
    assert found.joint_rot[0, LEFT_EYE, 1] == pytest.approx(math.radians(14))
    assert torch.equal(found.joint_rot[1], made.joint_rot[1])
    assert "written as rotations of jaw and eyes: jawOpen, eyeLookOutLeft" in notes
    lost = "VHAP and GaussianAvatars: no parameter for eyelidLeft (up to 0.25 in 1 frame): dropped"
    assert lost in notes
    notes = write_motion(tmp_path / "a.smirk.npz", made)
    assert read_motion(tmp_path / "a.smirk.npz").weights[0, 50:].tolist() == [0.25, 0]
    assert "SMIRK: rotations of the eyes are dropped: up to 14.0 degrees in 1 frame" in notes


def test_every_loss_is_named_with_its_size(tmp_path: Path) -> None:
    made = flame_motion(3)
    turn = torch.zeros_like(made.joint_rot)
    turn[1, NECK, 1] = math.radians(5)
    made = replace(
        made,
        time=made.time + 2,
        names=(*made.names, "tongueOut"),
        weights=torch.cat([made.weights, torch.tensor([[0.0], [0.7], [0.2]])], 1),
        joint_rot=turn,
        translation=torch.tensor([[0.0, 0, 0], [0.05, 0, 0], [0.02, 0, 0]]),
        confidence=torch.tensor([1.0, 0.0, 0.5]),
        resting="zero",
    )
    assert set(write_motion(tmp_path / "a.deca.npz", made)) == {
        "the neck's rotation, up to 5.0 degrees, is merged into the head's",
        "DECA: no parameter for tongueOut (up to 0.70 in 2 frames): dropped",
        "the file cannot store the head's translation: dropped, 5.0 cm of travel",
        "the file cannot store the confidence of each frame: those without a face (1) look like the others",
        "the times of the file start at 0, those of the motion at 2.000 s",
        "the file cannot store that zero weights are the resting face: render it with --neutral zero",
        "programs that read it take the expressions as those of FLAME 2020: in another version the same numbers mean "
        "other faces",
    }
    assert not any("neck" in note or "translation" in note for note in write_motion(tmp_path / "flame_param.npz", made))


def test_fewer_and_more_expressions_than_a_program_takes_are_reported(tmp_path: Path) -> None:
    lids = replace(motion(2, ("eyelidLeft",), "FLAME 2023 Open"), confidence=None)
    assert "the motion has no expressions of FLAME: written as 0" in write_motion(tmp_path / "flame_param.npz", lids)
    assert read_motion(tmp_path / "flame_param.npz").weights.shape == (2, 100)
    many = motion(2, tuple(f"expr{number}" for number in range(100)), "flame")
    notes = write_motion(tmp_path / "a.emoca.npz", many)
    assert "the file has 100 expressions; EMOCA by default: 50" in notes


def test_what_cannot_be_flame_parameters_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError, match=r"stores FLAME's expressions, these are of arkit52; convert them with"):
        write_motion(tmp_path / "flame_param.npz", motion())
    with pytest.raises(HeadsplatError, match="expr400, but no FLAME has more than 400 expressions; rename them"):
        write_motion(tmp_path / "flame_param.npz", motion(names=("expr400",), space="flame"))
    made = replace(flame_motion(4), time=torch.tensor([0.0, 1e-5, 1.0, 3.0], dtype=torch.float64))
    for name in ("flame_param.npz", "flame_param"):
        with pytest.raises(HeadsplatError, match=r"1e-05 to 2 s apart, which the file cannot store; give a constant"):
            write_motion(tmp_path / name, made)
    assert not list(tmp_path.iterdir())
