import pytest
import torch

from avatar.types import Camera, Gaussians, HeadParams, check_shape


def test_check_shape_names_argument_expected_and_found() -> None:
    with pytest.raises(ValueError, match=r"means: expected \[B,N,3\], got \[2,4\]"):
        check_shape("means", torch.zeros(2, 4), ("B", "N", 3))


def test_gaussians_refuse_fields_of_another_count() -> None:
    with pytest.raises(ValueError, match=r"Gaussians.quats: expected \[1,5,4\], got \[1,4,4\]"):
        Gaussians(
            torch.zeros(1, 5, 3), torch.zeros(1, 4, 4), torch.zeros(1, 5, 3), torch.zeros(1, 5), torch.zeros(1, 5, 1, 3)
        )


def test_resized_camera_sees_the_same_rays() -> None:
    camera = Camera.facing(500.0, 512, 480)
    small = camera.resized(256, 240)
    point = torch.tensor([0.1, -0.05, 0.7])
    pixel, half = camera.K[0] @ point, small.K[0] @ point
    assert torch.allclose(pixel[:2] / pixel[2] / 2, half[:2] / half[2])


def test_head_params_index_keeps_the_batch_axis() -> None:
    params = HeadParams(torch.zeros(3), torch.rand(4, 2), torch.zeros(4, 5, 3), torch.zeros(4, 3))
    assert params[2].expression.shape == (1, 2)
    assert params[-1].expression.tolist() == params.expression[3:].tolist()
    assert len(params[1:3]) == 2


def turned_cameras() -> Camera:
    """Two cameras: at the origin, and a meter to the right of it, turned left by a right angle."""
    front = Camera.facing(100.0, 64, 48)
    side = torch.tensor([[0.0, 0, -1, 0], [0, -1, 0, 0], [-1, 0, 0, 1], [0, 0, 0, 1]])
    return Camera(front.K.repeat(2, 1, 1), torch.stack([front.world_to_cam[0], side]), 64, 48)


def test_each_camera_of_a_batch_transforms_its_own_points() -> None:
    points = torch.tensor([[[0.1, 0.2, -0.5]], [[0.5, 0.2, 0.1]]])
    expected = torch.tensor([[[0.1, -0.2, 0.5]], [[-0.1, -0.2, 0.5]]])
    torch.testing.assert_close(turned_cameras().to_camera(points), expected)


def test_one_camera_transforms_points_of_any_shape() -> None:
    points, camera = torch.randn(4, 2, 7, 3), turned_cameras()[1]
    expected = torch.stack([-points[..., 2], -points[..., 1], 1 - points[..., 0]], -1)
    torch.testing.assert_close(camera.to_camera(points), expected)


def test_points_without_a_camera_each_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Camera.world_to_cam: expected \[1,4,4\], got \[2,4,4\]"):
        turned_cameras().to_camera(torch.zeros(5, 3))


def test_projected_points_are_pixels_from_the_top_left_corner() -> None:
    points = torch.tensor([[[0.0, 0.0, -0.5], [0.1, 0.2, -0.5]], [[0.5, 0.0, 0.0], [0.5, 0.2, 0.1]]])
    expected = torch.tensor([[[32.0, 24.0], [52.0, -16.0]], [[32.0, 24.0], [12.0, -16.0]]])
    torch.testing.assert_close(turned_cameras().project(points), expected)
    torch.testing.assert_close(turned_cameras()[0].project(points[0]), expected[0])


def test_points_nearer_than_the_limit_are_divided_by_it() -> None:
    points = torch.tensor([[0.0, 0.0, 0.0], [0.001, 0.0, 0.3]])
    pixels = turned_cameras()[0].project(points, near=0.01)
    assert torch.isfinite(pixels).all()
    torch.testing.assert_close(pixels[1, 0], torch.tensor((100 * 0.001 - 32 * 0.3) / 0.01))
