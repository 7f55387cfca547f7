"""`ops.layer`: the native kernel compared with its PyTorch reference, and properties of the images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

import cuda_ext
from avatar import ops, reference
from avatar.ops import LayerImages
from avatar.reference import whole_image
from avatar.types import LayerMesh
from tests.avatar.ops.layer_scenes import HEIGHT, WIDTH, doubled, grid, intrinsics, layer_scene, skin_scene
from tests.avatar.ops.splat_scenes import largest

Scene = tuple[Tensor, Tensor, Tensor, LayerMesh]
IMAGES = ("color", "coverage", "depth", "stencil")
needs_native = pytest.mark.skipif(not cuda_ext.available("cpu"), reason=cuda_ext.reason("cpu"))


@pytest.fixture(autouse=True)
def restore_threads() -> Iterator[None]:
    before = cuda_ext.threads()
    yield
    if cuda_ext.available("cpu"):
        cuda_ext.set_threads(before)


def on_image(images: LayerImages, width: int = WIDTH, height: int = HEIGHT) -> LayerImages:
    return whole_image(images, width, height)


def assert_equal_images(found: LayerImages, expected: LayerImages, tolerance: float = 1e-5) -> None:
    for name in IMAGES:
        assert largest(getattr(found, name), getattr(expected, name)) < tolerance, name


@pytest.mark.parametrize("blur", [0.0, 0.012])
@pytest.mark.parametrize("drawn", [layer_scene, skin_scene])
def test_images_and_gradient_of_the_texels_match_the_reference(drawn: Callable[[int], Scene], blur: float) -> None:
    vertices, shade, texels, mesh = drawn(2)
    own, true = texels.clone().requires_grad_(), texels.double().requires_grad_()
    found = on_image(ops.layer(vertices, shade, own, mesh, intrinsics(2), WIDTH, HEIGHT, blur=blur))
    expected = reference.layer(
        vertices.double(), shade.double(), true, doubled(mesh), intrinsics(2).double(), WIDTH, HEIGHT, blur=blur
    )
    assert float((expected.stencil > 0.5).double().mean()) > 0.05
    assert float(((expected.coverage > 0) & (expected.stencil == 0)).double().mean()) > 0.1
    assert_equal_images(found, expected)
    weights = torch.randn(expected.color.shape, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad((found.color * weights).sum(), own)
    (true_gradient,) = torch.autograd.grad((expected.color * weights).sum(), true)
    assert largest(gradient, true_gradient) < 1e-5


def test_skin_with_a_texture_covers_what_it_hides_and_has_no_stencil() -> None:
    vertices, shade, texels, mesh = layer_scene()
    bare = on_image(ops.layer(vertices, shade, texels, mesh, intrinsics(), WIDTH, HEIGHT))
    vertices, shade, texels, mesh = skin_scene()
    found = on_image(ops.layer(vertices, shade, texels, mesh, intrinsics(), WIDTH, HEIGHT))
    # Pixels of a meter are those at the mean depth of all faces, so that fades are a little shorter.
    assert torch.equal(found.stencil > 0, bare.stencil > 0) and (found.stencil - bare.stencil).abs().max() < 0.2
    behind = (bare.coverage > 0) & (bare.stencil == 0)
    assert bool(behind.any()) and bool((found.coverage[behind] == 1).all())
    assert bool((found.coverage == 1).all()) and bool(((found.depth - vertices[0, -1, 2]).abs() < 1e-5)[behind].all())


def test_a_crop_equals_the_image_also_where_it_cuts_the_opening() -> None:
    vertices, shade, texels, mesh = layer_scene()
    whole = on_image(ops.layer(vertices, shade, texels, mesh, intrinsics(), WIDTH, HEIGHT, blur=0.01))
    K = intrinsics()
    K[:, 0, 2] -= 18
    K[:, 1, 2] -= 13
    crop = on_image(ops.layer(vertices, shade, texels, mesh, K, 11, 7, blur=0.01), 11, 7)
    assert crop.stencil.max() > 0.9
    for name in IMAGES:
        assert largest(getattr(crop, name), getattr(whole, name)[:, 13:20, 18:29]) < 1e-4, name


def sheets() -> tuple[Tensor, Tensor, Tensor, LayerMesh]:
    """Two bent sheets of small faces behind a skin with a hole, for images of 200 x 160 pixels."""
    near, faces = grid(0.5, 0.9, 24)
    far, _ = grid(0.55, 1.0, 24)
    near[:, 2] += 0.06 * torch.sin(25 * near[:, 0])
    far[:, 2] += 0.05 * torch.cos(19 * far[:, 1])
    front, skin = grid(0.4, 0.8, 12, hole=0.12)
    front[:, 2] += 0.03 * torch.sin(9 * front[:, 1])
    vertices = torch.cat([near, far, front]).float()[None]
    both = torch.cat([faces, faces + len(near)])
    texels = torch.rand(15 * len(both), 3, generator=torch.Generator().manual_seed(3))
    fades = torch.tensor([[0.004, 0.02]]).repeat(len(both), 1)
    mesh = LayerMesh(both, torch.arange(len(texels)).reshape(-1, 15), fades, skin + 2 * len(near))
    return vertices, torch.ones(vertices.shape[:2]), texels, mesh


def large(left: int = 0, top: int = 0) -> Tensor:
    return torch.tensor([[[180.0, 0.0, 100.3 - left], [0.0, 180.0, 79.6 - top], [0.0, 0.0, 1.0]]])


def test_crops_of_a_large_image_agree_wherever_cells_and_bands_begin() -> None:
    scene = sheets()
    whole = on_image(ops.layer(*scene, large(), 200, 160, blur=0.004), 200, 160)
    assert whole.stencil.max() > 0.9 and float((whole.coverage > 0.5).float().mean()) > 0.03
    for left, top, width, height in ((0, 0, 120, 90), (61, 49, 78, 63), (70, 55, 9, 90), (3, 78, 190, 11)):
        crop = on_image(ops.layer(*scene, large(left, top), width, height, blur=0.004), width, height)
        for name in IMAGES:
            part = getattr(whole, name)[:, top : top + height, left : left + width]
            assert largest(getattr(crop, name), part) < 1e-3, (name, left, top)


def test_the_order_of_the_faces_does_not_matter() -> None:
    vertices, shade, texels, mesh = sheets()
    order = torch.randperm(len(mesh.faces), generator=torch.Generator().manual_seed(1))
    other = replace(mesh, faces=mesh.faces[order], texel_ids=mesh.texel_ids[order], skin=mesh.skin.flip(0))
    for found, expected in zip(
        vars(ops.layer(vertices, shade, texels, other, large(), 200, 160)).values(),
        vars(ops.layer(vertices, shade, texels, mesh, large(), 200, 160)).values(),
        strict=True,
    ):
        assert largest(found, expected) < 1e-5


@pytest.mark.parametrize("focal", [64.0, 61.7])
def test_no_sample_falls_between_faces_whose_vertices_and_edges_lie_on_samples(focal: float) -> None:
    points, faces = grid(1.0, 1.0, 16)
    vertices = points.float()[None]
    texels = torch.ones(15 * len(faces), 3)
    mesh = LayerMesh(faces, torch.arange(len(texels)).reshape(-1, 15), torch.ones(len(faces), 2), faces[:0])
    K = torch.tensor([[[focal, 0.0, 20.25], [0.0, focal, 16.25], [0.0, 0.0, 1.0]]])
    found = on_image(ops.layer(vertices, torch.ones(vertices.shape[:2]), texels, mesh, K, WIDTH, HEIGHT))
    assert bool((found.coverage == 1).all())


def test_a_skin_without_an_opening_leaves_an_empty_window() -> None:
    vertices, shade, texels, mesh = layer_scene()
    front, closed = grid(0.9, 0.7, 1)
    points = torch.cat([vertices, front.float()[None]], 1)
    covered = replace(mesh, skin=torch.cat([mesh.skin, closed + vertices.shape[1]]))
    shades = torch.cat([shade, torch.ones(1, len(front))], 1)
    own = texels.clone().requires_grad_()
    found = ops.layer(points, shades, own, covered, intrinsics(), WIDTH, HEIGHT, blur=0.01)
    for name in IMAGES:
        assert not bool(getattr(found, name).any()), name
    (gradient,) = torch.autograd.grad(found.color.sum(), own)
    assert not bool(gradient.any())


@needs_native
@pytest.mark.parametrize("level", ["portable", "v2", "v3", "v4", "neon"])
def test_all_levels_of_the_kernels_give_the_same_images(level: str) -> None:
    before, scene = cuda_ext.simd_level(), sheets()
    expected = ops.layer(*scene, large(), 200, 160, blur=0.004)
    try:
        cuda_ext.set_simd_level(level)
    except ValueError:
        pytest.skip(f"this processor has no {level}")
    try:
        found = ops.layer(*scene, large(), 200, 160, blur=0.004)
    finally:
        cuda_ext.set_simd_level(before)
    assert torch.equal(found.origin, expected.origin)
    assert_equal_images(found, expected)


def test_one_color_and_no_skin_give_that_color_times_the_shade() -> None:
    vertices, shade, texels, mesh = layer_scene()
    color = torch.tensor([0.2, 0.5, 0.8])
    free = replace(mesh, skin=mesh.skin[:0])
    shade = torch.full_like(shade, 0.5)
    found = ops.layer(vertices, shade, color.expand(len(texels), 3), free, intrinsics(), WIDTH, HEIGHT)
    inside = found.coverage > 0
    torch.testing.assert_close(
        found.color[inside] / found.coverage[inside][:, None], 0.5 * color.expand(int(inside.sum()), 3)
    )
    assert set(found.coverage.unique().tolist()) <= {0.0, 0.25, 0.5, 0.75, 1.0}


def test_the_stencil_rises_from_the_rim_of_the_hole_and_the_layer_fades_behind_the_skin() -> None:
    vertices, shade, texels, mesh = layer_scene()
    found = on_image(ops.layer(vertices, shade, texels, mesh, intrinsics(), WIDTH, HEIGHT))
    row = HEIGHT // 2
    seen = (found.stencil[0, row] > 0).nonzero()[:, 0]
    rising = found.stencil[0, row, int(seen[0]) : (int(seen[0]) + int(seen[-1])) // 2]
    assert len(rising) > 3 and bool((rising.diff() >= 0).all()) and rising[-1] > 0.9
    behind = found.coverage[0, row, : int(seen[0])]
    assert bool((behind.diff() >= 0).all()) and behind[0] == 0 and behind.max() > 0.5


def test_a_layer_behind_the_skin_or_the_camera_or_without_faces_covers_nothing() -> None:
    vertices, shade, texels, mesh = layer_scene()
    closed = torch.cat([mesh.skin, torch.tensor([[len(vertices[0]), len(vertices[0]) + 1, len(vertices[0]) + 2]])])
    corners = torch.tensor([[[-9.0, -9.0, 0.7], [9.0, -9.0, 0.7], [0.0, 9.0, 0.7]]])
    skinned = torch.cat([vertices, corners], 1), torch.cat([shade, torch.ones(1, 3)], 1)
    empty = LayerMesh(mesh.faces[:0], mesh.texel_ids[:0], mesh.fades[:0], mesh.skin)
    for points, factor, triangles in (
        (*skinned, replace(mesh, skin=closed)),
        (vertices * torch.tensor([1.0, 1.0, -1.0]), shade, mesh),
        (vertices, shade, empty),
    ):
        found = on_image(ops.layer(points, factor, texels, triangles, intrinsics(), WIDTH, HEIGHT))
        for name in IMAGES:
            assert not bool(getattr(found, name).any()), name


def test_a_layer_over_the_whole_image_without_skin_has_stencil_1_everywhere() -> None:
    vertices, shade, texels, mesh = layer_scene()
    near = vertices * torch.tensor([1.0, 1.0, 0.05])
    found = ops.layer(near, shade, texels, replace(mesh, skin=mesh.skin[:0]), intrinsics(), WIDTH, HEIGHT)
    assert found.stencil.shape == (1, HEIGHT, WIDTH)
    assert bool((found.stencil == 1).all()) and bool((found.coverage == 1).all())


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e30])
def test_bad_vertices_and_faces_without_area_leave_the_images_finite(bad: float) -> None:
    vertices, shade, texels, mesh = layer_scene()
    vertices[0, 3, 1] = bad
    vertices[0, 30, 2] = bad
    vertices[0, 7] = vertices[0, 6]
    found = ops.layer(vertices, shade, texels, mesh, intrinsics(), WIDTH, HEIGHT, blur=0.01)
    for name in IMAGES:
        assert bool(getattr(found, name).isfinite().all()), name
    assert found.coverage.max() > 0.9


def test_random_meshes_across_the_near_plane_match_the_reference() -> None:
    source = torch.Generator().manual_seed(5)
    vertices = torch.rand(1, 30, 3, generator=source) * torch.tensor([1.0, 1.0, 1.4]) - torch.tensor([0.5, 0.5, 0.2])
    faces = torch.stack([torch.randperm(30, generator=source)[:3] for _ in range(24)])
    mesh = LayerMesh(
        faces[:12], torch.arange(180).reshape(12, 15), torch.tensor([[0.01, 0.04]]).repeat(12, 1), faces[12:]
    )
    shade, texels = torch.ones(1, 30), torch.rand(180, 3, generator=source)
    found = on_image(ops.layer(vertices, shade, texels, mesh, intrinsics(), WIDTH, HEIGHT))
    expected = reference.layer(
        vertices.double(), shade.double(), texels.double(), doubled(mesh), intrinsics().double(), WIDTH, HEIGHT
    )
    for name in IMAGES:
        # A sample on an edge that two faces share, or that lies on the skin, may belong to either.
        differs = (getattr(found, name).double() - getattr(expected, name)).abs() > 1e-3
        assert float(differs.double().mean()) < 0.01, name


@needs_native
def test_images_and_gradient_are_bit_identical_at_any_thread_count() -> None:
    vertices, shade, texels, mesh = layer_scene(2)
    results: list[list[Tensor]] = []
    for threads in (1, 2, 5):
        cuda_ext.set_threads(threads)
        own = texels.clone().requires_grad_()
        found = ops.layer(vertices, shade, own, mesh, intrinsics(2), WIDTH, HEIGHT, blur=0.01)
        (gradient,) = torch.autograd.grad(found.color.square().sum(), own)
        results.append([*(getattr(found, name).detach() for name in IMAGES), gradient])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_wrong_arguments_are_refused_by_name() -> None:
    vertices, shade, texels, mesh = layer_scene()
    rest = (intrinsics(), WIDTH, HEIGHT)
    with pytest.raises(ValueError, match=r"shade: expected \[1,\d+\], got \[1,3\]"):
        ops.layer(vertices, shade[:, :3], texels, mesh, *rest)
    with pytest.raises(ValueError, match=r"mesh.texel_ids: expected \[18,15\], got \[18,14\]"):
        ops.layer(vertices, shade, texels, replace(mesh, texel_ids=mesh.texel_ids[:, 1:]), *rest)
    with pytest.raises(ValueError, match=r"mesh.skin: expected int64, got torch.int32"):
        ops.layer(vertices, shade, texels, replace(mesh, skin=mesh.skin.int()), *rest)
    with pytest.raises(ValueError, match="blur: expected 0 or more, got -1"):
        ops.layer(vertices, shade, texels, mesh, *rest, blur=-1.0)
    with pytest.raises(ValueError, match=r"mesh: expected vertex indices in 0\.\."):
        ops.layer(vertices, shade, texels, replace(mesh, faces=mesh.faces + 1000), *rest)
    with pytest.raises(ValueError, match=r"mesh.texel_ids: expected indices in 0\.\."):
        ops.layer(vertices, shade, texels[:3], mesh, *rest)
