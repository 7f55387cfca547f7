"""Folders from others bring in no file from elsewhere by a link; what is cached is checked each time it is used."""

from __future__ import annotations

import json
import logging
import shutil
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from avatar.cli import main
from avatar.data.capture_folder import FRAMES_DIR, MATTES_DIR, METADATA_FILE, TRACK_FILE, Capture, frame_name
from avatar.errors import HeadsplatError
from avatar.head import load_head
from avatar.motion.bridge import load_bridge
from avatar.refine.track import RefinedTrack
from capture.layouts import read_layout
from capture.layouts.views import read_images, read_mask
from capture.layouts.write import write_layout
from capture.networks import models
from capture.networks.models import MODEL_SHA256, TASK, WHEEL, model_path
from capture.report.stored import read_report
from tests.support.face_models import make_wheel

LINK = "a symbolic link to .*, outside of .*; replace it by a copy or remove it"


@pytest.fixture
def root(tiny: Capture, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny.root, tmp_path / "folder" / "capture"))


@pytest.fixture
def layout(tiny: Capture, tmp_path: Path) -> Path:
    """A folder in the layout of NeRF with one transforms file."""
    root = tmp_path / "folder" / "out"
    write_layout(tiny, "nerf", root)
    for part in ("train", "val", "test"):
        (root / f"transforms_{part}.json").unlink()
    return root


def moved_out(path: Path) -> None:
    """Move a file or folder to a private place, and leave a link to it."""
    outside = path.parents[2] / "private" if path.parents[2].name != "folder" else path.parents[3] / "private"
    outside.mkdir(exist_ok=True)
    path.rename(outside / path.name)
    path.symlink_to(outside / path.name)


def moved_within(path: Path) -> None:
    """Move a file or folder to another name beside it, and leave a link to it."""
    path.rename(path.with_name(f"moved-{path.name}"))
    path.symlink_to(f"moved-{path.name}")


def read_all(root: Path) -> None:
    capture = Capture.load(root)
    capture.images(range(len(capture)), 64)
    RefinedTrack.load(capture)


@pytest.mark.parametrize(
    "name",
    [
        METADATA_FILE,
        TRACK_FILE,
        FRAMES_DIR,
        MATTES_DIR,
        f"{FRAMES_DIR}/{frame_name(3)}",
        f"{MATTES_DIR}/{frame_name(3)}",
    ],
)
def test_a_capture_does_not_follow_a_link_out_of_its_folder(root: Path, name: str) -> None:
    moved_out(root / name)
    with pytest.raises(HeadsplatError, match=f"{root / name}: {LINK}"):
        read_all(root)
    assert main(["convert", str(root), "-o", str(root.parents[1] / "out")]) == 1


@pytest.mark.parametrize("name", [METADATA_FILE, TRACK_FILE, FRAMES_DIR, f"{MATTES_DIR}/{frame_name(3)}"])
def test_links_within_a_capture_and_to_it_are_followed(root: Path, name: str, tmp_path: Path) -> None:
    moved_within(root / name)
    read_all(root)
    (tmp_path / "link").symlink_to(root)
    read_all(tmp_path / "link")


def test_the_refined_track_and_the_report_of_a_capture_are_not_read_over_a_link(root: Path) -> None:
    capture = Capture.load(root)
    (root.parent / "elsewhere").write_text("private")
    for name in ("refined.npz", "report.json"):  # another test may have trained on the shared capture
        (root / name).unlink(missing_ok=True)
    (root / "refined.npz").symlink_to(root.parent / "elsewhere")
    with pytest.raises(HeadsplatError, match=f"refined.npz: {LINK}"):
        RefinedTrack.load(capture)
    (root / "refined.npz").unlink()
    content = {"capture": capture.fingerprint, "refined": None, "words": ["private"]}
    (root.parent / "elsewhere").write_text(json.dumps(content))
    (root / "report.json").symlink_to(root.parent / "elsewhere")
    assert read_report(capture) is None


def read_views(root: Path) -> None:
    views = read_layout(root).views
    list(read_images(views))
    assert [read_mask(view) for view in views if view.mask is not None]


@pytest.mark.parametrize(
    "name", ["transforms.json", "images", "fg_masks", "images/00003_00.png", "fg_masks/00003_00.png"]
)
def test_a_layout_does_not_follow_a_link_out_of_its_folder(layout: Path, name: str) -> None:
    moved_out(layout / name)
    with pytest.raises(HeadsplatError, match=f"{layout / name}: {LINK}"):
        read_views(layout)


@pytest.mark.parametrize("name", ["transforms.json", "images", "fg_masks/00003_00.png"])
def test_links_within_a_layout_are_followed(layout: Path, name: str) -> None:
    moved_within(layout / name)
    read_views(layout)


