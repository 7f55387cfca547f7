"""Needles, distances of landmarks, sharpness at twice the size and LPIPS, each against a case made by hand."""

from __future__ import annotations

import importlib.abc
import math
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from avatar.data.capture_folder import Capture
from avatar.errors import HeadsplatError
from avatar.evaluation import landmarks
from avatar.evaluation.double_size import bicubic, count_needles, evenly, gradient_energy, projected_axes
from avatar.evaluation.landmarks import LandmarkDistance, Landmarker
from avatar.evaluation.lpips import load_lpips
from avatar.evaluation.protocol import evaluate
from avatar.model.avatar import Avatar
from avatar.types import Camera, Gaussians

#: Focal length and depth such that a millimeter is a pixel.
CAMERA = Camera.facing(1000.0, 200, 200)


def gaussian(length: float, width: float, opacity: float = 0.9, x: float = 0.0, dilation: float = 0.1) -> Gaussians:
    """A Gaussian [1,1] with standard deviations in pixels of CAMERA (mm), the longer one along x; `x` in pixels."""
    scales = torch.tensor([[[length, width, width]]]) / 1000
    quats = torch.tensor([[[1.0, 0, 0, 0]]])
    means, colors = torch.tensor([[[x / 1000, 0, -1.0]]]), torch.zeros(1, 1, 1, 3)
    return Gaussians(means, quats, scales, torch.tensor([[opacity]]), colors, dilation=dilation)


def test_the_axes_of_a_projected_gaussian_are_four_standard_deviations_with_the_dilation() -> None:
    length, width = projected_axes(gaussian(10, 1, dilation=0.44), CAMERA)
    assert float(length) == pytest.approx(4 * math.sqrt(100.44), rel=1e-4)
    assert float(width) == pytest.approx(4 * math.sqrt(1.44), rel=1e-4)


@pytest.mark.parametrize(
    ("shape", "count"),
    [
        ({"length": 10, "width": 0.5}, 1),
        ({"length": 10, "width": 2}, 0),  # not thin
        ({"length": 10, "width": 0.5, "opacity": 0.01}, 0),  # not visible
        ({"length": 10, "width": 0.5, "x": 500}, 0),  # outside of the image
    ],
)
def test_a_needle_is_thin_long_and_visible(shape: dict[str, float], count: int) -> None:
    assert count_needles(gaussian(**shape), CAMERA).tolist() == [count]


def test_a_short_gaussian_is_no_needle() -> None:
    small = Camera.facing(100.0, 20, 20)  # a tenth of the size: 4 pixels long
    assert count_needles(gaussian(10, 0.5, dilation=0.0), small).tolist() == [0]


def test_a_larger_dilation_makes_needles_thicker() -> None:
    assert count_needles(gaussian(10, 0.5, dilation=3.0), CAMERA).tolist() == [0]


FACE = np.random.default_rng(0).random((478, 3)) * 100
#: Pixels between the outer eye corners.
DISTANCE = float(np.linalg.norm(FACE[33] - FACE[263]))


def test_a_face_shifted_by_a_tenth_of_the_inter_ocular_distance_is_ten_percent_away() -> None:
    shifted = FACE + np.array([0.1 * DISTANCE, 0, 0])
    assert landmarks.distances(shifted, FACE) == pytest.approx(dict.fromkeys(landmarks.GROUPS, 10.0))


def test_a_moved_mouth_does_not_count_for_the_eyes() -> None:
    moved = FACE.copy()
    moved[list(landmarks.GROUPS["landmarks_mouth"]), 1] += 0.2 * DISTANCE
    found = landmarks.distances(moved, FACE)
    assert found["landmarks_mouth"] == pytest.approx(20) and found["landmarks_eyes"] == 0
    assert 0 < found["landmarks"] < 5


def white_is_no_face(image: np.ndarray, start: np.ndarray) -> np.ndarray | None:
    """A detector that finds the start, moved by one pixel per gray level below 128; none in a white image."""
    level = int(image.mean())
    return None if level > 200 else start + np.array([128 - level, 0, 0])


def test_the_distance_is_between_what_is_found_in_both_images() -> None:
    gray, darker = np.full((4, 4, 3), 128 / 255), np.full((4, 4, 3), 118 / 255)
    found = LandmarkDistance(white_is_no_face).measure(0, FACE, darker, gray)
    assert found["landmarks"] == pytest.approx(100 * 10 / DISTANCE) and found["landmarks_lost"] == 0


def test_a_prediction_without_a_face_counts_as_lost() -> None:
    gray, white = np.full((4, 4, 3), 0.5), np.ones((4, 4, 3))
    found = LandmarkDistance(white_is_no_face).measure(0, FACE, white, gray)
    assert found["landmarks_lost"] == 100 and np.isnan(found["landmarks_mouth"])


