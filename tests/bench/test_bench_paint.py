"""The measurement of painted marks, against surfaces that are known."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from avatar.model.avatar import Avatar
from avatar.model.sampling import Sampling
from avatar.rendering.animator import Animator
from tests.bench import bench_paint
from tests.support.tiny import side_camera


def test_the_center_of_a_disc_does_not_depend_on_the_density_of_its_points() -> None:
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False) ** 2 / (2 * np.pi)  # dense on one side
    points = np.stack([30 + 5 * np.cos(angle), 20 + 5 * np.sin(angle)], 1).astype(np.float32)
    assert np.linalg.norm(points.mean(0) - (30, 20)) > 1
    assert bench_paint._center(points) == pytest.approx([30, 20], abs=0.05)


@pytest.mark.parametrize("height", [-0.002, 0.0, 0.003])
def test_the_surface_is_where_the_gaussians_are(tiny_avatar: Avatar, height: float) -> None:
    avatar = copy.deepcopy(tiny_avatar).requires_grad_(False)
    avatar.offsets.copy_(torch.tensor([0.0, 0.0, height]))
    avatar.blendshapes.basis.zero_()
    avatar.quats.copy_(torch.tensor([1.0, 0, 0, 0]))
    avatar.log_scales[:] = torch.tensor([0.003, 0.003, 0.0001]).log()
    avatar.sampling = Sampling(0.0, 0.05)
    size = bench_paint._PIXELS
    params, camera, plain = avatar.head.neutral_params(1), side_camera(size, 0), Animator(avatar, size, size)
    params.translation[0, 2] = -0.6
    params = avatar.with_identity(params)
    plain.render(params, camera)
    depth = bench_paint.skin_depth(plain, avatar, params, camera)
    place = bench_paint.places_of(avatar)[0][2]  # the forehead faces the camera
    mesh, there = bench_paint.surface_points(avatar, place, params, depth, camera)
    found = (there - mesh).norm(dim=1).median() * (1 if height >= 0 else -1)
    assert float(found) == pytest.approx(height, abs=0.0006)
