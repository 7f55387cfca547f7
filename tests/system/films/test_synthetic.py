"""The synthetic video: determinism, consistent ground truth, and detection by the real networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from avatar.errors import HeadsplatError
from avatar.head import load_head
from avatar.types import NECK, ROOT
from capture.faces.detector import FaceDetector
from capture.faces.landmarks import LandmarkTracker, Roi
from capture.synthetic import SyntheticOptions, SyntheticScene, SyntheticTruth, make_video
from capture.synthetic.motion import perform
from capture.tracker.indices import inter_ocular
from capture.video.decoding import open_video

pytestmark = pytest.mark.slow
#: A whole performance with few small frames.
SMALL = SyntheticOptions(width=216, height=288, frames=24, fps=3.0)
NAMES = load_head().expression_names
Recording = tuple[Path, SyntheticTruth]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """A short video with its truth, written once. Read only."""
    path = tmp_path_factory.mktemp("synthetic") / "person.mp4"
    return path, make_video(path, SMALL, save_truth=True)


def test_a_frame_depends_on_the_seed_and_not_on_frames_before() -> None:
    options = SyntheticOptions(width=96, height=128, frames=10)
    first, second = SyntheticScene(options), SyntheticScene(options)
    second.frame(2)
    np.testing.assert_array_equal(first.frame(7), second.frame(7))


def test_another_seed_gives_another_motion() -> None:
    first, second = (perform(NAMES, 30, 30.0, 1.0, np.random.default_rng(seed)) for seed in (1, 2))
    assert not np.array_equal(first.expression, second.expression)
    assert not np.array_equal(first.joint_rot, second.joint_rot)


def test_the_video_has_every_frame_at_the_requested_size(recording: Recording) -> None:
    frames = [frame.rgb for frame in open_video(recording[0])]
    assert len(frames) == SMALL.frames
    assert {frame.shape for frame in frames} == {(SMALL.height, SMALL.width, 3)}


def test_the_truth_covers_every_frame_and_can_be_loaded(recording: Recording) -> None:
    path, truth = recording
    stored = SyntheticTruth.load(Path(f"{path}.truth.npz"))
    head = load_head()
    assert truth.expression.shape == (SMALL.frames, len(head.expression_names))
    assert truth.landmarks.shape == (1, SMALL.frames, 478, 2)
    assert truth.neutral_vertices.shape == tuple(head.v_template.shape)
    assert stored.expression_names == head.expression_names
    np.testing.assert_array_equal(stored.skull_rotation, truth.skull_rotation)


def test_the_posed_head_model_is_where_the_person_was_rendered(recording: Recording) -> None:
    truth = recording[1]
    head, params, camera = load_head(), truth.params(), truth.camera()
    points = head.landmarks(head.vertices(params)) @ camera.world_to_cam[0, :3, :3].T @ camera.K[0].T
    modeled = (points[..., :2] / points[..., 2:]).numpy()
    # Not zero: the rendered shape is outside the model's span. The head is about 100 pixels wide.
    distance = np.linalg.norm(modeled - truth.landmarks[0], axis=-1).mean()
    assert 0.05 < distance < 2.5


def test_the_person_is_outside_the_models_span(recording: Recording) -> None:
    truth, head = recording[1], load_head()
    skin = head.regions["face"]
    offset = torch.from_numpy(truth.neutral_vertices) - head.identity_vertices(torch.from_numpy(truth.identity))
    basis = head.shapedirs[skin].reshape(-1, head.shapedirs.shape[2])
    target = offset[skin].reshape(-1)
    fitted = basis @ torch.linalg.lstsq(basis, target[:, None]).solution[:, 0]
    assert (fitted - target).norm() > 0.15 * target.norm()


def test_the_performance_has_rotation_speech_and_blinks_and_starts_neutral() -> None:
    motion = perform(NAMES, 240, 30.0, 1.0, np.random.default_rng(7))
    yaw = np.degrees(motion.joint_rot[:, ROOT, 1] + motion.joint_rot[:, NECK, 1])
    assert yaw.min() < -30 and yaw.max() > 30
    for name in ("jawOpen", "mouthSmileLeft", "eyeBlinkLeft", "browInnerUp", "cheekPuff"):
        assert motion.expression[:, NAMES.index(name)].max() > 0.8, name
    mouth = [row for row, name in enumerate(NAMES) if name.startswith(("mouth", "jaw", "brow"))]
    assert motion.expression[:20, mouth].max() < 0.05


def test_the_two_eyes_blink_with_a_delay() -> None:
    motion = perform(NAMES, 240, 30.0, 1.0, np.random.default_rng(7))
    left, right = (motion.expression[:, NAMES.index(f"eyeBlink{side}")] for side in ("Left", "Right"))
    assert np.abs(left - right).max() > 0.1


def test_the_real_networks_find_the_face_and_its_landmarks(recording: Recording, face_models: None) -> None:
    path, truth = recording
    detector, tracker = FaceDetector(), LandmarkTracker()
    errors = []
    for index, frame in enumerate(open_video(path)):
        faces = detector.detect(frame.rgb)
        if not faces:
            continue
        rough = tracker.locate(frame.rgb, Roi.from_detection(faces[0]))
        found = tracker.locate(frame.rgb, Roi.from_landmarks(rough.points))
        distance = np.linalg.norm(found.points[:, :2] - truth.landmarks[0, index], axis=1).mean()
        errors.append(distance / inter_ocular(found.points))
    assert len(errors) >= 0.95 * SMALL.frames
    assert np.median(errors) < 0.05


def test_an_unknown_person_is_an_error_that_lists_the_names() -> None:
    with pytest.raises(HeadsplatError, match="noor"):
        SyntheticScene(SyntheticOptions(person="nobody"))


def test_an_odd_size_is_an_error() -> None:
    with pytest.raises(HeadsplatError, match="width"):
        SyntheticOptions(width=541)
