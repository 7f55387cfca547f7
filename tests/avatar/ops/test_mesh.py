"""`ops.mesh`: the native rasterizer compared with its PyTorch reference and with plane geometry."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import cuda_ext
from avatar import ops, reference


def intrinsics(batch: int = 1, focal: float = 40.0, width: int = 41, height: int = 33) -> Tensor:
    K = torch.tensor([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])
    return K.repeat(batch, 1, 1)


def random_mesh(batch: int = 2, vertices: int = 40, faces: int = 60) -> tuple[Tensor, Tensor]:
    """Random triangles around one meter, some of them partly behind the camera."""
    source = torch.Generator().manual_seed(3)
    points = (torch.rand(batch, vertices, 3, generator=source) - 0.5) * torch.tensor([1.5, 1.5, 2.4])
    triangles = torch.stack([torch.randperm(vertices, generator=source)[:3] for _ in range(faces)])
    return points + torch.tensor([0.0, 0.0, 1.0]), triangles


def test_native_mesh_matches_reference_also_across_the_near_plane() -> None:
    vertices, faces = random_mesh()
    found = ops.mesh(vertices, faces, intrinsics(2), 41, 33)
    expected = reference.mesh(vertices.double(), faces, intrinsics(2).double(), 41, 33)
    assert (expected[0] >= 0).float().mean() > 0.3
    same = found[0] == expected[0]
    # Faces that share an edge meet at the same depth there: rounding may pick either.
    assert same.float().mean() > 0.995
    torch.testing.assert_close(found[2].double(), expected[2], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found[1][same].double(), expected[1][same], rtol=1e-5, atol=1e-6)


def test_thin_diagonal_triangles_and_those_smaller_than_a_pixel_cover_the_pixels_of_the_reference() -> None:
    source = torch.Generator().manual_seed(5)
    start = (torch.rand(250, 1, 3, generator=source) - 0.5) * torch.tensor([1.0, 0.8, 0.4]) + torch.tensor([0, 0, 1.0])
    length = torch.cat([torch.full((50,), 0.6), torch.full((200,), 0.02)])[:, None]  # meters; a pixel has 0.025
    along = torch.nn.functional.normalize(torch.randn(250, 3, generator=source), dim=1) * length
    across = torch.randn(250, 3, generator=source) * 0.012
    vertices = torch.cat([start, start + along[:, None], start + across[:, None]], 1).reshape(1, -1, 3)
    faces = torch.arange(750).reshape(-1, 3)
    face, _, depth = ops.mesh(vertices, faces, intrinsics(), 41, 33)
    expected, _, deep = reference.mesh(vertices.double(), faces, intrinsics().double(), 41, 33)
    assert len(face[face < 50].unique()) > 30 and len(face[face >= 50].unique()) > 20
    assert (face == expected).all()
    torch.testing.assert_close(depth.double(), deep, rtol=1e-5, atol=1e-6)


def test_a_triangle_with_its_corners_at_pixel_centers_covers_them() -> None:
    K = torch.tensor([[[32.0, 0.0, 16.0], [0.0, 32.0, 16.0], [0.0, 0.0, 1.0]]])
    corners = torch.tensor([[2.5, 2.5], [10.5, 2.5], [2.5, 10.5]])
    vertices = torch.cat([(corners - 16) / 32, torch.ones(3, 1)], 1)[None]
    face, _, _ = ops.mesh(vertices, torch.tensor([[0, 1, 2]]), K, 32, 32)
    assert torch.nonzero(face[0] == 0).tolist() == [[y, x] for y in range(2, 11) for x in range(2, 13 - y)]


def test_barycentrics_are_perspective_correct_and_consistent_with_depth() -> None:
    vertices = torch.tensor([[[-1.0, -1.0, 1.0], [1.0, -1.0, 2.0], [0.0, 2.0, 4.0]]])
    faces = torch.tensor([[0, 1, 2]])
    K = intrinsics()
    face, bary, depth = ops.mesh(vertices, faces, K, 41, 33)
    rows, columns = torch.nonzero(face[0] == 0, as_tuple=True)
    assert len(rows) > 100
    points = bary[0, rows, columns] @ vertices[0]
    pixels = points @ K[0].T
    torch.testing.assert_close(pixels[:, 0] / pixels[:, 2], columns + 0.5, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(pixels[:, 1] / pixels[:, 2], rows + 0.5, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(depth[0, rows, columns], points[:, 2])


def test_the_nearer_of_two_faces_is_visible_and_of_equal_ones_the_first() -> None:
    near = torch.tensor([[-1.0, -1.0, 1.0], [1.0, -1.0, 1.0], [0.0, 2.0, 1.0]])
    vertices = torch.cat([near + torch.tensor([0.0, 0.0, 1.0]), near])[None]
    face, _, _ = ops.mesh(vertices, torch.tensor([[0, 1, 2], [3, 4, 5], [3, 4, 5]]), intrinsics(), 41, 33)
    assert set(face[0, 10:20, 15:25].unique().tolist()) == {1}


def test_a_quad_of_two_triangles_has_no_gap_along_its_diagonal() -> None:
    vertices = torch.tensor([[[-0.3, -0.2, 1.0], [0.31, -0.21, 1.1], [0.33, 0.24, 1.3], [-0.29, 0.22, 0.9]]])
    face, _, _ = ops.mesh(vertices, torch.tensor([[0, 1, 2], [0, 2, 3]]), intrinsics(focal=400), 41, 33)
    assert (face >= 0).all()


def test_an_empty_mesh_and_one_behind_the_camera_give_background() -> None:
    vertices, faces = random_mesh()
    for points, triangles in ((vertices, faces[:0]), (vertices - torch.tensor([0.0, 0.0, 9.0]), faces)):
        face, bary, depth = ops.mesh(points, triangles, intrinsics(2), 41, 33)
        assert (face == -1).all() and (bary == 0).all() and (depth == 0).all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_vertex_that_is_not_finite_hides_only_its_faces(bad: float) -> None:
    vertices, faces = random_mesh(batch=1)
    vertices[0, 7, 1] = bad
    kept = (faces != 7).all(1)
    _, _, depth = ops.mesh(vertices, faces, intrinsics(), 41, 33)
    _, _, clean = ops.mesh(vertices, faces[kept], intrinsics(), 41, 33)
    assert depth.isfinite().all()
    assert torch.equal(depth, clean)


@pytest.mark.skipif(not cuda_ext.available("cpu"), reason=cuda_ext.reason("cpu"))
def test_mesh_is_bit_identical_at_any_thread_count() -> None:
    before = cuda_ext.threads()
    vertices, faces = random_mesh()
    try:
        results = []
        for threads in (1, 2, 5):
            cuda_ext.set_threads(threads)
            results.append(ops.mesh(vertices, faces, intrinsics(2), 41, 33))
    finally:
        cuda_ext.set_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_faces_outside_the_vertices_are_refused_by_name() -> None:
    vertices, faces = random_mesh()
    with pytest.raises(ValueError, match=r"faces: expected indices in 0\.\.39, got -1\.\."):
        ops.mesh(vertices, faces - faces.min() - 1, intrinsics(2), 41, 33)
