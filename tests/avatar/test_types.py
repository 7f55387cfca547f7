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
