"""The flow of the mesh layer is the motion of the surface that each pixel shows, in the image."""

from __future__ import annotations

import torch

from avatar import ops
from avatar.geometry.rotations import axis_angle_to_matrix
from avatar.refine.expressions import layer_flow
from avatar.types import Camera, PosedLayer
from tests.avatar.ops.layer_scenes import HEIGHT, WIDTH, intrinsics, layer_scene

NEAR = 1e-3


def test_flow_agrees_with_the_projection_of_moved_surface_points() -> None:
    batch = 2
    in_camera, shade, texels, mesh = layer_scene(batch)
    turn = axis_angle_to_matrix(torch.tensor([[0.1, -0.2, 0.3], [0.0, 0.4, 0.1]]))
    skull = (in_camera - 0.1) @ turn  # the inverse of the pose
    camera = Camera(intrinsics(batch), torch.eye(4).expand(batch, 4, 4), WIDTH, HEIGHT)
    posed = PosedLayer(mesh, skull, turn, torch.full((batch, 3), 0.1), shade, texels, torch.ones(1))
    images = ops.layer(in_camera, shade, texels, mesh, camera.K, WIDTH, HEIGHT)
    # A constant field moves a surface point like the vertices of its face, wherever the point is.
    constant = torch.eye(3)[:, None].expand(3, skull.shape[1], 3)
    flow = layer_flow(posed, images, constant, turn, camera, NEAR)
    height, width = images.coverage.shape[1:]
    K = camera.K.clone()
    K[:, :2, 2] -= images.origin
    face, bary, _ = ops.mesh(in_camera, mesh.faces, K, width, height)
    checked = 0
    for image in range(batch):
        for row, column in ((face[image] >= 0) & (images.coverage[image] > 0.5)).nonzero().tolist():
            corners = in_camera[image, mesh.faces[int(face[image, row, column])]].double()
            point = bary[image, row, column].double() @ corners
            slope = projection_slope(K[image].double(), point)
            expected = (slope @ turn[image].double()).T * images.coverage[image, row, column]
            torch.testing.assert_close(flow[image, :, :, row, column].double(), expected, rtol=1e-3, atol=1e-3)
            checked += 1
    assert checked > 50
    assert not flow.movedim((1, 2), (-2, -1))[images.coverage == 0].any()


def projection_slope(K: torch.Tensor, point: torch.Tensor) -> torch.Tensor:
    """[2,3], of the pixel position of a point [3] in camera axes."""
    return torch.autograd.functional.jacobian(lambda p: (K @ p)[:2] / p[2], point)


def test_a_layer_outside_of_the_image_has_an_empty_flow() -> None:
    in_camera, shade, texels, mesh = layer_scene()
    camera = Camera(intrinsics(), torch.eye(4)[None], WIDTH, HEIGHT)
    behind = in_camera * -1
    posed = PosedLayer(mesh, behind, torch.eye(3)[None], torch.zeros(1, 3), shade, texels, torch.ones(1))
    images = ops.layer(behind, shade, texels, mesh, camera.K, WIDTH, HEIGHT)
    motion = torch.ones(4, behind.shape[1], 3)
    flow = layer_flow(posed, images, motion, torch.eye(3)[None], camera, NEAR)
    assert flow.shape == (1, 4, 2, *images.coverage.shape[1:]) and not flow.any()
