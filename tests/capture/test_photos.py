"""Photos of one person as the frames of one camera: sizes, focal lengths, errors, and a capture of them."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from avatar.common.image_io import write_image
from avatar.errors import HeadsplatError
from avatar.head import load_head
from avatar.video import write_video
from capture.options import CaptureOptions
from capture.photos import APART, CANVAS, MOST_PHOTOS, capture_photos, open_photos
from capture.report import write_report
from capture.tracker.camera import FILM_DIAGONAL
from tests.capture.video.fake_video import NO_FACE, FakeVideo, fake_models, fit_person_quickly
from tests.support.import_graph import ROOT


def photo(path: Path, width: int, height: int, focal_35mm: int | None = None, orientation: int = 1) -> Path:
    """A gray JPEG with a white dot in the middle and a dark left half, with EXIF if it has a focal length."""
    image = np.full((height, width, 3), 128, np.uint8)
    image[:, : width // 2] = 60
    cv2.circle(image, (width // 2, height // 2), height // 10, (255, 255, 255), -1)
    content = cv2.imencode(".jpg", image)[1].tobytes()
    if focal_35mm is not None:
        fields = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0) + struct.pack("<HHII", 0x8769, 4, 1, 38)
        exif = struct.pack("<HHHIHHI", 1, 0xA405, 3, 1, focal_35mm, 0, 0)
        body = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + fields + struct.pack("<I", 0) + exif
        content = content[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + content[2:]
    path.write_bytes(content)
    return path


def dot(rgb: np.ndarray) -> tuple[np.ndarray, float]:
    """Center [2] and radius of the white dot."""
    y, x = np.nonzero(rgb[..., 0] > 200)
    return np.array([x.mean(), y.mean()]) + 0.5, float(np.sqrt(len(x) / np.pi))


def test_photos_of_all_focal_lengths_become_frames_of_one_camera(tmp_path: Path) -> None:
    wide, long = photo(tmp_path / "a.jpg", 400, 300, 24), photo(tmp_path / "b.jpg", 300, 400, 48)
    source = open_photos([wide, long])
    focal = np.hypot(400, 300) * 48 / FILM_DIAGONAL
    assert source.prior.focal == pytest.approx(focal) and source.prior.origin == "metadata"
    assert (source.width, source.height) == (800, 600)  # the wide one is enlarged twice
    first, second = source
    assert (first.number, first.time, second.number, second.time) == (0, 0.0, 1, APART)
    for frame, radius in ((first, 60.0), (second, 40.0)):
        assert frame.rgb.shape == (600, 800, 3)
        center, found = dot(frame.rgb)
        np.testing.assert_allclose(center, [400, 300], atol=1.5)
        assert found == pytest.approx(radius, rel=0.05)
    assert abs(int(second.rgb[300, 0, 0]) - 60) < 5  # beside the photo its edge is repeated


def test_a_photo_without_a_focal_length_has_that_of_a_typical_camera(tmp_path: Path) -> None:
    source = open_photos([photo(tmp_path / "a.jpg", 400, 300)])
    assert source.prior.focal == pytest.approx(1.4 * 300) and source.prior.origin == "typical camera"
    write_image(tmp_path / "b.png", np.zeros((300, 400, 3), np.uint8))
    assert open_photos([tmp_path / "b.png"]).prior == source.prior
    damaged = photo(tmp_path / "c.jpg", 400, 300, 26)
    damaged.write_bytes(damaged.read_bytes().replace(b"II*\0", b"II*\1"))
    assert open_photos([damaged]).prior == source.prior


def test_a_photo_taken_on_its_side_is_upright(tmp_path: Path) -> None:
    source = open_photos([photo(tmp_path / "a.jpg", 400, 300, 26, orientation=6)])
    (frame,) = source
    assert frame.rgb.shape == (400, 300, 3)
    assert frame.rgb[20, 150].mean() < 100 < frame.rgb[380, 150].mean()  # the dark half is above


def _motion_photos(folder: Path) -> list[Path]:
    """Motion photos as phones write them: JPEG and HEIC with an MP4 behind, and with a box for it."""
    write_video(folder / "clip.mp4", [np.zeros((16, 16, 3), np.uint8)] * 2, 30)
    video = (folder / "clip.mp4").read_bytes()
    heic = (ROOT / "tests" / "data" / "pillow.heic").read_bytes()
    contents = {
        "MVIMG_1.jpg": photo(folder / "a.jpg", 64, 48).read_bytes() + video,
        "20230101_120000.jpg": photo(folder / "a.jpg", 64, 48).read_bytes() + b"MotionPhoto_Data" + video + b"SEFT",
        "PXL.MP.heic": heic + struct.pack(">I4s", 8 + len(video), b"mpvd") + video,
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in contents]


def test_motion_photos_are_photos_and_say_that_their_video_is_not_read(tmp_path: Path) -> None:
    for path in _motion_photos(tmp_path):
        source = open_photos([path])
        assert len(list(source)) == 1
        assert source.warnings == (
            f"{path.name}: a motion photo; its video is not read: export it in the phone's gallery, and train from it "
            "for an avatar with the person's own expressions",
        )
    assert open_photos([tmp_path / "a.jpg", ROOT / "tests" / "data" / "pillow.heic"]).warnings == ()


def test_large_photos_are_reduced_to_the_canvas(tmp_path: Path) -> None:
    source = open_photos([photo(tmp_path / "a.jpg", 3000, 4000)])
    assert (source.width, source.height) == (CANVAS * 3 // 4, CANVAS)
    assert source.prior.focal == pytest.approx(1.4 * CANVAS * 3 / 4)


def test_turned_photos_turn_with_their_canvas(tmp_path: Path) -> None:
    source = open_photos([photo(tmp_path / "a.jpg", 400, 300)])
    turned = source.with_turn(90)
    assert (turned.width, turned.height) == (300, 400)
    np.testing.assert_array_equal(next(iter(turned)).rgb, np.rot90(next(iter(source)).rgb))
    np.testing.assert_array_equal(next(iter(turned.with_turn(270))).rgb, next(iter(source)).rgb)


def test_wrong_photos_get_one_sentence(tmp_path: Path) -> None:
    good = photo(tmp_path / "a.jpg", 64, 64)
    with pytest.raises(HeadsplatError, match="at most 20; choose the sharpest"):
        open_photos([good] * (MOST_PHOTOS + 1))
    with pytest.raises(HeadsplatError, match=r"a\.jpg: given twice"):
        open_photos([good, good])
    (tmp_path / "b.jpg").write_bytes(b"no photo")
    with pytest.raises(HeadsplatError, match=r"b\.jpg: not a photo that can be read"):
        open_photos([good, tmp_path / "b.jpg"])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (CaptureOptions(test_fraction=0.2), "--test-fraction: not for photos, all are used for training"),
        (CaptureOptions(test_camera="0"), "--test-camera: not for photos"),
        (CaptureOptions(focal=500.0), "--focal: not for photos, each has a focal length of its own"),
        (CaptureOptions(orbit=True), "--orbit: not for photos, a walk is a video"),
    ],
)
def test_options_that_photos_cannot_have_are_refused(tmp_path: Path, options: CaptureOptions, sentence: str) -> None:
    with pytest.raises(HeadsplatError, match=sentence):
        capture_photos([photo(tmp_path / "a.jpg", 64, 64)], tmp_path / "out", options)
    assert not (tmp_path / "out").exists()


def _faces(folder: Path, count: int, contents: dict[int, int] | None = None) -> list[Path]:
    """Frames of the fake video as photos."""
    paths = []
    for frame in FakeVideo(count, contents):
        paths.append(folder / f"{frame.number}.png")
        write_image(paths[-1], frame.rgb[..., ::-1])
    return paths


@pytest.mark.parametrize("count", [1, 3])
def test_photos_are_captured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr("capture.pipeline.fit_person", fit_person_quickly)
    capture = capture_photos(_faces(tmp_path, count), tmp_path / "out", CaptureOptions(passes=2), None, fake_models())
    assert len(capture) == len(capture.train_indices) == count
    names = [f"{number}.png" for number in range(count)]
    assert capture.metadata["source"]["photos"] == names
    assert capture.metadata["source"]["name"] == ("0.png" if count == 1 else "0.png and 2 more")
    np.testing.assert_allclose(capture.track["time"], np.arange(count) * APART)
    assert (capture.track["reprojection"] < 0.05).all()
    report = write_report(capture, load_head(), overlay=False)
    assert [advice.startswith("One photo shows one view") for advice in report.advice] == [True] * (count == 1)
    assert ("film again" in report.to_text()) == (count == 1)


def test_photos_without_a_face_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capture.pipeline.fit_person", fit_person_quickly)
    photos = _faces(tmp_path, 3, {1: NO_FACE})
    capture = capture_photos(photos, tmp_path / "out", CaptureOptions(passes=2), None, fake_models())
    assert capture.track["frame_number"].tolist() == [0, 2]
    assert any("the face is missing in 1 of 3" in warning for warning in capture.metadata["warnings"])
    nobody = _faces(tmp_path, 2, {0: NO_FACE, 1: NO_FACE})
    with pytest.raises(HeadsplatError, match="no face found in any frame"):
        capture_photos(nobody, tmp_path / "none", CaptureOptions(passes=2), None, fake_models())
