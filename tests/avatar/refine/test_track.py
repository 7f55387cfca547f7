"""The refined track in a capture folder: its rows, and errors of files that cannot be used."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avatar.data.capture_folder import Capture
from avatar.data.training_frames import HeadStates, load_frames
from avatar.errors import HeadsplatError
from avatar.head import load_head
from avatar.head.model import HeadModel
from avatar.model.avatar import bake_identity
from avatar.refine.track import FILE, RefinedTrack
from avatar.types import NECK, TorsoPose
from tests.avatar.refine.made_up import wrong
from tests.support.tiny import side_camera, tiny_capture


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    """10 time steps of two cameras, 8 of them for training."""
    root = tmp_path_factory.mktemp("track") / "capture"
    return tiny_capture(root, frames=10, size=32, others=[side_camera(32, 20)])


@pytest.fixture(scope="module")
def head(capture: Capture) -> HeadModel:
    return bake_identity(load_head(), torch.from_numpy(capture.track["identity"]))


@pytest.fixture(scope="module")
def found(capture: Capture, head: HeadModel) -> HeadStates:
    """Refined states of the training time steps: other poses and expressions, and torsos."""
    tracked = load_frames(capture, capture.train_indices, 32, head).states
    params = replace(tracked.params, expression=(tracked.params.expression + 0.1).clamp(0, 1))
    states = wrong(HeadStates.of(params, head), 5.0)
    torso = wrong(tracked, 3.0, seed=1)
    return replace(states, torso=TorsoPose(torso.rotation, torso.translation))


@pytest.fixture(scope="module")
def track(capture: Capture, head: HeadModel, found: HeadStates) -> RefinedTrack:
    flagged = torch.arange(8) == 2
    return RefinedTrack.of(capture, capture.train_indices, found, flagged, head)


@pytest.fixture
def copied(capture: Capture, tmp_path: Path) -> Capture:
    """A copy of the capture, for tests that write to it."""
    shutil.copytree(capture.root, tmp_path / "copy")
    return Capture.load(tmp_path / "copy")


def test_a_track_is_loaded_as_it_was_saved(copied: Capture, track: RefinedTrack) -> None:
    track.save(copied.root)
    loaded = RefinedTrack.load(copied)
    assert loaded is not None and loaded.fingerprint == track.fingerprint
    for name in ("refined", "flagged", "expression", "joint_rot", "translation", "torso_rot", "torso_translation"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(track, name))


def test_states_of_the_track_are_the_refined_states(
    capture: Capture, head: HeadModel, found: HeadStates, track: RefinedTrack
) -> None:
    states = track.states(capture, capture.train_indices, head)
    assert states.torso is not None and found.torso is not None
    pairs = [(getattr(states, name), getattr(found, name)) for name in ("vertices", "features", "rotation")]
    pairs += [(states.translation, found.translation), (states.torso.rotation, found.torso.rotation)]
    pairs += [(states.torso.translation, found.torso.translation)]
    for one, other in pairs:
        torch.testing.assert_close(one, other, rtol=0, atol=2e-6)


def test_states_come_in_the_order_of_the_frames(
    capture: Capture, head: HeadModel, found: HeadStates, track: RefinedTrack
) -> None:
    rows = capture.train_indices[[9, 2, 3, 8]]  # two time steps, not sorted
    states = track.states(capture, rows, head)
    torch.testing.assert_close(states.rotation, found.rotation[[1, 4]], rtol=0, atol=2e-6)
    assert len(load_frames(capture, rows, 32, head).states) == len(states)


def test_rows_of_both_cameras_have_the_pose_of_their_time_step(capture: Capture, track: RefinedTrack) -> None:
    np.testing.assert_array_equal(track.joint_rot[0::2], track.joint_rot[1::2])
    np.testing.assert_array_equal(track.flagged, np.arange(20) // 2 == 2)


def test_other_rows_keep_the_trackers_values(capture: Capture, track: RefinedTrack) -> None:
    rest = capture.test_indices
    assert not track.refined[rest].any() and track.refined[capture.train_indices].all()
    for name in ("expression", "joint_rot", "translation"):
        np.testing.assert_array_equal(getattr(track, name)[rest], capture.track[name][rest])


def test_refined_images_replace_tracked_ones(
    capture: Capture, head: HeadModel, found: HeadStates, track: RefinedTrack
) -> None:
    rows = np.arange(len(capture))
    tracked = capture.params(rows)
    still = TorsoPose(torch.eye(3).expand(len(rows), 3, 3), torch.zeros(len(rows), 3))
    params, torso = track.replaced(rows, tracked, still)
    train, test = torch.from_numpy(capture.train_indices), torch.from_numpy(capture.test_indices)
    refined = track.states(capture, capture.train_indices, head)
    first = np.unique(capture.track["time_step"][capture.train_indices], return_index=True)[1]
    rotation, translation = head.skull_pose(replace(params[train[first]], identity=torch.zeros(0)))
    assert torch.allclose(rotation, refined.rotation, atol=1e-5)
    assert torch.allclose(translation, refined.translation, atol=1e-6)
    assert torch.equal(params.expression[test], tracked.expression[test])
    assert torch.equal(params.joint_rot[test], tracked.joint_rot[test])
    assert torso is not None and found.torso is not None
    assert torch.allclose(torso.rotation[train[first]], found.torso.rotation, atol=1e-5)
    assert torch.equal(torso.rotation[test], still.rotation[test])
    assert track.replaced(rows, tracked, None)[1] is None


def test_other_rows_have_no_torso(capture: Capture, head: HeadModel, found: HeadStates, track: RefinedTrack) -> None:
    rest = capture.test_indices
    assert np.isnan(track.torso_rot[rest]).all() and np.isnan(track.torso_translation[rest]).all()
    assert track.states(capture, rest, head).torso is None


def test_the_rotation_of_the_skull_is_that_of_the_root(track: RefinedTrack, capture: Capture) -> None:
    assert not track.joint_rot[capture.train_indices, NECK].any()


def test_torsos_are_nan_if_not_known(capture: Capture, head: HeadModel, found: HeadStates) -> None:
    none = replace(found, torso=None)
    track = RefinedTrack.of(capture, capture.train_indices, none, torch.zeros(8, dtype=torch.bool), head)
    assert np.isnan(track.torso_rot).all()


def test_another_pose_gives_another_fingerprint(track: RefinedTrack) -> None:
    moved = track.translation.copy()
    moved[0, 0] += 1e-6
    assert replace(track, translation=moved).fingerprint != track.fingerprint


def test_a_capture_without_a_refined_track_has_none(copied: Capture) -> None:
    assert RefinedTrack.load(copied) is None


@pytest.mark.parametrize("damage", ["empty", "cut", "nonsense", "array"])
def test_the_error_of_a_damaged_track_names_the_remedy(copied: Capture, track: RefinedTrack, damage: str) -> None:
    track.save(copied.root)
    path = copied.root / FILE
    whole = path.read_bytes()
    if damage == "array":
        with path.open("wb") as stream:
            np.save(stream, np.zeros(3))
    else:
        path.write_bytes({"empty": b"", "cut": whole[: len(whole) // 2], "nonsense": b"nonsense"}[damage])
    with pytest.raises(HeadsplatError, match=r"refined\.npz: the refined track is damaged .* delete it, or train on"):
        RefinedTrack.load(copied)


def test_a_track_without_an_array_is_damaged(copied: Capture, track: RefinedTrack) -> None:
    track.save(copied.root)
    with np.load(copied.root / FILE) as stored:
        arrays = {name: stored[name] for name in stored.files if name != "torso_rot"}
    np.savez(copied.root / FILE, **arrays)
    with pytest.raises(HeadsplatError, match="the refined track is damaged"):
        RefinedTrack.load(copied)


@pytest.mark.parametrize("field", ["capture", "version"])
def test_a_track_of_another_capture_or_version_is_refused(copied: Capture, track: RefinedTrack, field: str) -> None:
    track.save(copied.root)
    with np.load(copied.root / FILE) as stored:
        arrays = {name: stored[name] for name in stored.files}
    arrays[field] = np.asarray("0" * 16 if field == "capture" else 99)
    np.savez(copied.root / FILE, **arrays)
    with pytest.raises(HeadsplatError, match="belongs to another capture or version; delete it, or train on"):
        RefinedTrack.load(copied)


def test_saving_leaves_no_temporary_file(copied: Capture, track: RefinedTrack) -> None:
    before = {path.name for path in copied.root.iterdir()}
    track.save(copied.root)
    assert {path.name for path in copied.root.iterdir()} == before | {FILE}
