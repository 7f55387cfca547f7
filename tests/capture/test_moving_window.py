"""A capture whose window follows the head: cameras, images, split and resuming."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avatar.data.capture_folder import FRAMES_DIR, MATTES_DIR, TRACK_ARRAYS, Capture, frame_name
from avatar.head import load_head
from capture.options import CaptureOptions
from capture.pipeline import capture_frames
from tests.capture.video.fake_video import SIZE, FakeVideo, fake_models, fit_person_quickly, source_metadata
from tests.support.crops import crop_of_row

#: The face is so far away that the window is smaller than the frame.
FAR = 0.45


def captured(out: Path, video: FakeVideo | None = None) -> Capture:
    video = video or FakeVideo()
    options = CaptureOptions(passes=2, test_fraction=0.2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("capture.pipeline.fit_person", fit_person_quickly)
        patch.setattr("capture.stages.landmarks._SAVE_STEP", 5)
        patch.setattr("capture.stages.frames._SAVE_STEP", 5)
        return capture_frames(video, video.count, source_metadata(), out, options, None, fake_models(FAR))


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    return captured(tmp_path_factory.mktemp("capture") / "clip")


def test_the_window_moves_and_its_typical_place_is_that_of_the_training_frames(capture: Capture) -> None:
    centers = capture.track["principal_point"]
    assert capture.metadata["width"] < SIZE and (np.ptp(centers, axis=0) > 0).all()
    K = np.array(capture.metadata["cameras"][0]["K"])
    np.testing.assert_allclose(K[:2, 2], np.median(centers[capture.train_indices], axis=0))
    np.testing.assert_allclose(capture.camera(SIZE).K[0, :2, 2], K[:2, 2])


def test_few_pixels_are_reported(capture: Capture) -> None:
    (sentence,) = (text for text in capture.metadata["warnings"] if "pixels high in the video" in text)
    assert sentence.startswith("clip.mp4: the face is 5") and "stored and not enlarged" in sentence


def test_stored_frames_are_the_pixels_of_the_source_where_the_principal_points_say(capture: Capture) -> None:
    source = list(FakeVideo())
    gradient = np.add.outer(np.arange(SIZE), 3 * np.arange(SIZE)).astype(np.uint8)
    for row in (0, 17, 35):
        crop = crop_of_row(capture.metadata, capture.track["principal_point"][row])
        stored, _ = capture.images([row], SIZE)
        np.testing.assert_array_equal(stored[0], crop.apply(source[row].rgb))
        np.testing.assert_allclose(crop.principal_point(SIZE, SIZE), capture.track["principal_point"][row])
        assert crop.apply(gradient)[0, 0] == gradient[crop.y, crop.x]


def test_the_tracked_head_projects_to_the_stored_landmarks_through_the_camera_of_each_row(capture: Capture) -> None:
    head, rows = load_head(), np.arange(len(capture))
    points = head.landmarks(head.vertices(capture.params(rows)))[:, :468]
    seen = capture.camera(SIZE, rows).project(points).numpy()
    landmarks = capture.track["landmarks"][:, :468, :2]
    distance = np.linalg.norm(seen - landmarks, axis=-1).mean(1) / capture.metadata["quality"]["inter_ocular_px"]
    np.testing.assert_allclose(distance, capture.track["reprojection"], atol=2e-3)
    fixed = np.linalg.norm(capture.camera(SIZE).project(points.flatten(0, 1)).numpy().reshape(seen.shape) - landmarks)
    assert fixed > 1.5 * np.linalg.norm(seen - landmarks)


def test_an_interrupted_capture_has_the_same_windows(capture: Capture, tmp_path: Path) -> None:
    class Interrupted(FakeVideo):
        opened = 0

        def __iter__(self):  # type: ignore[no-untyped-def]
            self.opened += 1
            self.stop_after = 34 if self.opened > 2 else None
            return super().__iter__()

    with pytest.raises(KeyboardInterrupt):
        captured(tmp_path / "clip", Interrupted())
    resumed = captured(tmp_path / "clip")
    for name in TRACK_ARRAYS:
        np.testing.assert_array_equal(resumed.track[name], capture.track[name], err_msg=name)
    assert images(resumed, range(len(capture))) == images(capture, range(len(capture)))


def test_held_out_frames_move_no_window_of_a_training_frame(capture: Capture, tmp_path: Path) -> None:
    held_out, rows = capture.test_indices, capture.train_indices
    altered = FakeVideo(contents={int(number): 77 for number in capture.track["frame_number"][held_out]})
    other = captured(tmp_path / "clip", altered)
    for name in ("principal_point", "landmarks", "translation"):
        np.testing.assert_array_equal(capture.track[name][rows], other.track[name][rows], err_msg=name)
    assert capture.metadata["cameras"] == other.metadata["cameras"]
    assert images(capture, rows) == images(other, rows)
    assert images(capture, held_out) != images(other, held_out)


def images(capture: Capture, rows: object) -> list[bytes]:
    names = [frame_name(int(number)) for number in capture.track["frame_number"][np.asarray(rows)]]
    return [(capture.root / folder / name).read_bytes() for folder in (FRAMES_DIR, MATTES_DIR) for name in names]
