"""The window that follows the head: how large it is, where it goes, and that its camera is exact."""

from __future__ import annotations

import numpy as np
import pytest

from capture.options import Framing
from capture.tracker.problem import Pinhole
from capture.video.crop import DESIRED_FACE, Crop, MovingWindow, face_heights, few_pixels
from tests.capture.video.fake_video import true_points
from tests.support.crops import crop_of_row

FULL_HD, UHD = (1920, 1080), (3840, 2160)
RATE = 30.0


def clip(height: float, centers: np.ndarray) -> np.ndarray:
    """Landmarks [T,478,3] of faces `height` pixels high around `centers` [T,2]."""
    points = np.stack([true_points(number, 0) for number in range(len(centers))])
    points[..., :2] -= (points[:, [10], :2] + points[:, [152], :2]) / 2
    points *= (height / face_heights(points))[:, None, None]
    points[..., :2] += centers[:, None]
    return points


def travel(count: int = 90, size: tuple[int, int] = FULL_HD, reach: float = 0.2) -> np.ndarray:
    """Positions [T,2] of a head that sways sideways, `reach` of the width to each side."""
    phase = np.linspace(0, 2 * np.pi, count)
    return np.array(size) / 2 + np.column_stack([reach * size[0] * np.sin(phase), 0.02 * size[1] * np.cos(phase)])


def window_of(points: np.ndarray, size: tuple[int, int], framing: Framing = "head", most: int = 1024) -> MovingWindow:
    return MovingWindow.around(points, np.arange(len(points)) / RATE, size, framing, most)


@pytest.mark.parametrize(("size", "height"), [(FULL_HD, 240.0), (UHD, 480.0), ((1080, 1920), 300.0)])
@pytest.mark.parametrize(("framing", "low", "high"), [("head", 0.38, 0.41), ("bust", 0.25, 0.28)])
def test_the_face_fills_the_same_part_of_the_window_at_any_resolution(
    size: tuple[int, int], height: float, framing: Framing, low: float, high: float
) -> None:
    points = clip(height, travel(size=size, reach=0.15))
    window = window_of(points, size, framing)
    stored = np.stack([window.crop_at(row).points(points[row]) for row in range(len(points))])
    assert low < np.median(face_heights(stored)) / max(window.stored_size) < high
    assert max(window.stored_size) <= 1024


def test_the_window_keeps_a_swaying_head_in_its_place() -> None:
    points = clip(240.0, travel(180))
    window = window_of(points, FULL_HD)
    stored = np.stack([window.crop_at(row).points(points[row])[[10, 152], :2].mean(0) for row in range(len(points))])
    assert np.ptp(points[:, 10, 0]) > 700 and np.ptp(stored, axis=0).max() < 0.12 * window.size[0]


def test_the_window_moves_smoothly_though_the_landmarks_jitter() -> None:
    points = clip(240.0, travel())
    points[..., :2] += np.random.default_rng(0).normal(0, 6, (len(points), 1, 2))
    window = window_of(points, FULL_HD)
    corners = np.array([(crop.x, crop.y) for crop in (window.crop_at(row) for row in range(len(points)))])
    raw = np.diff(points[:, 10, :2], 2, axis=0).std()
    assert np.diff(corners, 2, axis=0).std() < 0.1 * raw


@pytest.mark.parametrize("framing", ["head", "bust", "full"])
@pytest.mark.parametrize("height", [90.0, 240.0, 700.0])
def test_the_window_is_inside_the_source_and_the_face_inside_the_window(framing: Framing, height: float) -> None:
    centers = travel(reach=0.4)
    centers[40:43] += [300, 0]  # a jump that smoothing alone would miss
    centers = np.clip(centers, height / 2, np.array(FULL_HD) - height / 2)
    points = clip(height, centers)
    window = window_of(points, FULL_HD, framing)
    for row in range(len(points)):
        crop = window.crop_at(row)
        assert crop.x >= 0 and crop.y >= 0
        assert crop.x + crop.width <= FULL_HD[0] and crop.y + crop.height <= FULL_HD[1]
        shown = points[row, :468, :2]
        shown = shown[((shown >= 0) & (shown < FULL_HD)).all(1)]
        assert (shown >= [crop.x, crop.y]).all() and (shown <= [crop.x + crop.width, crop.y + crop.height]).all()


