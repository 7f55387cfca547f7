"""The report on a capture: statistics, advice, image and overlay, on a tiny capture with an exact track."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch

from avatar.data.capture_folder import METADATA_FILE, TRACK_FILE, Capture
from avatar.errors import HeadsplatError
from avatar.head import load_head
from avatar.refine.track import RefinedTrack
from avatar.types import Camera
from capture.coach.requests import REQUESTS, WARNINGS
from capture.report import read_report, write_report
from capture.report.advice import check_coverage, check_photos
from capture.report.coverage import Coverage, count_blinks, count_views
from capture.report.coverage_image import HEIGHT, Canvas, coverage_image, pairs_of
from capture.report.face_pixels import PixelStatistics, blurredness
from capture.report.geometry import TrackedGeometry
from capture.report.overlay import PosedHead, draw_head, outer_faces
from capture.report.summary import CaptureReport, report_on
from tests.support.tiny import DISTANCE, tiny_capture


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    """A capture to write into."""
    return tiny_capture(tmp_path_factory.mktemp("report") / "capture", frames=20, size=96)


@pytest.fixture(scope="module")
def geometry(own: Capture) -> TrackedGeometry:
    return TrackedGeometry.of(own, load_head())


@pytest.fixture(scope="module")
def report(own: Capture, geometry: TrackedGeometry) -> CaptureReport:
    return report_on(own, geometry)


def changed(report: CaptureReport, **numbers: object) -> list[str]:
    """Topics of the advice after these values of the coverage have changed."""
    checks = check_coverage(dataclasses.replace(report.coverage, **numbers))
    return [check.topic for check in checks if not check.good]


def test_exact_tracks_have_no_reprojection_error_in_any_region(report: CaptureReport) -> None:
    for row in report.reprojection_percent_iod.values():
        assert set(row) == {"all", "lips", "eyes", "brows", "nose", "oval"}
        assert max(row.values()) < 0.01


def test_yaw_and_pitch_are_those_of_the_pose(own: Capture, geometry: TrackedGeometry) -> None:
    expected = np.degrees(own.track["joint_rot"][:, 0, 1])
    np.testing.assert_allclose(geometry.yaw, expected, atol=2.0)  # it also moves sideways by a centimeter
    assert np.corrcoef(geometry.pitch, -own.track["joint_rot"][:, 0, 0])[0, 1] > 0.95


def test_yaw_does_not_depend_on_the_distance_of_the_head(own: Capture) -> None:
    moved = dataclasses.replace(own, track={**own.track, "translation": own.track["translation"] * [0, 0, 1]})
    far = dataclasses.replace(moved, track={**moved.track, "translation": moved.track["translation"] * 3})
    near, away = (TrackedGeometry.of(capture, load_head()).yaw for capture in (moved, far))
    np.testing.assert_allclose(near, away, atol=3.0)


def test_the_mouth_gap_follows_the_jaw(own: Capture, geometry: TrackedGeometry, report: CaptureReport) -> None:
    jaw = own.track["expression"][:, own.expression_names.index("jawOpen")]
    gap = np.linalg.norm(geometry.skull[:, 13] - geometry.skull[:, 14], axis=1)
    assert np.corrcoef(jaw, gap)[0, 1] > 0.95
    assert report.coverage.mouth_gap_mm[1] == pytest.approx(1e3 * gap[own.train_indices].max(), rel=0.05)


def test_only_training_frames_count(own: Capture, geometry: TrackedGeometry) -> None:
    altered = {name: array.copy() for name, array in own.track.items()}
    altered["expression"][own.test_indices] = 1.0
    other = dataclasses.replace(own, track=altered)
    pixels = PixelStatistics.of(own, own.train_indices, geometry.projected)
    assert Coverage.of(other, TrackedGeometry.of(other, load_head()), pixels) == Coverage.of(own, geometry, pixels)


def test_a_blink_closes_and_opens_again() -> None:
    closed = np.array([0.1, 0.02])
    openings = np.concatenate([[0.3] * 5, closed, [0.15], closed, [0.3] * 5, closed, [0.29] * 4, closed])
    assert count_blinks(openings) == 2


def test_views_outside_the_map_go_to_the_border_cells() -> None:
    counts = np.array(count_views(np.array([0.0, -80.0, 90.0]), np.array([0.0, 50.0, -50.0])))
    assert counts.sum() == 3
    assert counts[2, 4] == counts[0, 0] == counts[-1, -1] == 1


def test_blurredness_rises_with_blur_and_not_with_brightness() -> None:
    image = np.random.default_rng(0).uniform(0, 255, (80, 80)).astype(np.uint8)
    soft = cv2.GaussianBlur(image, (0, 0), 1.5)
    assert blurredness(image) < blurredness(soft) < blurredness(cv2.GaussianBlur(image, (0, 0), 4))
    assert blurredness(soft // 2) == pytest.approx(blurredness(soft), abs=0.02)


@pytest.mark.parametrize(
    ("numbers", "topic"),
    [
        ({"yaw": (-31.0, 12.0)}, "turning"),
        ({"pitch": (-20.0, 3.0)}, "nodding"),
        ({"mouth_gap_mm": (1.0, 12.0)}, "mouth open"),
        ({"mouth_width": 1.02}, "smile"),
        ({"blinks": {"left": 9, "right": 1}}, "blinking"),
        ({"brows_mm": 2.0}, "brows"),
        ({"gaze": (3.0, 30.0)}, "gaze"),
        ({"frames": 30}, "length"),
        ({"face_pixels": 40.0}, "size"),
        ({"blur": (0.3, 0.75)}, "sharpness"),
        ({"exposure": (0.8, 1.2)}, "steady light"),
        ({"side_light": 2.5}, "light"),
        ({"hidden": {"eyes": 0.8, "mouth": 0.0}}, "visible eyes"),
        ({"hidden": {"eyes": 0.0, "mouth": 0.3}}, "visible mouth"),
        ({"hidden": {"eyes": 0.9, "mouth": 0.7}}, "visible face"),
    ],
)
def test_a_failed_check_gives_advice(report: CaptureReport, numbers: dict[str, object], topic: str) -> None:
    everything = {
        "yaw": (-40.0, 40.0),
        "pitch": (-20.0, 20.0),
        "mouth_gap_mm": (0.0, 30.0),
        "mouth_width": 1.2,
        "gap_when_wide_mm": 6.0,
        "blinks": {"left": 5, "right": 5},
        "brows_mm": 9.0,
        "gaze": (40.0, 30.0),
        "frames": 300,
        "face_pixels": 120.0,
        "blur": (0.35, 0.45),
        "exposure": (0.95, 1.05),
        "brightness": 0.5,
        "clipped": 0.0,
        "side_light": 1.1,
        "hidden": {"eyes": 0.1, "mouth": 0.1},
    }
    assert changed(report, **everything) == []
    assert changed(report, **{**everything, **numbers}) == [topic]


@pytest.mark.parametrize(
    ("hidden", "sentence", "not_measured"),
    [
        (
            {"eyes": 0.8, "mouth": 0.0},
            "The eyes are hidden in 80% of the frames, as by sunglasses, a headset, a hat or hair",
            {"blinking", "gaze"},
        ),
        (
            {"eyes": 0.0, "mouth": 0.31},
            "The mouth is hidden in 31% of the frames, as by a mask, a hand or a microphone",
            {"mouth open", "smile"},
        ),
        (
            {"eyes": 1.0, "mouth": 0.9},
            "The eyes are hidden in 100% and the mouth in 90% of the frames: an avatar of them would be a guess",
            {"blinking", "gaze", "mouth open", "smile"},
        ),
    ],
)
def test_a_hidden_region_is_reported_and_not_measured(
    report: CaptureReport, hidden: dict[str, float], sentence: str, not_measured: set[str]
) -> None:
    still = {"left": 0, "right": 0}
    coverage = dataclasses.replace(report.coverage, hidden=hidden, blinks=still, mouth_gap_mm=(0.0, 1.0))
    checks = check_coverage(coverage)
    assert sum(check.advice.startswith(sentence) and not check.good for check in checks) == 1
    assert not not_measured & {check.topic for check in checks}
    found = dataclasses.replace(report, coverage=coverage, checks=tuple(checks))
    assert sentence in found.to_text() and json.loads(found.to_json())["coverage"]["hidden"] == hidden


def test_several_photos_are_checked_for_hidden_regions_only(report: CaptureReport) -> None:
    assert check_photos(dataclasses.replace(report.coverage, hidden={"eyes": 0.0, "mouth": 0.0})) == []
    masked = check_photos(dataclasses.replace(report.coverage, hidden={"eyes": 0.0, "mouth": 1.0}))
    assert [check.topic for check in masked] == ["visible mouth"]


def test_a_single_photo_is_said_to_show_one_view(report: CaptureReport) -> None:
    seen = {"eyes": 0.0, "mouth": 0.0}
    assert check_photos(dataclasses.replace(report.coverage, frames=2, hidden=seen)) == []
    (check,) = check_photos(dataclasses.replace(report.coverage, frames=1, hidden=seen))
    assert check.advice.startswith("One photo shows one view") and "add photos of both sides" in check.advice


def test_advice_asks_in_the_words_of_the_coach(report: CaptureReport) -> None:
    still = {"left": 0, "right": 0}
    coverage = dataclasses.replace(
        report.coverage, yaw=(0.0, 0.0), pitch=(0.0, 0.0), mouth_gap_mm=(0.0, 0.0), mouth_width=1.0, blinks=still,
        gaze=(0.0, 0.0), brows_mm=0.0, brightness=0.5, clipped=0.0, side_light=3.0, face_pixels=30.0, blur=(1.0, 1.0),
    )  # fmt: skip
    advice = " ".join(check.advice for check in check_coverage(coverage))
    shown = ("turn left", "look up", "mouth open", "blinking", "smile", "gaze", "brows up", "brows down")
    words = [REQUESTS[key].words for key in shown]
    words += [WARNINGS[key].words for key in ("side light", "small", "soft")]
    assert [each for each in words if each not in advice] == []
    assert "to the left and right." in advice and "degrees up and down." in advice


def test_every_advice_is_one_sentence(report: CaptureReport) -> None:
    for check in report.checks:
        assert check.advice.endswith(".") and check.advice[0].isupper() and "\n" not in check.advice


def test_the_text_has_frames_errors_focal_and_advice(report: CaptureReport) -> None:
    words = report.to_text()
    assert "tiny: 16 training frames, 4 held out" in words
    assert "landmark error of training frames, %" in words and "brows 0.0" in words
    assert "focal of camera 0: 182 pixels, given" in words
    assert "The clip is short: film 20 to 30 seconds." in words


def test_flags_jitter_and_focal_come_from_the_metadata(own: Capture, geometry: TrackedGeometry) -> None:
    jitter = {"rotation_deg": 0.2, "sideways_cm": 0.1, "depth_cm": 0.3, "expression": 0.01}
    camera = {**own.metadata["cameras"][0], "focal_estimated": False, "focal_sigma": math.inf}
    metadata = {
        **own.metadata,
        "quality": {"jitter_per_frame": jitter, "jitter": {**jitter, "rotation_deg": 0.05}},
        "flagged": [{"frame": 3, "reason": "blurred", "weight": 0.2}, {"frame": 4, "reason": "blurred", "weight": 0.3}],
        "lost": [7, 8],
        "cameras": [camera],
    }
    words = report_on(dataclasses.replace(own, metadata=metadata), geometry).to_text()
    assert "2 blurred" in words and "2 lost" in words
    assert "jitter, before and after smoothing: 0.20 and 0.05 degrees" in words
    assert "focal of camera 0: 182 pixels, not estimated" in words


def test_the_files_are_written_and_read_again(own: Capture) -> None:
    partial = own.root / ".overlay.1.part.mp4"
    partial.write_bytes(b"half")
    events: list[tuple[str, int, int]] = []
    written = write_report(own, load_head(), progress=lambda *event: events.append(event))
    stored = read_report(own)
    assert stored is not None and stored == json.loads(written.to_json())
    assert stored["words"] == written.to_text().splitlines()
    image = cv2.imread(str(own.root / "coverage.png"))
    assert image.shape == (800, 1200, 3)
    with av.open(str(own.root / "overlay.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == len(own)
    assert events[-1] == ("overlay", 20, 20)
    assert not partial.exists()


def test_a_report_without_overlay_removes_the_old_one(own: Capture) -> None:
    (own.root / "overlay.mp4").write_bytes(b"of another track")
    write_report(own, load_head(), overlay=False)
    assert not (own.root / "overlay.mp4").exists()


def test_a_report_of_another_track_is_ignored(own: Capture, tmp_path: Path) -> None:
    write_report(own, load_head(), overlay=False)
    other = dataclasses.replace(own, track={**own.track, "translation": own.track["translation"] + 1})
    assert read_report(own) is not None and read_report(other) is None


def test_a_capture_of_version_1_is_reported_on(own: Capture, tmp_path: Path) -> None:
    old = tiny_capture(tmp_path / "old", frames=10)
    metadata = json.loads((old.root / METADATA_FILE).read_text())
    metadata["camera"] = metadata.pop("cameras")[0]
    (old.root / METADATA_FILE).write_text(json.dumps({**metadata, "version": 1}))
    arrays = dict(np.load(old.root / TRACK_FILE))
    for name in ("camera", "time_step", "exposure", "weight"):
        del arrays[name]
    np.savez(old.root / TRACK_FILE, **arrays)
    assert report_on(Capture.load(old.root), TrackedGeometry.of(old, load_head())).frames["training"] == 8


def test_a_track_without_landmarks_is_reported_on(own: Capture, geometry: TrackedGeometry) -> None:
    bare = dataclasses.replace(own, track={**own.track, "landmarks": np.full_like(own.track["landmarks"], np.nan)})
    found = report_on(bare, geometry)
    assert found.reprojection_percent_iod == {}
    assert found.coverage == report_on(own, geometry).coverage


def test_angles_are_relative_to_the_camera_of_each_row(own: Capture) -> None:
    turn = torch.tensor([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])  # the second camera is at the person's side
    first = torch.tensor(own.metadata["cameras"][0]["world_to_cam"])
    second = first.clone()
    second[:3, :3] = first[:3, :3] @ turn
    second[2, 3] = DISTANCE
    second[:3, 3] -= second[:3, :3] @ torch.tensor([0.0, 0, -DISTANCE])
    cameras = [
        own.metadata["cameras"][0],
        {**own.metadata["cameras"][0], "name": "side", "world_to_cam": second.tolist()},
    ]
    index = np.arange(len(own)) % 2
    both = dataclasses.replace(own, metadata={**own.metadata, "cameras": cameras}, track={**own.track, "camera": index})
    yaw = TrackedGeometry.of(both, load_head()).yaw
    plain = TrackedGeometry.of(own, load_head()).yaw
    np.testing.assert_array_equal(yaw[index == 0], plain[index == 0])
    assert (np.abs(np.abs(yaw - plain)[index == 1] - 90) < 12).all()


def test_all_advice_fits_on_the_page(own: Capture, geometry: TrackedGeometry, report: CaptureReport) -> None:
    failed = tuple(dataclasses.replace(check, good=False) for check in report.checks)
    image = coverage_image(own, geometry, dataclasses.replace(report, checks=failed))
    paper = Canvas(4, 4).rgb()[0, 0]
    assert (image[HEIGHT - 8 :, :700] == paper).all()


def test_pairs_share_a_row_left_first() -> None:
    ranges = {"mouthLeft": (0, 1), "mouthRight": (0, 2), "browDownLeft": (0, 3), "browDownRight": (0, 4)}
    assert pairs_of(ranges) == [
        ("mouthLeft", [(0, 1)]),
        ("mouthRight", [(0, 2)]),
        ("browDown", [(0, 3), (0, 4)]),
    ]


def test_hidden_contours_are_not_drawn() -> None:
    head = load_head()
    camera = tiny_camera()
    surface = head.v_template * torch.tensor([1.0, -1, -1]) + torch.tensor([0, 0, DISTANCE])
    away = head.v_template * torch.tensor([-1.0, -1, 1]) + torch.tensor([0, 0, DISTANCE])
    counts = []
    for vertices in (surface, away):
        landmarks = head.landmarks(vertices[None])[0].numpy()
        posed = PosedHead(vertices, landmarks, np.broadcast_to([9.0, 9.0, 1.0], (2, 2, 3)), camera)
        image = np.zeros((128, 128, 3), np.uint8)
        draw_head(image, posed, outer_faces(head), np.zeros((0, 2)))
        counts.append(int((image[..., 0] > 200).sum()))
    assert counts[0] > 200 > 20 > counts[1]


def tiny_camera() -> Camera:
    return Camera.facing(1.9 * 128, 128, 128)


def refined_track(capture: Capture, turn: float) -> RefinedTrack:
    """A refined track of the training frames with `turn` radians more of yaw and an open mouth."""
    count, rows = len(capture), capture.train_indices
    joint_rot, expression = capture.track["joint_rot"].copy(), capture.track["expression"].copy()
    joint_rot[rows, 0, 1] += turn
    expression[rows, capture.expression_names.index("jawOpen")] = 0.9
    marks = np.isin(np.arange(count), rows)
    unknown = np.full((count, 3), np.nan)
    place = capture.track["translation"]
    return RefinedTrack(
        capture.fingerprint, marks, np.arange(count) == rows[2], expression, joint_rot, place, unknown, unknown
    )


def test_a_refined_track_invalidates_the_report_and_the_next_report_describes_it(tmp_path: Path) -> None:
    own = tiny_capture(tmp_path / "capture", frames=12, size=96)
    before = write_report(own, load_head(), overlay=False)
    refined = refined_track(own, 0.2)
    refined.save(own.root)
    assert read_report(own) is None
    after = write_report(own, load_head())
    stored = read_report(own)
    assert stored is not None and stored["refined"]["fingerprint"] == refined.fingerprint
    assert after.coverage.yaw[1] == pytest.approx(
        before.coverage.yaw[1] + math.degrees(0.2), abs=3
    )  # the rotation is about the neck
    assert after.coverage.expressions["jawOpen"] == pytest.approx((0.9, 0.9))
    assert after.reprojection_percent_iod["held_out"] == before.reprojection_percent_iod["held_out"]
    words = after.to_text()
    assert (
        f"poses and expressions of {len(own.train_indices)} frames are those refined in training (1 diverged" in words
    )


def test_a_report_of_a_removed_or_other_refined_track_is_ignored(tmp_path: Path) -> None:
    own = tiny_capture(tmp_path / "capture", frames=10, size=96)
    refined_track(own, 0.1).save(own.root)
    write_report(own, load_head(), overlay=False)
    assert read_report(own) is not None
    refined_track(own, 0.3).save(own.root)
    assert read_report(own) is None
    (own.root / "refined.npz").unlink()
    assert read_report(own) is None


def test_a_damaged_refined_track_is_an_error(tmp_path: Path) -> None:
    own = tiny_capture(tmp_path / "capture", frames=10, size=96)
    (own.root / "refined.npz").write_bytes(b"half")
    with pytest.raises(HeadsplatError, match=r"refined.npz: the refined track is damaged .* delete it, or train on"):
        write_report(own, load_head(), overlay=False)


def test_the_caption_measures_the_shown_head(own: Capture) -> None:
    camera = own.camera(96, [0])
    landmarks = np.random.default_rng(0).normal(0, 0.03, (478, 3)) + np.array([0, 0, DISTANCE])
    posed = PosedHead(torch.zeros(0, 3), landmarks, np.zeros((2, 2, 3)), camera)
    image = landmarks[:468] @ camera.K[0].numpy().T
    pixels = image[:, :2] / image[:, 2:]
    assert posed.distance(pixels) < 1e-6
    assert posed.distance(pixels + np.array([3.0, 0])) == pytest.approx(3)
