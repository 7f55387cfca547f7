from __future__ import annotations

import hashlib
import json
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from avatar.data.capture_folder import (
    FRAMES_DIR,
    METADATA_FILE,
    TRACK_FILE,
    VERSION,
    Capture,
    frame_name,
    track_defaults,
)
from avatar.errors import HeadsplatError
from tests.support.tiny import tiny_capture


@pytest.fixture
def copy(tiny: Capture, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny.root, tmp_path / "capture"))


def edit(root: Path, **entries: object) -> None:
    path = root / METADATA_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def test_splits_are_disjoint_and_complete(tiny: Capture) -> None:
    both = np.concatenate([tiny.train_indices, tiny.test_indices])
    assert sorted(both) == list(range(len(tiny))) and len(tiny.test_indices) == 4


def test_the_fingerprint_differs_between_splits(tiny: Capture, tmp_path: Path) -> None:
    same, other = (tiny_capture(tmp_path / str(every), test_every=every) for every in (5, 4))
    assert same.fingerprint == tiny.fingerprint != other.fingerprint


def test_images_are_resized_together_with_the_camera(tiny: Capture) -> None:
    rgb, alpha = tiny.images([0, 3], 32)
    camera = tiny.camera(32)
    assert rgb.shape == (2, 32, 32, 3) and alpha.shape == (2, 32, 32)
    assert (camera.width, camera.height) == (32, 32)
    assert torch.allclose(camera.K[0, 0, 0] * 2, tiny.camera(64).K[0, 0, 0])


def test_loading_images_takes_little_memory_beside_them(tiny: Capture) -> None:
    tracemalloc.start()
    rgb, alpha = tiny.images([0] * 300, 64)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.2 * (rgb.nbytes + alpha.nbytes)


def test_images_are_never_enlarged(tiny: Capture) -> None:
    assert tiny.size_at(512) == (64, 64)


def test_params_come_in_the_order_of_the_indices(tiny: Capture) -> None:
    params = tiny.params([5, 2])
    assert np.allclose(params.expression.numpy(), tiny.track["expression"][[5, 2]])


def test_errors_of_a_missing_and_an_unfinished_folder_name_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError, match="no such capture folder; make one with `headsplat capture VIDEO"):
        Capture.load(tmp_path / "none")
    with pytest.raises(HeadsplatError, match="not a finished capture"):
        Capture.load(tmp_path)


def test_a_capture_of_a_newer_version_is_refused(copy: Path) -> None:
    edit(copy, version=VERSION + 3)
    with pytest.raises(HeadsplatError, match=f"{VERSION + 3}, this headsplat reads up to version {VERSION}"):
        Capture.load(copy)


def test_a_capture_of_version_1_has_one_camera_and_full_weights(tiny: Capture, copy: Path) -> None:
    metadata = json.loads((copy / METADATA_FILE).read_text())
    (camera,) = metadata.pop("cameras")
    del camera["name"]
    (copy / METADATA_FILE).write_text(json.dumps(metadata | {"version": 1, "camera": camera}))
    with np.load(copy / TRACK_FILE) as stored:
        newer = {*track_defaults(0), "principal_point"}
        track = {name: stored[name] for name in stored.files if name not in newer}
    np.savez(copy / TRACK_FILE, **track)
    old = Capture.load(copy)
    assert torch.equal(old.camera(64).K, tiny.camera(64).K)
    assert all(np.array_equal(old.track[name], tiny.track[name]) for name in tiny.track)


def test_a_capture_of_version_2_has_the_principal_points_of_its_cameras(tiny: Capture, copy: Path) -> None:
    edit(copy, version=2)
    with np.load(copy / TRACK_FILE) as stored:
        np.savez(copy / TRACK_FILE, **{name: stored[name] for name in stored.files if name != "principal_point"})
    old = Capture.load(copy)
    assert torch.equal(old.camera(32, [0, 5]).K, tiny.camera(32, [0, 5]).K)
    assert old.fingerprint != tiny.fingerprint  # avatars of version 2 still find their capture
    digest = hashlib.sha256()
    for name in ("frame_number", "is_test", "identity", "translation"):
        digest.update(np.ascontiguousarray(old.track[name]).tobytes())
    assert old.fingerprint == digest.hexdigest()[:16]


