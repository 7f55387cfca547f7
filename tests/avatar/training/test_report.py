"""The report of a training: differences by region, JSON without nan, and text."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from avatar.data.capture_folder import Capture
from avatar.training.report import REGIONS, RefinementFigures, TrainReport, residual_by_region

REFINED = RefinementFigures(40, 1.5, 0.4, {"rotation_deg": 0.2}, {"rotation_deg": 0.05}, (3, 17), expression=0.02)


@pytest.fixture
def report() -> TrainReport:
    residual = {name: {"levels": 2.0, "psnr": 35.0} for name in REGIONS}
    residual["mouth"] = {"levels": 9.0, "psnr": 22.0}
    residual["torso"] = {"levels": math.nan, "psnr": math.nan}
    return TrainReport("me.avatar", "0" * 16, 40, 5000, 800, 31.26, True, {"loading": 1.0, "training": 9.0}, residual)


def test_json_parses_and_numbers_that_are_not_finite_are_null(report: TrainReport) -> None:
    values = json.loads(report.to_json())
    assert values["residual"]["torso"] == {"levels": None, "psnr": None}
    assert values["refinement"] is None and values["seconds"] == {"loading": 1.0, "training": 9.0}
    assert values["words"] == report.to_text().splitlines()


def test_text_without_refinement_does_not_mention_it(report: TrainReport) -> None:
    text = report.to_text()
    assert "5000 Gaussians from 40 frames, 800 steps, 31.3 dB" in text
    assert "refined" not in text and "torso" not in text


def test_text_names_the_worst_region(report: TrainReport) -> None:
    assert "largest difference between avatar and video: mouth" in report.to_text()


def test_text_of_a_refinement_has_change_jitter_and_flagged_frames(report: TrainReport) -> None:
    text = dataclasses.replace(report, refinement=REFINED).to_text()
    assert "40 frames refined against the avatar: mean change 1.50 degrees and 0.40 cm" in text
    assert "rotation_deg 0.2 to 0.05" in text
    assert "2 frames could not be refined and follow their neighbors: 3, 17" in text


def test_the_file_is_written_beside_the_avatar(report: TrainReport, tmp_path: Path) -> None:
    report.write(tmp_path / "me.report.json")
    assert json.loads((tmp_path / "me.report.json").read_text()) == json.loads(report.to_json())
    assert [path.name for path in tmp_path.iterdir()] == ["me.report.json"]


def test_a_difference_in_one_region_is_reported_for_that_region(tiny: Capture) -> None:
    from avatar.data.image_regions import region_masks

    rgb, alpha = tiny.images([0], 64)
    truth, matte, landmarks = rgb[0] / 255.0, alpha[0] / 255.0, tiny.track["landmarks"][0]
    predicted = truth.copy()
    predicted[region_masks(landmarks, matte)["mouth"]] += 0.1
    found = residual_by_region([(predicted, truth, matte, landmarks)])
    assert found["mouth"]["levels"] == pytest.approx(25.5) and found["mouth"]["psnr"] == pytest.approx(20)
    assert found["eyes"]["levels"] == found["face"]["levels"] == 0
    assert 0 < found["all"]["levels"] < 25.5


def test_a_frame_without_landmarks_counts_only_as_a_whole() -> None:
    predicted, matte = np.zeros((8, 8, 3)), np.ones((8, 8))
    found = residual_by_region([(predicted, predicted + 0.2, matte, np.full((478, 3), np.nan))])
    assert found["all"]["levels"] == pytest.approx(51) and math.isnan(found["mouth"]["levels"])


def test_without_frames_all_regions_are_nan() -> None:
    assert all(np.isnan(row["levels"]) for row in residual_by_region([]).values())
