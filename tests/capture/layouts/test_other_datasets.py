"""Datasets of head avatars: IMavatar's folders, NeRSemble's calibrated videos, and those that are named and refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from avatar.errors import HeadsplatError
from avatar.jobs.inspection import describe_file
from avatar.video import open_output
from capture.layouts import not_a_capture, read_layout
from capture.layouts.grouping import FACING
from capture.layouts.views import read_images, read_mask

_SIZE = 64, 48


def _images(folder: Path, numbers: Sequence[int]) -> None:
    folder.mkdir(parents=True)
    for number in numbers:
        cv2.imwrite(str(folder / f"{number}.png"), np.full((*_SIZE[::-1], 3), number, np.uint8))


def _imavatar(folder: Path, **changed: Any) -> Path:
    numbers = [1, 2, 3, 10]
    _images(folder / "image", numbers)
    _images(folder / "mask", numbers)
    frames = [{"file_path": f"./image/{n}", "world_mat": np.eye(4)[:3].tolist()} for n in (10, 1, 2, 3)]
    content = {"frames": frames, "intrinsics": [-3.0, 4.0, 0.5, 0.25], "shape_params": [0]}
    (folder / "flame_params.json").write_text(json.dumps({**content, **changed}))
    return folder


def test_imavatars_camera_stands_still_before_a_head_that_moves(tmp_path: Path) -> None:
    found = read_layout(_imavatar(tmp_path / "a"))
    assert found.layout == "imavatar" and found.cameras == ("0",) and found.calibrated
    assert [view.image.stem for view in found.views] == ["1", "2", "3", "10"]
    assert [view.time for view in found.views] == pytest.approx([0, 1 / 25, 2 / 25, 9 / 25])
    for view in found.views:
        assert view.head_motion is None and view.world_to_cam == pytest.approx(FACING)
        assert pytest.approx(np.array([[192, 0, 32], [0, 192, 12], [0, 0, 1.0]])) == view.K
    (*_, (last, frame)) = read_images(found.views)
    assert frame.rgb.max() == 10 and read_mask(last).max() == 10


def test_old_intrinsics_of_imavatar_and_a_folder_images_are_read(tmp_path: Path) -> None:
    folder = _imavatar(tmp_path / "a", intrinsics=[-1539, 1509, 261, 253])
    (folder / "image").rename(folder / "images")
    (view, *_) = read_layout(folder).views
    assert view.K is not None and view.K[0] == pytest.approx([1539 / 8, 0, 261 / 8])
    assert view.image.parent.name == "images" and view.mask is not None


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"intrinsics": [1, 2]}, "intrinsics: expected fx, fy, cx, cy"),
        ({"intrinsics": [0, 0, 0.5, 0.5]}, "intrinsics: a focal length of 0"),
        ({"frames": []}, "no list of `frames` in it"),
        ({"frames": [{"file_path": "./image/99"}]}, "frame 0: the image ./image/99 is missing"),
        ({"frames": [{"file_path": "../../other/99"}]}, "frame 0: file_path: .* is outside of the folder"),
        ({"frames": [3]}, "frame 0: file_path"),
    ],
)
def test_wrong_parameters_of_imavatar_are_named(changed: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError, match=rf"flame_params\.json: {sentence}"):
        read_layout(_imavatar(tmp_path / "a", **changed))


def test_frames_of_pixel3dmm_name_the_video(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").mkdir()
    flame = {"R": np.zeros((1, 6)), "t": np.zeros((1, 3))}
    torch.save({"flame": flame, "camera": {"R_base_0": np.eye(3)}}, tmp_path / "checkpoint" / "00000.frame")
    with pytest.raises(HeadsplatError, match=r"00000\.frame: a frame of Pixel3DMM, .* capture the video that"):
        read_layout(tmp_path)


def _nersemble(person: Path, intrinsics: Any = None, serials: Sequence[str] = ("222200037", "222200046")) -> Path:
    images = person / "sequences" / "FREE" / "images"
    images.mkdir(parents=True)
    for serial in serials:
        with open_output(images / f"cam_{serial}.mp4", 25) as writer:
            for level in range(4):
                writer.add(np.full((*_SIZE[::-1], 3), 40 * level, np.uint8), level / 25)
    (person / "calibration").mkdir()
    K = [[90, 0, 32], [0, 91, 24], [0, 0, 1]]
    poses = {"222200037": np.eye(4).tolist(), "222200046": [[1, 0, 0, 0.2], [0, 1, 0, 0], [0, 0, 1, 0.1], [0, 0, 0, 1]]}
    content = {"world_2_cam": poses, "intrinsics": K if intrinsics is None else intrinsics}
    (person / "calibration" / "camera_params.json").write_text(json.dumps(content))
    return images


@pytest.mark.parametrize("each", [False, True])
def test_nersembles_videos_have_their_cameras_in_the_calibration(each: bool, tmp_path: Path) -> None:
    K = [[90, 0, 32], [0, 91, 24], [0, 0, 1]]
    folder = _nersemble(tmp_path / "393", {"222200037": K, "222200046": K} if each else None)
    found = read_layout(folder)
    assert found.calibrated and found.cameras == ("cam_222200037", "cam_222200046")
    for view in found.views:
        assert pytest.approx(np.array(K, float)) == view.K and view.world_to_cam is not None
        assert view.world_to_cam[:3, 3] == pytest.approx([0.2 * view.camera, 0, 0.1 * view.camera])


@pytest.mark.parametrize(
    ("intrinsics", "serials", "sentence"),
    [
        ([[90, 0, 1600], [0, 91, 1100], [0, 0, 1]], ("222200037", "222200046"), "not for images of 64x48; give videos"),
        ([[90, 0], [0, 91]], ("222200037", "222200046"), "intrinsics: expected a matrix of 3x3 numbers"),
        (None, ("222200037", "1"), "1: no such camera in it; rename the video as cam_SERIAL.mp4"),
        ({"222200037": 3}, ("222200037", "222200046"), "222200037: no such camera in it"),
    ],
)
def test_a_calibration_that_does_not_fit_is_named(
    intrinsics: Any, serials: Sequence[str], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(HeadsplatError, match=rf"camera_params\.json: .*{sentence}"):
        read_layout(_nersemble(tmp_path / "393", intrinsics, serials))


def test_other_videos_have_no_calibration(tmp_path: Path) -> None:
    folder = _nersemble(tmp_path / "393")
    found = read_layout(folder.rename(folder.with_name("videos")))
    assert not found.calibrated


_REFUSED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a person": (_nersemble, "a person of NeRSemble; give the videos of a sequence, .*NAME/images"),
    "FlashAvatar": (
        lambda folder: _images(folder / "imgs", [1, 2, 3]),
        "images without cameras; make a video .*imgs/%05d",
    ),
    "Multiface": (
        lambda folder: _images(folder / "images" / "E001" / "400002", [1, 2]),
        "images without cameras; .* or up to 20 of them as photos",
    ),
}


@pytest.mark.parametrize("name", _REFUSED)
def test_datasets_without_a_layout_say_what_to_give(name: str, tmp_path: Path) -> None:
    make, sentence = _REFUSED[name]
    folder = tmp_path / "folder"
    make(folder)
    for read in (read_layout, describe_file):
        with pytest.raises(HeadsplatError, match=f"folder: {sentence}"):
            read(folder)


def test_a_sequence_names_its_videos_and_a_dataset_its_capture(tmp_path: Path) -> None:
    videos = _nersemble(tmp_path / "393")
    assert f"videos in a folder; give {videos}" in str(not_a_capture(videos.parent))
    assert "a folder of several cameras, not a capture; run `headsplat capture" in str(not_a_capture(videos))


def test_a_folder_of_datasets_names_one(tmp_path: Path) -> None:
    _images(tmp_path / "subject" / "0" / "imgs", [1, 2])
    _imavatar(tmp_path / "subject" / "MVI_1810")
    with pytest.raises(HeadsplatError, match=r"a folder of datasets; give one of them, such as .*subject/MVI_1810"):
        read_layout(tmp_path)


def test_captures_and_other_folders_are_not_named_as_datasets(tmp_path: Path) -> None:
    assert not_a_capture(tmp_path) is None and not_a_capture(tmp_path / "none") is None
    _images(tmp_path / "frames", [1, 2, 3])
    (tmp_path / "partial").mkdir()
    assert not_a_capture(tmp_path) is None
    with pytest.raises(HeadsplatError, match=r"not a finished capture .* to finish it"):
        describe_file(tmp_path)