def test_a_true_frame_without_a_face_is_left_out() -> None:
    assert LandmarkDistance(white_is_no_face).measure(0, FACE, np.zeros((4, 4, 3)), np.ones((4, 4, 3))) == {}


def test_a_blur_lowers_the_gradient_energy_of_a_wave_by_the_square_of_its_contrast() -> None:
    wave = 0.5 + 0.4 * np.sin(2 * np.pi * np.arange(128) / 16)
    image = np.repeat(np.tile(wave, (128, 1))[..., None], 3, 2)
    blurred = cv2.GaussianBlur(image, (0, 0), 2.0, borderType=cv2.BORDER_REFLECT)
    contrast = math.exp(-0.5 * (2.0 * 2 * math.pi / 16) ** 2)
    ratio = gradient_energy(blurred[:, 32:96]) / gradient_energy(image[:, 32:96])
    assert ratio == pytest.approx(contrast**2, rel=0.03)


def test_an_enlarged_image_has_less_detail_than_a_sharp_one() -> None:
    sharp = np.random.default_rng(0).random((64, 64, 3)).astype(np.float32)
    small = cv2.resize(sharp, (32, 32), interpolation=cv2.INTER_AREA)
    assert gradient_energy(bicubic(small, 64, 64)) < 0.2 * gradient_energy(sharp)


def test_frames_are_spread_evenly() -> None:
    assert evenly(5, 60).tolist() == [0, 1, 2, 3, 4] and evenly(101, 3).tolist() == [0, 50, 100]
    assert len(evenly(0, 60)) == 0


def test_the_report_has_the_measures_of_landmarks_and_of_twice_the_size(tiny: Capture, tiny_avatar: Avatar) -> None:
    report = evaluate(tiny_avatar, tiny, size=32, landmarker=Landmarker(lambda image, start: start), full=True)
    columns = {"landmarks", "landmarks_mouth", "landmarks_eyes", "landmarks_lost", "needles_2x", "sharpness_2x"}
    columns |= {"psnr_head_2x", "psnr_head_bicubic", "detail_2x"}
    for row in ("driven", "train"):
        assert columns <= set(report.rows[row]), row
    assert report.rows["driven"]["landmarks"] == 0
    assert "at twice the trained size, 64 pixels" in report.to_markdown()


def test_a_capture_stored_at_the_trained_size_has_no_truth_at_twice_that(tiny: Capture, tiny_avatar: Avatar) -> None:
    row = evaluate(tiny_avatar, tiny, size=64, full=True).rows["driven"]
    assert "sharpness_2x" in row and "psnr_head_2x" not in row


def test_without_face_models_the_report_names_the_reason(tiny: Capture, tiny_avatar: Avatar) -> None:
    report = evaluate(tiny_avatar, tiny, size=32, landmarker=Landmarker(None, "no models"))
    assert "landmarks" not in report.rows["driven"]
    assert "Distances of landmarks: no models." in report.to_markdown()
    assert report.metadata.landmarks == "no models"


def test_without_the_package_lpips_its_networks_are_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(HeadsplatError, match="--lpips vgg: the package lpips is not installed; install it with"):
        load_lpips("vgg")


def fake_package(fail: bool = False) -> SimpleNamespace:
    """A package with a network whose distance is the mean absolute difference."""

    class Network(torch.nn.Module):
        def __init__(self, net: str, verbose: bool) -> None:
            super().__init__()
            if fail:
                raise OSError("no network")

        def forward(self, a: torch.Tensor, b: torch.Tensor, normalize: bool) -> torch.Tensor:
            assert normalize and a.shape == (1, 3, 8, 6)
            return (a - b).abs().mean()

    return SimpleNamespace(LPIPS=Network)


def test_a_network_of_the_package_compares_images_in_0_to_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lpips", fake_package())
    network = load_lpips("alex")
    assert network.name == "alex"
    assert network.distance(np.zeros((8, 6, 3)), np.full((8, 6, 3), 0.25)) == pytest.approx(0.25)


def test_weights_that_cannot_be_downloaded_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lpips", fake_package(fail=True))
    with pytest.raises(HeadsplatError, match="--lpips alex: torchvision could not download the weights"):
        load_lpips("alex")


def test_a_file_that_does_not_exist_is_named_with_the_networks() -> None:
    with pytest.raises(HeadsplatError, match=r"nowhere.onnx: no such file; .* or alex, vgg, squeeze of the package"):
        load_lpips("nowhere.onnx")


def test_a_torchvision_of_another_build_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Finder(importlib.abc.MetaPathFinder):
        def find_spec(self, name: str, path: object, target: object = None) -> None:
            if name == "lpips":
                raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.delitem(sys.modules, "lpips", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    with pytest.raises(HeadsplatError, match=r"package lpips cannot be loaded .*nms does not exist"):
        load_lpips("alex")
