from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from avatar.data.capture_folder import TRACK_ARRAYS, Capture, frame_name
from avatar.data.foreground import take_foreground_colors
from avatar.data.kept_images import KeptImages
from avatar.data.stored_images import normalize_exposure
from avatar.errors import HeadsplatError
from avatar.head import load_head
from capture.options import CaptureOptions
from capture.pipeline import capture_frames, run_capture
from capture.workspace import Workspace
from tests.capture.video.fake_video import NO_FACE, FakeVideo, fake_models, fit_person_quickly, source_metadata

#: Arrays of one row per frame.
PER_FRAME = [name for name, spec in TRACK_ARRAYS.items() if spec.axes[0] == "T"]


def _capture(out: Path, video: FakeVideo | None = None, models=None, **options) -> Capture:
    video = video or FakeVideo()
    chosen = CaptureOptions(passes=2, **options)
    return capture_frames(video, video.count, source_metadata(), out, chosen, None, models or fake_models())


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Capture:
    return _capture(tmp_path_factory.mktemp("capture") / "clip", test_fraction=0.2)


@pytest.fixture(scope="module")
def finished_quickly(finished, tmp_path_factory) -> Capture:
    """The same with the tracker of `quick`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("capture.pipeline.fit_person", fit_person_quickly)
        return _capture(tmp_path_factory.mktemp("quick") / "clip", test_fraction=0.2)


@pytest.fixture(autouse=True)
def quick(finished, monkeypatch) -> None:
    """Captures that tests make themselves take one iteration for the identity; `finished` took all."""
    monkeypatch.setattr("capture.pipeline.fit_person", fit_person_quickly)


def test_a_finished_capture_has_every_array_image_and_fact(finished):
    assert len(finished) == 40 and len(finished.test_indices) == 8
    assert set(finished.track) == set(TRACK_ARRAYS)
    assert (np.diff(finished.track["frame_number"]) == 1).all()
    rgb, alpha = finished.images(range(40), 4096)
    assert rgb.shape == (40, 192, 192, 3) and alpha.shape == (40, 192, 192)
    facts = finished.metadata
    for name in ("headsplat", "source", "crop", "cameras", "units", "head", "split", "warnings", "seconds", "consent"):
        assert name in facts
    assert facts["head"]["model_id"] == load_head().model_id
    assert facts["split"] == {"mode": "fraction", "value": 0.2, "train": 32, "test": 8}
    assert not (finished.root / "partial").exists()


@pytest.mark.parametrize("size", [4096, 64])
def test_training_images_kept_in_memory_are_those_prepared_from_the_files(tmp_path, size):
    kept = KeptImages(size)
    options = CaptureOptions(passes=2, test_fraction=0.2)
    video = FakeVideo()
    capture = capture_frames(video, 40, source_metadata(), tmp_path, options, None, fake_models(), kept=kept)
    rows = capture.train_indices
    rgb, alpha = capture.images(rows, size)
    normalize_exposure(rgb, capture.track["exposure"][rows])
    take_foreground_colors(rgb, alpha)
    numbers = capture.track["frame_number"][rows].tolist()
    taken = kept.take(numbers, capture.size_at(size))
    assert taken is not None and capture.kept is kept
    for mine, prepared in zip(taken, (rgb, alpha), strict=True):
        np.testing.assert_array_equal(mine, prepared)
    assert kept.take(numbers, capture.size_at(size)) is None


def test_training_images_that_an_earlier_run_stored_are_not_kept():
    kept = KeptImages(64)
    kept.expect([3, 4], (64, 64))
    kept.add(3, np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64), np.uint8))
    kept.prepare([3, 4], np.ones((2, 3)))
    assert kept.take([3, 4], (64, 64)) is None


def test_stored_parameters_put_the_heads_landmarks_on_the_stored_ones(finished):
    head = load_head()
    params = finished.params(range(len(finished)))
    points = head.landmarks(head.vertices(params))[:, :468].numpy()
    camera = finished.camera(4096)
    seen = points @ camera.world_to_cam[0, :3, :3].numpy().T
    pixels = seen @ camera.K[0].numpy().T
    distance = np.linalg.norm(pixels[..., :2] / pixels[..., 2:] - finished.track["landmarks"][:, :468, :2], axis=-1)
    unit = finished.metadata["quality"]["inter_ocular_px"]
    np.testing.assert_allclose(distance.mean(1) / unit, finished.track["reprojection"], atol=2e-3)
    assert finished.track["reprojection"].mean() < 0.02


def test_untracked_expressions_and_joints_stay_zero(finished):
    names = finished.expression_names
    silent = [k for k, name in enumerate(names) if name.startswith(("eyeLook", "eyelid", "tongueOut"))]
    assert not finished.track["expression"][:, silent].any()
    assert not finished.track["joint_rot"][:, 1:3].any()
    assert finished.track["expression"].min() >= 0 and finished.track["expression"].max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "split", [{"test_fraction": 0.25}, {"test_every": 4}, {"test_yaw": 8.0}], ids=["fraction", "every", "yaw"]
)
def test_changing_test_frames_leaves_every_training_number_bit_identical(tmp_path, split):
    plain = _capture(tmp_path / "plain", **split)
    held_out = plain.track["frame_number"][plain.test_indices]
    altered = FakeVideo(contents={int(number): 77 for number in held_out})
    other = _capture(tmp_path / "other", altered, **split)
    rows = plain.train_indices
    np.testing.assert_array_equal(rows, other.train_indices)
    np.testing.assert_array_equal(plain.track["identity"], other.track["identity"])
    for name in PER_FRAME:
        np.testing.assert_array_equal(plain.track[name][rows], other.track[name][rows], err_msg=name)
    assert plain.metadata["cameras"] == other.metadata["cameras"] and plain.metadata["crop"] == other.metadata["crop"]
    for number in plain.track["frame_number"][rows]:
        for folder in ("frames", "mattes"):
            name = frame_name(int(number))
            assert (plain.root / folder / name).read_bytes() == (other.root / folder / name).read_bytes()
    held = plain.test_indices
    assert not np.array_equal(plain.track["expression"][held], other.track["expression"][held])


@pytest.mark.slow
@pytest.mark.parametrize("stop", [13, 31], ids=["in training frames", "in held-out frames"])
@pytest.mark.parametrize("passed", [1, 2], ids=["first pass", "second pass"])  # after that for the orientation
def test_an_interrupted_capture_resumes_to_the_same_result(tmp_path, monkeypatch, finished_quickly, stop, passed):
    monkeypatch.setattr("capture.stages.landmarks._SAVE_STEP", 5)
    monkeypatch.setattr("capture.stages.frames._SAVE_STEP", 5)
    video = FakeVideo()

    class Interrupted(FakeVideo):
        opened = 0

        def __iter__(self):
            self.opened += 1
            self.stop_after = stop if self.opened > passed else None
            return super().__iter__()

    with pytest.raises(KeyboardInterrupt):
        _capture(tmp_path / "clip", Interrupted(), test_fraction=0.2)
    assert not (tmp_path / "clip" / "capture.json").exists()
    resumed = _capture(tmp_path / "clip", video, test_fraction=0.2)
    for name in TRACK_ARRAYS:
        np.testing.assert_array_equal(resumed.track[name], finished_quickly.track[name], err_msg=name)
    for folder in ("frames", "mattes"):
        for path in sorted((finished_quickly.root / folder).iterdir()):
            assert path.read_bytes() == (resumed.root / folder / path.name).read_bytes(), path.name


def test_frames_without_the_face_are_left_out_and_counted(tmp_path):
    video = FakeVideo(contents=dict.fromkeys([7, 8, 9, 36], NO_FACE))
    capture = _capture(tmp_path / "clip", video, test_fraction=0.2)
    assert not set(capture.track["frame_number"]) & {7, 8, 9, 36}
    assert capture.metadata["lost"] == [7, 8, 9, 36]
    assert len(list((capture.root / "frames").iterdir())) == 36
    assert any("missing in 3 of 32 training frames" in text for text in capture.metadata["warnings"])
    assert any("1 of 8 held-out frames" in text for text in capture.metadata["warnings"])


def test_fast_video_keeps_the_sources_frame_numbers(tmp_path):
    capture = _capture(tmp_path / "clip", FakeVideo(80, fps=60.0), test_every=5)
    assert capture.track["frame_number"].tolist() == list(range(0, 80, 2))
    np.testing.assert_allclose(capture.track["time"], np.arange(0, 80, 2) / 60)


def test_how_frames_became_upright_is_recorded(tmp_path, finished):
    video = FakeVideo(20)
    video.mirrored = True
    source = _capture(tmp_path / "out", video).metadata["source"]
    assert (source["rotation"], source["mirrored"], finished.metadata["source"]["mirrored"]) == (0, True, False)


def test_another_smaller_face_is_a_warning(tmp_path):
    capture = _capture(tmp_path / "clip", models=fake_models(other=0.45))
    assert any("other faces are in the image" in text for text in capture.metadata["warnings"])


@pytest.mark.parametrize(
    ("video", "models", "words"),
    [
        (FakeVideo(contents=dict.fromkeys(range(40), NO_FACE)), fake_models(), "clip.mp4: no face found"),
        (FakeVideo(contents=dict.fromkeys(range(30), NO_FACE)), fake_models(), "only 10 training frames show the face"),
        (FakeVideo(12), fake_models(), "clip.mp4: 12 training frames, at least 16 are needed"),
        (FakeVideo(), fake_models(scale=0.3), "the face is too small"),
        (FakeVideo(), fake_models(other=0.9), "several people of similar size"),
    ],
    ids=["no face", "few faces", "short", "small", "several people"],
)
def test_an_unusable_clip_is_refused_in_one_sentence(tmp_path, video, models, words):
    with pytest.raises(HeadsplatError, match=words) as caught:
        _capture(tmp_path / "clip", video, models)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "clip" / "capture.json").exists()


def test_a_finished_capture_is_not_overwritten_unasked(finished):
    with pytest.raises(HeadsplatError, match="a finished capture is there; add --overwrite"):
        _capture(finished.root, test_fraction=0.2)


def test_overwrite_makes_it_again(tmp_path):
    first = _capture(tmp_path / "clip", test_fraction=0.2)
    again = _capture(first.root, test_every=5, overwrite=True)
    assert again.metadata["split"]["mode"] == "every"


def test_other_peoples_folders_are_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(HeadsplatError, match="holds other files"):
        _capture(tmp_path, overwrite=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_an_unfinished_capture_with_other_options_is_refused(tmp_path):
    Workspace(tmp_path / "clip").open({"source": "0", **CaptureOptions(passes=3).key()}, overwrite=False)
    with pytest.raises(HeadsplatError, match=r"another .*passes"):
        _capture(tmp_path / "clip")


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "clip").write_text("x")
    with pytest.raises(HeadsplatError, match="a file is in the way"):
        _capture(tmp_path / "clip")


@pytest.mark.parametrize(
    ("code", "words"),
    [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "no permission"), (errno.EACCES, "no permission")],
)
def test_failures_of_the_disk_are_put_into_words(tmp_path, monkeypatch, code, words):
    def fail(self, content):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(HeadsplatError, match=words):
        _capture(tmp_path / "clip")


def test_mattes_of_the_users_own_are_taken(tmp_path):
    folder = tmp_path / "mattes"
    folder.mkdir()
    for number in range(40):
        cv2.imwrite(str(folder / frame_name(number)), np.full((192, 192), number, np.uint8))
    capture = _capture(tmp_path / "clip", mattes=folder)
    _, alpha = capture.images([3, 20], 192)
    assert (alpha[0] == 3).all() and (alpha[1] == 20).all()


def test_progress_counts_up_in_every_stage(tmp_path):
    told: list[tuple[str, int, int]] = []
    options = CaptureOptions(passes=1, test_every=4)
    capture_frames(
        FakeVideo(),
        40,
        source_metadata(),
        tmp_path / "clip",
        options,
        lambda *event: told.append(event),
        fake_models(),
    )
    for stage, total in (("landmarks", 30), ("mattes", 40), ("track", 40)):
        done = [event[1] for event in told if event[0] == stage]
        assert done == sorted(done) and done[-1] == total


def test_facts_are_plain_json(finished):
    text = (finished.root / "capture.json").read_text(encoding="utf-8")
    assert json.loads(text)["magic"] == "headsplat-capture"


def test_a_missing_video_is_named(tmp_path):
    with pytest.raises(HeadsplatError, match="no such file"):
        run_capture(tmp_path / "nothing.mp4", tmp_path / "out")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"max_frames": 3}, "--max-frames"),
        ({"max_size": 10}, "--max-size"),
        ({"framing": "wide"}, "--framing: expected head, bust, full, got 'wide'"),
        ({"passes": 0}, "--passes"),
        ({"focal": -1.0}, "--focal"),
    ],
)
def test_impossible_options_are_refused_in_words(arguments, words):
    with pytest.raises(HeadsplatError, match=words):
        CaptureOptions(**arguments)


def test_a_training_frame_that_is_not_decoded_again_is_left_out(tmp_path):
    class Flaky(FakeVideo):
        passes = 0

        def __iter__(self):
            self.passes += 1
            return (frame for frame in super().__iter__() if self.passes < 3 or frame.number != 7)

    capture = _capture(tmp_path / "clip", Flaky(24))
    assert 7 not in capture.track["frame_number"] and len(capture) == 23
    assert "1 training frames could not be decoded again; left out" in capture.metadata["warnings"]


def test_a_capture_of_a_part_of_the_frames_says_how_many(tmp_path):
    capture = _capture(tmp_path / "clip", max_frames=20)
    assert len(capture) == 20
    assert any(
        "of 40 frames the 20 are used that show the most different poses" in each
        for each in capture.metadata["warnings"]
    )