def test_each_row_has_its_own_principal_point(copy: Path) -> None:
    with np.load(copy / TRACK_FILE) as stored:
        track = dict(stored)
    track["principal_point"][3] = 20.5, -7.0
    np.savez(copy / TRACK_FILE, **track)
    K = Capture.load(copy).camera(32, [2, 3]).K
    assert K[:, :2, 2].tolist() == [[16.0, 16.0], [10.25, -3.5]]


@pytest.mark.parametrize(
    ("value", "sentence"), [(1e5, "`principal_point` is more than 640 pixels"), (np.nan, "values")]
)
def test_a_principal_point_far_away_is_refused(copy: Path, value: float, sentence: str) -> None:
    with np.load(copy / TRACK_FILE) as stored:
        track = dict(stored)
    track["principal_point"][3] = value
    np.savez(copy / TRACK_FILE, **track)
    with pytest.raises(HeadsplatError, match=sentence):
        Capture.load(copy)


def test_each_row_has_the_camera_of_its_index(copy: Path) -> None:
    metadata = json.loads((copy / METADATA_FILE).read_text())
    other = {**metadata["cameras"][0], "name": "1", "world_to_cam": np.diag([1.0, -1.0, -1.0, 1.0]).tolist()}
    other["world_to_cam"][0][3] = 0.25
    edit(copy, cameras=[metadata["cameras"][0], other])
    with np.load(copy / TRACK_FILE) as stored:
        track = dict(stored)
    track["camera"][3] = 1
    np.savez(copy / TRACK_FILE, **track)
    assert Capture.load(copy).camera(64, [2, 3, 4]).world_to_cam[:, 0, 3].tolist() == [0.0, 0.25, 0.0]
    track["camera"][3] = 2
    np.savez(copy / TRACK_FILE, **track)
    with pytest.raises(HeadsplatError, match="`camera` has an index that "):
        Capture.load(copy)


def test_other_json_is_refused(copy: Path) -> None:
    edit(copy, magic="something")
    with pytest.raises(HeadsplatError, match="not a headsplat capture"):
        Capture.load(copy)
    (copy / METADATA_FILE).write_text("{ cut short")
    with pytest.raises(HeadsplatError, match="damaged"):
        Capture.load(copy)


def test_a_truncated_track_is_refused(copy: Path) -> None:
    path = copy / TRACK_FILE
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(HeadsplatError, match="the track is damaged or incomplete"):
        Capture.load(copy)


def test_arrays_of_unequal_length_are_refused(copy: Path) -> None:
    path = copy / TRACK_FILE
    with np.load(path) as stored:
        track = dict(stored)
    track["translation"] = track["translation"][:-1]
    np.savez(path, **track)
    with pytest.raises(HeadsplatError, match=r"`translation` has shape \[23, 3\], expected \[T,3\] with T=24"):
        Capture.load(copy)


def test_the_error_of_a_missing_image_names_its_file(copy: Path) -> None:
    missing = copy / FRAMES_DIR / frame_name(3)
    missing.unlink()
    with pytest.raises(HeadsplatError, match=f"{missing.name}: missing or damaged image"):
        Capture.load(copy).images([3], 64)


@pytest.mark.parametrize("name", ["cameras", "source", "split", "head", "width", "height"])
def test_metadata_without_a_required_entry_is_damaged(copy: Path, name: str) -> None:
    edit(copy, **{name: None})
    with pytest.raises(HeadsplatError, match=f"damaged \\(no `{name}`"):
        Capture.load(copy)


def test_a_single_array_is_not_a_track(copy: Path) -> None:
    with (copy / TRACK_FILE).open("wb") as stream:
        np.save(stream, np.zeros(3))
    with pytest.raises(HeadsplatError, match="the track is damaged or incomplete"):
        Capture.load(copy)


def test_a_capture_without_the_motion_of_the_torso_has_no_confidence_in_it(copy: Path) -> None:
    with np.load(copy / TRACK_FILE) as stored:
        track = {name: stored[name] for name in stored.files if not name.startswith("torso_")}
    np.savez(copy / TRACK_FILE, **track)
    old = Capture.load(copy)
    assert old.track["torso_motion"].shape == (len(old), 6) and not old.track["torso_confidence"].any()