def test_a_sibling_folder_that_is_a_link_is_not_followed(layout: Path) -> None:
    shutil.copytree(layout / "images", layout.parent / "private" / "images")
    (layout.parent / "innocent").symlink_to(layout.parent / "private")
    content = json.loads((layout / "transforms.json").read_text())
    content["frames"][2]["file_path"] = "../innocent/images/00002_00.png"
    (layout / "transforms.json").write_text(json.dumps(content))
    with pytest.raises(HeadsplatError, match="innocent: a symbolic link, which is not followed"):
        read_views(layout)
    (layout.parent / "innocent").unlink()
    (layout.parent / "private").rename(layout.parent / "innocent")
    read_views(layout)


def test_a_path_that_leaves_the_folder_through_a_link_and_a_parent_is_not_followed(layout: Path) -> None:
    outside = layout.parents[1] / "private"
    (outside / "inner").mkdir(parents=True)
    shutil.copytree(layout / "images", outside / "images")
    (layout / "door").symlink_to(outside / "inner")
    content = json.loads((layout / "transforms.json").read_text())
    content["frames"][2]["file_path"] = "door/../images/00002_00.png"
    (layout / "transforms.json").write_text(json.dumps(content))
    with pytest.raises(HeadsplatError, match="through a symbolic link"):
        read_views(layout)


@pytest.mark.parametrize("name", ["/etc/passwd", "../../etc/passwd", "images/../../../etc/passwd", "a\0b"])
def test_a_layout_has_no_path_out_of_its_folder(layout: Path, name: str) -> None:
    content = json.loads((layout / "transforms.json").read_text())
    content["frames"][2]["file_path"] = name
    (layout / "transforms.json").write_text(json.dumps(content))
    with pytest.raises(HeadsplatError, match=r"transforms\.json: frame 2: file_path: "):
        read_layout(layout)


LANDMARKS = "face_landmarks_attention"


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small wheel in place of the real one, with its own checksums; an empty cache; no models of the user."""
    path = make_wheel(tmp_path / "made", monkeypatch)
    monkeypatch.setenv("HEADSPLAT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HEADSPLAT_MODELS", raising=False)
    return path


def test_a_damaged_model_in_the_cache_is_downloaded_again(wheel: Path, caplog: pytest.LogCaptureFixture) -> None:
    downloads = []

    def download(folder: Path) -> None:
        downloads.append(folder)
        shutil.copyfile(wheel, folder / WHEEL)

    path = model_path(LANDMARKS, download)
    assert model_path(LANDMARKS, download).read_text() == f"model {LANDMARKS}" and len(downloads) == 1
    path.write_text("another network")
    with caplog.at_level(logging.WARNING):
        assert model_path(LANDMARKS, download).read_text() == f"model {LANDMARKS}" and len(downloads) == 2
    assert "damaged (its SHA-256 is not that of MediaPipe's model)" in caplog.text


def test_a_damaged_model_that_cannot_be_downloaded_again_is_refused(wheel: Path) -> None:
    def refuse(folder: Path) -> None:
        raise OSError("no route to host")

    cached = models.cache_dir() / f"{LANDMARKS}.tflite"
    cached.parent.mkdir(parents=True)
    cached.write_text("another network")
    with pytest.raises(HeadsplatError, match=r"the face models could not be downloaded .*no route to host"):
        model_path(LANDMARKS, refuse)


def test_a_model_unpacked_from_a_task_file_is_compared_with_it(wheel: Path) -> None:
    models.cache_dir().mkdir(parents=True)
    with zipfile.ZipFile(models.cache_dir() / TASK, "w") as archive:
        archive.writestr("face_blendshapes.tflite", "scores")
    path = model_path("face_blendshapes")
    path.write_text("another network")
    assert model_path("face_blendshapes").read_text() == "scores"


def test_a_cached_bridge_with_a_changed_number_is_fitted_again(tmp_path: Path) -> None:
    a, b = load_head(), load_head("embedded-half")
    whole = load_bridge(a, b, tmp_path)
    (path,) = tmp_path.iterdir()
    data = path.read_bytes()
    at = data.index(whole.fit.size.tobytes()) + 6
    path.write_bytes(data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1 :])
    assert np.array_equal(load_bridge(a, b, tmp_path).fit.size, whole.fit.size)
    assert path.read_bytes() == data


def test_checking_the_real_models_takes_milliseconds() -> None:
    try:
        paths = [model_path(name, fails) for name in MODEL_SHA256]
    except HeadsplatError as error:
        pytest.skip(f"the face models are not on this machine: {error}")
    started = time.process_time()
    for path in paths:
        model_path(path.stem, fails)
    assert time.process_time() - started < 2  # about 10 ms


def fails(folder: Path) -> None:
    raise OSError("nothing is downloaded by this test")
