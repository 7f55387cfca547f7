"""Mattes: refinement on drawn images with known mattes, the user's own mattes, the real network on local clips."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from avatar.errors import HeadsplatError
from avatar.video import write_video
from capture.matting import network
from capture.matting.network import MattingNetwork, Window, refine, smooth_in_time
from capture.matting.user_matte import open_mattes
from capture.video.decoding import open_video

SIZE = 256


def drawing(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A noisy image [256,256,3] of a brown figure before gray, and its true matte [256,256] float 0..1."""
    truth = np.zeros((SIZE * 4, SIZE * 4), np.float32)
    cv2.ellipse(truth, (512, 440), (240, 300), 0, 0, 360, 1.0, -1)
    cv2.rectangle(truth, (300, 640), (724, 1023), 1.0, -1)
    truth = cv2.resize(truth, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    rng = np.random.default_rng(seed)
    clean = truth[..., None] * (110, 70, 50) + (1 - truth[..., None]) * (180, 185, 190)
    return np.clip(clean + rng.normal(0, 4, clean.shape), 0, 255).astype(np.uint8), truth


def rough_from(truth: np.ndarray, sigma: float = 5.0, shift: int = 3) -> np.ndarray:
    """A blurred and shifted matte, as the network would give."""
    return cv2.GaussianBlur(np.roll(truth, shift, axis=1), (0, 0), sigma)


def error(found: np.ndarray, truth: np.ndarray) -> float:
    """Mean absolute difference of mattes, 0..1."""
    return float(np.abs(found.astype(np.float32) / 255 - truth).mean())


def face_points() -> np.ndarray:
    """Points [40,2] around the drawn figure's face."""
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    return np.stack([128 + 40 * np.cos(angles), 110 + 50 * np.sin(angles)], axis=1)


def test_refining_brings_a_rough_matte_to_the_edge_of_the_image() -> None:
    image, truth = drawing()
    rough = rough_from(truth)
    assert error(refine(image, rough, face_points()), truth) < 0.25 * error(rough * 255, truth)


def test_another_blob_is_dropped() -> None:
    image, truth = drawing()
    rough = rough_from(truth, shift=0)
    cv2.rectangle(rough, (5, 20), (35, 60), 1.0, -1)
    assert refine(image, rough, face_points())[15:65, :40].max() == 0


def test_the_face_decides_which_blob_is_the_person() -> None:
    image = np.full((SIZE, SIZE, 3), 120, np.uint8)
    rough = np.zeros((SIZE, SIZE), np.float32)
    rough[60:150, 20:80] = 1
    rough[20:250, 130:250] = 1
    points = np.array([[30, 70], [70, 70], [70, 130], [30, 130]], np.float32)
    with_face, without = refine(image, rough, points), refine(image, rough)
    assert (with_face[100, 50], with_face[100, 190]) == (255, 0)
    assert (without[100, 50], without[100, 190]) == (0, 255)


def test_a_hole_in_the_face_is_filled() -> None:
    image, truth = drawing()
    rough = rough_from(truth, shift=0)
    rough[90:120, 110:140] = 0.2
    assert refine(image, rough, face_points())[95:115, 115:135].min() == 255


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_an_empty_and_a_full_probability_stay_so(value: float) -> None:
    image, _ = drawing()
    found = refine(image, np.full((SIZE, SIZE), value, np.float32))
    assert (found == 255 * value).all()


@pytest.mark.parametrize("shape", [(96, 160), (721, 405)])
def test_any_image_shape_gives_a_matte_of_that_shape(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (*shape, 3), dtype=np.uint8)
    found = refine(image, rng.random(shape, dtype=np.float32))
    assert found.shape == shape
    assert found.dtype == np.uint8


def test_flicker_of_one_frame_is_halved_and_a_steady_edge_stays() -> None:
    still = np.zeros((4, 4), np.float32)
    flicker = still.copy()
    flicker[1, 1] = 1
    assert smooth_in_time([still, flicker, still])[1, 1] == 0.5
    ramps = [np.arange(8, dtype=np.float32)[None] / 20 - shift for shift in (0.1, 0.2, 0.3)]
    np.testing.assert_allclose(smooth_in_time(ramps), ramps[1], atol=1e-6)
    assert smooth_in_time([flicker]) is flicker


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((40, 50, 140, 150), (0, 0, 320)),
        ((900, 400, 1000, 500), (790, 290, 320)),
        ((100, 100, 900, 900), (0, -140, 1000)),
    ],
    ids=["slid into the image", "around the face", "larger than the image"],
)
def test_the_window_of_the_network(box: tuple[int, ...], expected: tuple[int, int, int]) -> None:
    width, height = (1000, 720) if expected[2] == 1000 else (1920, 1080)
    assert Window.around(np.array(box), width, height) == Window(*expected)


def test_mattes_of_a_folder_are_found_by_number_and_resized(tmp_path: Path) -> None:
    for number in (1, 2):
        image = np.zeros((20, 30, 4), np.uint8)
        image[..., 3] = 100 * number
        cv2.imwrite(str(tmp_path / f"matte_{number:04d}.png"), image)
    mattes = open_mattes(tmp_path)
    assert (mattes.matte(0, (30, 20)) == 100).all()
    large = mattes.matte(1, (60, 40))
    assert large.shape == (40, 60)
    assert (large == 200).all()
    with pytest.raises(HeadsplatError, match=r"no matte for frame 2 \(there are 2, up to frame 1\)"):
        mattes.matte(2, (30, 20))
    with pytest.raises(HeadsplatError, match="the matte is 30x20, the video 30x30; export mattes of the same shape"):
        mattes.matte(0, (30, 30))


def test_a_folder_without_images_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError, match="no mattes in it; name one image per frame by its number"):
        open_mattes(tmp_path)


def test_mattes_of_a_video_are_read_in_order_until_it_ends(tmp_path: Path) -> None:
    write_video(tmp_path / "matte.mp4", [np.full((32, 48, 3), shade, np.uint8) for shade in (20, 120, 240)], 25, crf=4)
    mattes = open_mattes(tmp_path / "matte.mp4")
    assert abs(int(mattes.matte(0, (48, 32)).mean()) - 20) <= 3
    assert abs(int(mattes.matte(2, (48, 32)).mean()) - 240) <= 3
    with pytest.raises(HeadsplatError, match="no matte for frame 3, the matte video is shorter than the video"):
        mattes.matte(3, (48, 32))


@pytest.mark.data
@pytest.mark.usefixtures("face_models")
def test_a_person_before_a_plain_wall_is_cut_out(clips: Path) -> None:
    image = next(iter(open_video(clips / "wojtek_turn_512_16s.mp4"))).rgb
    probability = MattingNetwork().raw(image, np.array([153, 184, 339, 370]))
    found = refine(image, probability)
    # The wall is bright and blue; the man is not, apart from highlights.
    wall = (image[..., 2] > 225) & (image[..., 0] < image[..., 2] - 8)
    assert ((found > 127) == ~wall).mean() > 0.97
    assert found[200:340, 200:290].min() > 240
    assert network.Window.around(np.array([153, 184, 339, 370]), 512, 512).side == 512