@pytest.mark.parametrize(("size", "height"), [((512, 512), 195.0), ((480, 480), 286.0), ((640, 480), 400.0)])
def test_a_video_that_is_head_and_shoulders_already_is_stored_whole(size: tuple[int, int], height: float) -> None:
    window = window_of(clip(height, travel(size=size, reach=0.02)), size)
    assert window.size == size and window.crop_at(3) == Crop(0, 0, *size, 1.0)


def test_the_full_frame_does_not_move() -> None:
    window = window_of(clip(240.0, travel()), FULL_HD, "full")
    assert {window.crop_at(row) for row in range(90)} == {Crop(0, 0, *FULL_HD, 1024 / 1920)}


@pytest.mark.parametrize("most", [1024, 300, 64])
def test_a_point_through_the_camera_of_a_row_lands_on_its_pixel_of_the_source(most: int) -> None:
    points = clip(500.0, travel(size=UHD))
    window, source = window_of(points, UHD, most=most), Pinhole(3000.0, UHD[0] / 2, UHD[1] / 2)
    place = np.array([0.06, -0.03, -0.9])
    pixel = source.project(place)
    for row in (0, 20, 60):
        crop = window.crop_at(row)
        center, (x, y) = crop.principal_point(*UHD), crop.scales
        seen = center + np.array([x, -y]) * source.focal * place[:2] / -place[2]
        np.testing.assert_allclose(seen, (pixel - [crop.x, crop.y]) * crop.scales, atol=1e-9)
        metadata = {
            "crop": {"width": crop.width, "height": crop.height, "scale": crop.scale},
            "source": {"width": UHD[0], "height": UHD[1]},
        }
        assert crop_of_row(metadata, center) == crop


def test_a_bright_source_pixel_is_where_its_coordinates_say() -> None:
    points = clip(500.0, travel(size=UHD))
    window = window_of(points, UHD, most=256)
    crop = window.crop_at(30)
    image = np.zeros((UHD[1], UHD[0]), np.uint8)
    spot = np.array([crop.x + 600, crop.y + 500])
    image[spot[1] - 8 : spot[1] + 8, spot[0] - 8 : spot[0] + 8] = 255
    stored = crop.apply(image).astype(np.float64)
    assert stored.shape[::-1] == window.stored_size
    rows, columns = np.indices(stored.shape) + 0.5
    found = np.array([(columns * stored).sum(), (rows * stored).sum()]) / stored.sum()
    np.testing.assert_allclose(found, crop.points(spot[None].astype(np.float64))[0], atol=0.05)  # of 8-bit values


def test_a_held_out_frame_follows_its_own_landmarks_and_changes_no_other() -> None:
    centers = travel()
    points = clip(240.0, centers)
    training = np.arange(90) % 5 != 4
    window = MovingWindow.around(points[training], np.arange(90)[training] / RATE, FULL_HD, "head", 1024)
    before = [window.crop_at(row) for row in range(training.sum())]
    late = clip(240.0, np.array([[400.0, 500.0]]))[0]
    crop = window.crop_of(20.0, late)  # far from all training frames: its own landmarks alone
    own = crop.points(late)[[10, 152], :2].mean(0) / crop.stored_size
    assert abs(own[0] - 0.5) < 0.1 and abs(own[1] - 0.43) < 0.05
    assert [window.crop_at(row) for row in range(training.sum())] == before


def test_few_pixels_are_stored_as_they_are_with_a_sentence() -> None:
    window = window_of(clip(100.0, travel(reach=0.05)), FULL_HD)
    assert window.scale == 1 and window.size == window.stored_size and 240 < window.size[0] <= 260
    sentence = few_pixels(window.face, window.stored_size)
    assert (
        sentence is not None and "the face is 100 pixels high in the video" in sentence and "not enlarged" in sentence
    )
    assert few_pixels(DESIRED_FACE, window.stored_size) is None


def test_a_person_who_comes_near_fits_into_the_window() -> None:
    heights = np.where(np.arange(90) < 60, 200.0, 420.0)
    points = np.concatenate([clip(height, center[None]) for height, center in zip(heights, travel(), strict=True)])
    window = window_of(points, FULL_HD)
    assert 420 / window.size[0] <= 0.51
