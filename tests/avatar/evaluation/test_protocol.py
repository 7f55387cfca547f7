"""The evaluation protocol and its metrics."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from avatar.data.capture_folder import Capture
from avatar.data.training_frames import load_frames
from avatar.errors import HeadsplatError
from avatar.evaluation import metrics
from avatar.evaluation.lpips import load_lpips
from avatar.evaluation.protocol import evaluate
from avatar.evaluation.report import Report
from avatar.model.avatar import Avatar
from avatar.refine.corrected_pose import learn_pose_corrector
from avatar.refine.options import RefineOptions
from avatar.refine.track import RefinedTrack
from tests.support.tiny import tiny_capture


def test_psnr_of_a_known_error() -> None:
    image = np.full((8, 8, 3), 0.5)
    assert metrics.psnr(image, image + 0.1) == pytest.approx(20.0)
    assert metrics.psnr(image, image) == 100.0


def test_ssim_is_one_for_equal_images_and_falls_with_noise() -> None:
    rng = np.random.default_rng(0)
    image = rng.random((40, 40, 3))
    assert metrics.ssim(image, image) == pytest.approx(1.0, abs=1e-5)
    assert metrics.ssim(image, rng.random((40, 40, 3))) < 0.2


def test_flicker_measures_only_changes_that_the_truth_does_not_have() -> None:
    steady, flickering = metrics.Flicker(), metrics.Flicker()
    for index, value in enumerate((0.1, 0.5, 0.3, 0.9)):
        truth = np.full((4, 4, 3), value)
        steady.add(truth + 0.2, truth)
        flickering.add(truth + 0.1 * (index % 2), truth)
    assert steady.value == pytest.approx(0.0, abs=1e-4)
    assert flickering.value > 20
    assert np.isnan(metrics.Flicker().value)


def test_temporal_difference_measures_changes_not_constant_errors() -> None:
    source = np.random.default_rng(0)
    steady, shaky = metrics.TemporalDifference(), metrics.TemporalDifference()
    for index in range(4):
        truth = source.random((6, 6, 3))
        steady.add(truth + 0.2, truth)
        shaky.add(truth + 0.1 * (index % 2), truth)
    assert steady.value > 60
    assert shaky.value == pytest.approx(20.0, abs=1e-3)  # each change is off by 0.1


def test_temporal_difference_needs_two_frames() -> None:
    change = metrics.TemporalDifference()
    change.add(np.zeros((4, 4, 3)), np.zeros((4, 4, 3)))
    assert np.isnan(change.value)


def test_an_empty_region_gives_nan_and_images_that_are_not_finite_are_refused() -> None:
    image = np.full((8, 8, 3), 0.5)
    assert np.isnan(metrics.psnr(image, image, np.zeros((8, 8), bool)))
    with pytest.raises(ValueError, match="not finite"):
        metrics.psnr(image * np.nan, image)


def test_the_report_has_every_row_and_figure_of_the_protocol(
    tiny: Capture, tiny_avatar: Avatar, tmp_path: Path
) -> None:
    report = evaluate(tiny_avatar, tiny, size=64, save_images=tmp_path, full=True)
    data = json.loads(report.to_json())
    for row in ("driven", "train", "blendshapes off", "static head", "textured mesh"):
        assert {"psnr", "psnr_head", "ssim", "psnr_mouth", "psnr_eyes"} <= set(data[row]), row
    assert data["gaussians"] == len(tiny_avatar)
    assert "seconds" in data and "| held-out frames, driven by the tracker |" in report.to_markdown()


def test_without_full_there_are_no_baselines_and_the_same_figures(tiny: Capture, tiny_avatar: Avatar) -> None:
    few, full = (evaluate(tiny_avatar, tiny, size=64, full=full) for full in (False, True))
    assert set(few.rows) == {"driven", "train"}
    for name, row in few.rows.items():
        assert row == {column: full.rows[name][column] for column in row}
        assert {column for column in full.rows[name] if column not in row} <= {
            "needles_2x", "sharpness_2x", "psnr_head_2x", "psnr_head_bicubic", "detail_2x",
        }  # fmt: skip


def test_the_table_names_its_rows_in_words_and_says_how_to_get_lpips(tiny: Capture, tiny_avatar: Avatar) -> None:
    text = evaluate(tiny_avatar, tiny, size=64).to_markdown()
    head, _, driven, train = text.splitlines()[:4]
    assert head.startswith("| row | PSNR dB | head dB | ") and len(head) < 120
    assert driven.startswith("| held-out frames, driven by the tracker | ") and train.startswith("| training frames | ")
    assert "- training frames (`train`): a sample, in the poses of the training" in text
    assert "LPIPS: not measured; put an ONNX network, lpips_NAME.onnx, into the folder of the face models" in text
    assert "`--full` adds three baselines" in text


def test_figures_do_not_depend_on_the_number_of_threads(
    tiny: Capture, tiny_avatar: Avatar, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = []
    for threads in (1, 3):
        monkeypatch.setattr("avatar.ops.kernel_threads", lambda count=threads: count)
        rows.append(evaluate(tiny_avatar, badly_tracked(tiny, 4), size=64, refine=REFINE).rows)
    assert rows[0] == rows[1]


def test_saved_images_give_the_reported_psnr(tiny: Capture, tiny_avatar: Avatar, tmp_path: Path) -> None:
    report = evaluate(tiny_avatar, tiny, size=64, save_images=tmp_path)
    numbers = tiny.track["frame_number"][tiny.test_indices]
    assert sorted(path.name for path in (tmp_path / "tracked").iterdir()) == sorted(
        f"{kind}_{number:05d}.png" for kind in ("pred", "truth", "matte") for number in numbers
    )

    def read(kind: str, number: int) -> np.ndarray:
        return cv2.imread(str(tmp_path / "tracked" / f"{kind}_{number:05d}.png")) / 255.0

    scores = [metrics.psnr(read("pred", n), read("truth", n)) for n in numbers]
    assert np.mean(scores) == pytest.approx(report.rows["driven"]["psnr"], abs=0.05)


def test_the_error_of_a_capture_without_held_out_frames_names_the_options(tiny_avatar: Avatar, tmp_path: Path) -> None:
    capture = tiny_capture(tmp_path / "all", frames=8, test_every=0)
    with pytest.raises(
        HeadsplatError, match=r"no held-out frames; capture again with --test-fraction .* then train on that"
    ):
        evaluate(tiny_avatar, capture, size=64)


def test_a_file_that_is_no_lpips_network_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    path = tmp_path / "lpips_x.onnx"
    path.write_bytes(b"no network")
    with pytest.raises(HeadsplatError, match="not a readable ONNX network"):
        load_lpips(path)


#: Small, so that the tests stay short.
REFINE = RefineOptions(size=64, iterations=6, expressions=False)


def badly_tracked(capture: Capture, degrees: float) -> Capture:
    """`capture` with an error of `degrees` in the roll of every skull."""
    joint_rot = capture.track["joint_rot"].copy()
    joint_rot[:, 0, 2] += np.radians(degrees)
    return replace(capture, track={**capture.track, "joint_rot": joint_rot})


@pytest.fixture(scope="module")
def unrefined(tiny: Capture, tiny_avatar: Avatar, tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Path]:
    """A report on badly tracked frames without refinement, and its folder of images."""
    folder = tmp_path_factory.mktemp("unrefined")
    return evaluate(tiny_avatar, badly_tracked(tiny, 4), size=64, save_images=folder), folder


@pytest.fixture(scope="module")
def refined(tiny: Capture, tiny_avatar: Avatar, tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Path]:
    """The same with refinement and the training frames in their true poses."""
    folder, capture, rows = tmp_path_factory.mktemp("refined"), badly_tracked(tiny, 4), tiny.train_indices
    states = load_frames(tiny, rows, 64, tiny_avatar.head).states
    track = RefinedTrack.of(capture, rows, states, torch.zeros(len(rows), dtype=torch.bool), tiny_avatar.head)
    return evaluate(tiny_avatar, capture, size=64, save_images=folder, refine=REFINE, track=track), folder


def test_the_refined_row_corrects_bad_tracking(refined: tuple[Report, Path]) -> None:
    rows = refined[0].rows
    assert rows["refined"]["psnr"] > rows["driven"]["psnr"] + 1


def test_the_stepped_row_corrects_bad_tracking_and_says_what_it_uses(refined: tuple[Report, Path]) -> None:
    report = refined[0]
    assert report.rows["stepped"]["psnr_head"] > report.rows["driven"]["psnr_head"] + 1
    assert "it uses each frame's own pixels, and none of later frames" in report.to_markdown()
    assert report.metadata.poses["stepped"].endswith("one step on the pixels of each frame so far, avatar frozen")
    assert len(list((refined[1] / "stepped").iterdir())) == len(list((refined[1] / "tracked").iterdir()))


def test_the_raw_row_shows_what_the_pose_corrector_adds(
    tiny: Capture, tiny_avatar: Avatar, unrefined: tuple[Report, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    capture, avatar, rows = badly_tracked(tiny, 4), copy.deepcopy(tiny_avatar), tiny.train_indices
    tracked, truth = (load_frames(each, rows, 64, avatar.head).states for each in (capture, tiny))
    monkeypatch.setattr("avatar.refine.corrected_pose._MIN_FRAMES", len(rows))
    learn_pose_corrector(avatar, capture, tracked, truth, torch.zeros(len(rows), dtype=torch.bool))
    report = evaluate(avatar, capture, size=64)
    raw, driven = (report.rows[name]["psnr_head"] for name in ("raw", "driven"))
    assert raw == unrefined[0].rows["driven"]["psnr_head"] and driven > raw + 1
    assert f"Of the head's PSNR in `driven`, {driven - raw:+.2f} dB are the pose corrector's." in report.to_markdown()
    assert "raw" not in unrefined[0].rows


def test_the_tracked_row_is_not_refined(refined: tuple[Report, Path], unrefined: tuple[Report, Path]) -> None:
    assert refined[0].rows["driven"] == unrefined[0].rows["driven"]


def test_refined_and_tracked_images_have_the_same_names(tiny: Capture, refined: tuple[Report, Path]) -> None:
    tracked, fitted = (sorted(path.name for path in (refined[1] / name).iterdir()) for name in ("tracked", "refined"))
    assert fitted == tracked and len(fitted) == 3 * len(tiny.test_indices)


def test_the_report_explains_the_refined_row(tiny: Capture, refined: tuple[Report, Path]) -> None:
    text, figures = refined[0].to_markdown(), json.loads(refined[0].to_json())["refinement"]
    assert "| held-out frames, fitted poses |" in text and "fitted to their own pixels, the avatar frozen" in text
    assert figures["frames"] == len(tiny.test_indices)


def test_without_refinement_there_is_neither_row_nor_folder(unrefined: tuple[Report, Path]) -> None:
    report, folder = unrefined
    assert "refined" not in report.rows and "refined:" not in report.to_markdown()
    assert [path.name for path in folder.iterdir()] == ["tracked"]


def test_training_frames_are_scored_in_the_poses_of_the_refined_track(
    refined: tuple[Report, Path], unrefined: tuple[Report, Path]
) -> None:
    assert refined[0].rows["train"]["psnr"] > unrefined[0].rows["train"]["psnr"] + 1
