"""A face that lies on its side or stands on its head in a video is found, turned upright and reported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avatar.cli import main
from avatar.common.image_io import write_image
from avatar.data.capture_folder import Capture
from avatar.errors import HeadsplatError
from avatar.video import write_video
from capture.faces.people import SIGNATURE
from capture.matting.user_matte import open_mattes
from capture.options import FaceModels
from capture.stages.frames import ImageStage
from capture.stages.landmarks import FaceFollower, LandmarkTable, choose_person
from capture.stages.orientation import find_turn
from capture.synthetic import SyntheticOptions, make_video
from capture.tracker.indices import inter_ocular
from capture.video.crop import Crop, MovingWindow
from capture.video.decoding import SourceFrame, open_video
from capture.video.split import FramePlan
from capture.workspace import Workspace
from tests.capture.conftest import face_models, sparse  # noqa: F401  (fixtures)
from tests.capture.video.fake_video import fake_models, fit_person_quickly, true_points

WIDTH, HEIGHT, FRAMES = 224, 288, 16
#: Bound on the mean distance of landmarks from those of the upright clip, fraction of the inter-ocular distance: the
#: codec sees a turned image. A face on its side is beyond 1.
SAME_PLACE = 0.03


@pytest.fixture(scope="module")
def frames(sparse: str, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:  # noqa: F811
    """Upright frames [16,H,W,3] of a synthetic person."""
    path = tmp_path_factory.mktemp("turned") / "clip.mp4"
    make_video(path, SyntheticOptions(person=sparse, width=WIDTH, height=HEIGHT, frames=FRAMES, crf=8))
    return np.stack([frame.rgb for frame in open_video(path)])


def captured(frames: np.ndarray, quarters: int, folder: Path) -> Capture:
    """The capture of the frames turned counter-clockwise by quarters of a turn, made by the command."""
    write_video(folder / "clip.mp4", np.rot90(frames, quarters, axes=(1, 2)), 30, crf=8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("capture.pipeline.fit_person", fit_person_quickly)
        arguments = ["capture", str(folder / "clip.mp4"), "-o", str(folder / "out"), "--passes", "1", "--no-overlay"]
        assert main(arguments) == 0
    return Capture.load(folder / "out")


@pytest.fixture(scope="module")
def upright(frames: np.ndarray, face_models: None, tmp_path_factory: pytest.TempPathFactory) -> Capture:  # noqa: F811
    return captured(frames, 0, tmp_path_factory.mktemp("upright"))


def test_an_upright_face_is_not_turned(upright: Capture) -> None:
    assert upright.metadata["source"]["turned"] == 0
    assert not any("turned" in warning for warning in upright.metadata["warnings"])


@pytest.mark.parametrize(("quarters", "turn", "how"), [(1, 270, "on its side"), (2, 180, "upside down")])
def test_a_turned_face_is_captured_as_if_it_were_upright(
    quarters: int,
    turn: int,
    how: str,
    frames: np.ndarray,
    upright: Capture,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    capture = captured(frames, quarters, tmp_path)
    source, expected = capture.metadata["source"], upright.metadata["source"]
    assert source["turned"] == source["rotation"] == turn
    assert (source["width"], source["height"]) == (expected["width"], expected["height"]) == (WIDTH, HEIGHT)
    assert len(capture) == len(upright) == FRAMES

    images = [each.images(range(FRAMES), 4096)[0] for each in (capture, upright)]
    assert images[0].shape == images[1].shape
    assert np.abs(images[0].astype(float) - images[1]).mean() < 4  # of 255: lossy coding
    unit = float(np.median(inter_ocular(upright.track["landmarks"][0])))
    apart = np.linalg.norm(capture.track["landmarks"][..., :2] - upright.track["landmarks"][..., :2], axis=-1)
    assert apart.mean() < SAME_PLACE * unit
    assert np.abs(capture.track["joint_rot"][:, 0] - upright.track["joint_rot"][:, 0]).max() < np.deg2rad(5)
    depth = np.abs(upright.track["translation"][:, 2]).mean()
    assert np.abs(capture.track["translation"] - upright.track["translation"]).max() < 0.05 * depth

    shown = capsys.readouterr()
    sentence = f"the face is {how} in the video; the frames were turned by {turn} degrees"
    assert sentence in shown.err and sentence in shown.out  # a line of the command, and the report
    assert any(sentence in warning for warning in capture.metadata["warnings"])


@pytest.mark.parametrize("quarters", range(4))
def test_every_turn_is_found(quarters: int, frames: np.ndarray, face_models: None, tmp_path: Path) -> None:  # noqa: F811
    write_video(tmp_path / "clip.mp4", np.rot90(frames[:4], quarters, axes=(1, 2)), 30, crf=8)
    video = open_video(tmp_path / "clip.mp4")
    (tmp_path / "partial").mkdir()
    turn = find_turn(video, np.arange(4), FaceFollower(FaceModels(), 1), Workspace(tmp_path))
    assert turn == -90 * quarters % 360
    found = next(iter(video.with_turn(turn))).rgb
    assert found.shape == frames.shape[1:]
    assert np.abs(found.astype(float) - frames[0]).mean() < 4


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_mattes_of_the_user_turn_with_the_frames(turn: int, tmp_path: Path) -> None:
    upright = np.zeros((40, 30), np.uint8)
    upright[:10, :5] = 255
    (tmp_path / "mattes").mkdir()
    write_image(tmp_path / "mattes" / "00000.png", np.rot90(upright, -turn // 90))
    plan, crop = FramePlan(np.zeros(1, np.int64), np.zeros(1, bool)), Crop(0, 0, 30, 40, 1.0)
    window = MovingWindow.around(np.zeros((1, 478, 3)), np.zeros(1), (30, 40), "full", 64)
    folder = open_mattes(tmp_path / "mattes")
    stage = ImageStage(
        plan,
        LandmarkTable(),
        window,
        FaceFollower(fake_models(), 1),
        fake_models(),
        Workspace(tmp_path),
        folder,
        turn,
    )
    frame = SourceFrame(0, 0.0, np.zeros((40, 30, 3), np.uint8))
    np.testing.assert_array_equal(stage._user_matte(frame, crop), upright)


def table(turned: set[int]) -> LandmarkTable:
    """Landmarks of 20 frames; in those of `turned` the face stands on its head."""
    found = LandmarkTable(seen=20)
    for number in range(20):
        points = true_points(number, 0).astype(np.float32)
        if number in turned:
            points[:, :2] = 192 - points[:, :2]
        found.number.append(number)
        found.time.append(number / 30)
        found.points.append(points)
        found.spread.append(np.zeros(478, np.float32))
        found.presence.append(1.0)
        found.person.append(0)
        found.signature.append(np.zeros(SIGNATURE, np.float32))
        found.roi.append(np.zeros(4))
    return found


def test_frames_with_the_mouth_above_the_eyes_are_left_out() -> None:
    kept, warnings = choose_person(table({3, 4}), "clip.mp4", 20)
    assert kept.number == [number for number in range(20) if number not in (3, 4)]
    assert "clip.mp4: the eyes are not above the mouth in 2 frames; left out" in warnings


def test_a_clip_with_the_mouth_above_the_eyes_throughout_is_refused() -> None:
    with pytest.raises(HeadsplatError, match="the face is not upright in any frame"):
        choose_person(table(set(range(20))), "clip.mp4", 20)
