"""Folders of several cameras: written and read back unchanged, and errors for malformed ones."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from avatar.data.capture_folder import Capture
from avatar.errors import HeadsplatError
from avatar.motion.files.metrical_frame import load_frame
from avatar.video import open_output
from capture.layouts import read_layout
from capture.layouts.views import read_images, read_mask
from capture.layouts.write import write_layout
from tests.support.tiny import tiny_capture


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    return tiny_capture(tmp_path_factory.mktemp("capture") / "c", frames=10)


@pytest.mark.parametrize("layout", ["nerf", "vhap", "insta"])
def test_a_capture_written_and_read_back_has_the_same_views(capture: Capture, tmp_path: Path, layout: str) -> None:
    write_layout(capture, layout, tmp_path / "out")
    views = read_layout(tmp_path / "out")
    assert views.layout == (
        "nerf" if layout == "vhap" else layout
    )  # without FLAME parameters, VHAP's layout is that of NeRF
    assert [view.is_test for view in views.views] == capture.track["is_test"].tolist()
    assert [view.time_step for view in views.views] == capture.track["time_step"].tolist()
    np.testing.assert_allclose([view.time for view in views.views], capture.track["time"], atol=1e-9)
    rgb, alpha = capture.images(range(len(capture)), 4096)
    for row, (view, frame) in enumerate(read_images(views.views)):
        np.testing.assert_array_equal(frame.rgb, rgb[row])
        np.testing.assert_array_equal(read_mask(view), alpha[row])
        np.testing.assert_allclose(view.K, capture.metadata["cameras"][0]["K"], atol=1e-6)
        np.testing.assert_allclose(view.world_to_cam, capture.metadata["cameras"][0]["world_to_cam"], atol=1e-6)


@pytest.mark.parametrize("layout", ["nerf", "insta"])
def test_the_principal_point_of_each_row_is_written_and_read_back(tmp_path: Path, layout: str) -> None:
    plain = tiny_capture(tmp_path / "c", frames=10)
    centers = np.column_stack([np.linspace(20, 44, 10), np.linspace(40, 30, 10)])
    moved = dataclasses.replace(plain, track={**plain.track, "principal_point": centers})
    (note,) = write_layout(moved, layout, tmp_path / "out")
    assert "each frame has its own cx and cy" in note
    views = read_layout(tmp_path / "out").views
    np.testing.assert_allclose([view.K[:2, 2] for view in views], centers)  # type: ignore[index]
    np.testing.assert_allclose([view.K[0, 0] for view in views], plain.metadata["cameras"][0]["K"][0][0])  # type: ignore[index]


def test_the_moving_camera_of_insta_is_read_as_head_motion(capture: Capture, tmp_path: Path) -> None:
    from avatar.head import load_head

    write_layout(capture, "insta", tmp_path / "out")
    rotation, place = load_head().skull_pose(capture.params(range(len(capture))))
    for row, view in enumerate(read_layout(tmp_path / "out").views):
        assert view.head_motion is not None
        np.testing.assert_allclose(view.head_motion[:3, :3], rotation[row].numpy(), atol=1e-5)
        np.testing.assert_allclose(view.head_motion[:3, 3], place[row].numpy(), atol=1e-5)


def test_metrical_trackers_frames_are_read_without_unpickling_code(capture: Capture, tmp_path: Path) -> None:
    write_layout(capture, "nerf", tmp_path / "out")
    (tmp_path / "m" / "checkpoint").mkdir(parents=True)
    (tmp_path / "out" / "images").rename(tmp_path / "m" / "images")
    for number in range(3):
        (tmp_path / "m" / "images" / f"{number:05d}_00.png").rename(tmp_path / "m" / "images" / f"{number:05d}.png")
        camera = {"R": np.eye(3)[None], "t": np.array([[0, 0, 1.0 + number]]), "K": np.diag([90.0, 90, 1])[None]}
        torch.save(
            {"opencv": camera, "img_size": np.array([64, 64])}, tmp_path / "m" / "checkpoint" / f"{number:05d}.frame"
        )
    views = read_layout(tmp_path / "m")
    assert views.layout == "metrical-tracker" and len(views) == 3
    assert [float(view.head_motion[2, 3]) for view in views.views] == [-1.0, -2.0, -3.0]  # type: ignore[index]
    torch.save(Path("x"), tmp_path / "m" / "checkpoint" / "00001.frame")
    with pytest.raises(HeadsplatError, match=r"00001\.frame: not a frame of metrical-tracker"):
        read_layout(tmp_path / "m")


def _replace(frame: dict, key: str, value: object) -> None:
    if value is None:
        del frame[key]
    else:
        frame[key] = value


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("file_path", None, "no `file_path`"),
        ("file_path", "images/none.png", "the image images/none.png is missing"),
        ("transform_matrix", [[2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]], "not a rigid transform"),
        ("transform_matrix", [[float("nan")] * 4] * 4, "entries that are not finite"),
        ("transform_matrix", [[1, 0, 0, 1e30], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], "units away"),
        ("transform_matrix", "here", "expected a matrix of 4x4 numbers"),
        ("fl_x", 10**400, "expected 1 to 1e\\+06, got inf"),
        ("fl_x", 0, "expected 1 to 1e\\+06, got 0"),
        ("w", 99, "99x64 pixels, other images"),
        ("timestep_index", 1.5, "expected a whole number"),
        ("timestep_index", 1, "the same camera and time step"),
        ("fg_mask_path", "fg_masks/none.png", "the mask fg_masks/none.png is missing"),
    ],
)
def test_a_malformed_frame_is_an_error_that_names_it(
    capture: Capture, tmp_path: Path, key: str, value: object, sentence: str
) -> None:
    out = tmp_path / "out"
    write_layout(capture, "nerf", out)
    for part in ("train", "val", "test"):
        (out / f"transforms_{part}.json").unlink()
    content = json.loads((out / "transforms.json").read_text())
    _replace(content["frames"][2], key, value)
    (out / "transforms.json").write_text(json.dumps(content))
    with pytest.raises(HeadsplatError, match=sentence) as caught:
        read_layout(out)
    assert "transforms.json: frame 2" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"frames": []}', "no frames"),
        ("{", "not readable as JSON"),
        ("[]", "expected a JSON object"),
        ("{}", "no list"),
    ],
)
def test_a_malformed_file_is_an_error(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "transforms.json").write_text(text)
    with pytest.raises(HeadsplatError, match=sentence):
        read_layout(tmp_path)


def test_other_folders_are_not_recognized(tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError, match="no layout of several cameras is recognized"):
        read_layout(tmp_path)


def _part(root: Path, part: str, change: Callable[[list[dict]], list[dict]]) -> None:
    path = root / f"transforms{part}.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"frames": change(content["frames"])}))


def test_a_frame_that_only_the_file_of_all_splits_lists_is_held_out(capture: Capture, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_layout(capture, "nerf", out)
    _part(out, "_test", lambda frames: [])
    _part(out, "_val", lambda frames: [])
    assert [view.is_test for view in read_layout(out).views] == capture.track["is_test"].tolist()


def test_two_spellings_of_an_image_path_are_one_image(capture: Capture, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_layout(capture, "nerf", out)
    _part(out, "_train", lambda frames: [{**f, "file_path": f"../out/{f['file_path'][:-4]}"} for f in frames])
    views = read_layout(out)
    assert [view.is_test for view in views.views] == capture.track["is_test"].tolist()


@pytest.mark.parametrize("key", ["file_path", "fg_mask_path", "flame_param_path"])
@pytest.mark.parametrize("name", ["/etc/hostname", "../../x.png", "C:\\x.png"])
def test_paths_outside_of_the_folder_are_an_error(capture: Capture, tmp_path: Path, key: str, name: str) -> None:
    out = tmp_path / "out"
    write_layout(capture, "nerf", out)
    _part(out, "", lambda frames: [{**frames[0], key: name}, *frames[1:]])
    with pytest.raises(HeadsplatError, match=f"frame 0: {key}: .* is outside of the folder"):
        read_layout(out)


def test_an_image_without_alpha_as_its_mask_is_an_error(capture: Capture, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_layout(capture, "nerf", out)
    _part(out, "", lambda frames: [{**f, "fg_mask_path": f["file_path"]} for f in frames])
    with pytest.raises(HeadsplatError, match="is the image itself, which has no alpha channel"):
        read_layout(out)


def test_matted_images_without_alpha_are_ignored(capture: Capture, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_layout(capture, "nerf", out)
    shutil.copytree(out / "images", out / "matted")
    for part in ("", "_train", "_val", "_test"):
        _part(out, part, lambda frames: [{k: v for k, v in f.items() if k != "fg_mask_path"} for f in frames])
    shutil.rmtree(out / "fg_masks")
    assert all(view.mask is None for view in read_layout(out).views)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_damaged_frames_of_metrical_tracker_are_an_error(tmp_path: Path) -> None:
    whole = tmp_path / "whole.frame"
    # Tensors only: unpickling a NumPy array with a damaged dtype can corrupt memory.
    torch.save({"img_size": torch.tensor([64, 64])}, whole, _use_new_zipfile_serialization=False)
    content, rng, path = whole.read_bytes(), np.random.default_rng(0), tmp_path / "00000.frame"
    for _ in range(300):
        damaged = bytearray(content)
        damaged[rng.integers(len(content))] = rng.integers(256)
        path.write_bytes(damaged)
        with contextlib.suppress(HeadsplatError):
            load_frame(path)


def test_videos_with_uneven_times_are_matched_by_the_nearest_frames(tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.2, 0.5, 0.6]
    for name, frame_times in (
        ("a", times),
        ("b", [0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6]),
    ):
        with open_output(tmp_path / f"{name}.mp4", 30) as writer:
            for time in frame_times:
                writer.add(np.zeros((64, 64, 3), np.uint8), time)
    views = sorted(read_layout(tmp_path).views, key=lambda view: view.time_step)
    np.testing.assert_allclose([view.time for view in views if view.camera == 0], times, atol=1e-3)
    assert [view.frame for view in views if view.camera == 1] == [0, 2, 4, 10, 12]
