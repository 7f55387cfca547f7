"""`ops.rigid_normal`: native compared with the reference, the reference with a plane of exactly known motion."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

import cuda_ext
from avatar import ops, reference
from avatar.geometry.rotations import axis_angle_to_matrix
from avatar.reference.motion import pixel_features, rigid_flows
from tests.avatar.ops.splat_scenes import largest

SIGMA = 0.7
#: float32 sums over some thousand pixels against float64, relative to the largest entry.
ROUNDING = 5e-6
#: Odd sizes: no interior, narrower than a vector, just over one, and rows that extend into the low-alpha filter.
SIZES = [(1, 1), (2, 3), (5, 4), (37, 53), (61, 17)]


@dataclass(frozen=True)
class Scene:
    """Arguments of `rigid_normal` in float64."""

    rgb: Tensor
    alpha: Tensor
    target: Tensor
    features: Tensor
    K: Tensor
    pivots: Tensor

    def given(self, dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
        """The arguments before sigma."""
        return tuple(
            value.to(dtype) for value in (self.rgb, self.alpha, self.target, self.features, self.K, self.pivots)
        )


def noise(height: int, width: int, groups: int = 2, batch: int = 2) -> Scene:
    """Noise: alpha from 0 to 1, depths around half a meter, blend weights that sum to at most one."""
    source = torch.Generator().manual_seed(height * 100 + width)

    def random(*shape: int) -> Tensor:
        return torch.rand(shape, generator=source, dtype=torch.float64)

    alpha = (1.5 * random(batch, height, width) - 0.25).clamp(0, 1)
    alpha = torch.where((alpha - 0.5).abs() < 1e-3, 0.6, alpha)  # away from the alpha threshold, where rounding decides
    features = torch.stack([0.4 + 0.3 * random(batch, height, width)] + [0.5 * random(batch, height, width)] * 2, -1)
    focal = 1.9 * max(height, width)
    K = torch.tensor([[focal, 0.0, width / 2], [0.0, 1.1 * focal, height / 2 + 0.3], [0.0, 0.0, 1.0]])
    return Scene(
        random(batch, height, width, 3) * alpha[..., None],
        alpha,
        random(batch, height, width, 3),
        features * alpha[..., None],
        K.double().expand(batch, 3, 3),
        torch.tensor([0.01, -0.02, 0.55], dtype=torch.float64) + 0.1 * random(batch, groups, 3),
    )


@pytest.mark.parametrize("groups", [1, 2, 3])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_native_matches_reference(level: str, height: int, width: int, groups: int) -> None:
    scene = noise(height, width, groups)
    found = ops.rigid_normal(*scene.given(torch.float32), SIGMA)  # type: ignore[arg-type]
    expected = reference.rigid_normal(*scene.given(), SIGMA)  # type: ignore[arg-type]
    for name, value, truth in zip(("matrix", "gradient", "cost"), found, expected, strict=True):
        assert value.shape == truth.shape
        assert largest(value, truth) < ROUNDING, name


def test_native_gives_the_same_bits_for_any_number_of_threads() -> None:
    if not cuda_ext.available("cpu"):
        pytest.skip(cuda_ext.reason("cpu"))
    given, before = noise(37, 53, batch=5).given(torch.float32), cuda_ext.threads()
    try:
        found = []
        for threads in (1, 2, 3):
            cuda_ext.set_threads(threads)
            found.append(ops.rigid_normal(*given, SIGMA))  # type: ignore[arg-type]
    finally:
        cuda_ext.set_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_an_image_of_a_batch_does_not_depend_on_the_others() -> None:
    given = noise(37, 53, batch=3).given(torch.float32)
    whole = ops.rigid_normal(*given, SIGMA)  # type: ignore[arg-type]
    alone = ops.rigid_normal(*(value[1:2] for value in given), SIGMA)  # type: ignore[arg-type]
    assert all(torch.equal(a[1:2], b) for a, b in zip(whole, alone, strict=True))


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_matrix_is_symmetric_and_has_no_negative_curvature(groups: int) -> None:
    matrix = ops.rigid_normal(*noise(37, 53, groups).given(torch.float32), SIGMA)[0]  # type: ignore[arg-type]
    assert torch.equal(matrix, matrix.transpose(1, 2))
    values = torch.linalg.eigvalsh(matrix.double())
    assert (values.amin(1) > -1e-6 * values.amax(1)).all()


def test_equal_images_have_zero_cost_and_gradient() -> None:
    given = list(noise(20, 21).given(torch.float32))
    given[2] = given[0] + (1 - given[1])[..., None]
    _, gradient, cost = ops.rigid_normal(*given, SIGMA)  # type: ignore[arg-type]
    assert torch.equal(gradient, torch.zeros_like(gradient)) and torch.equal(cost, torch.zeros_like(cost))


@pytest.mark.parametrize(
    ("name", "shape", "sentence"),
    [
        ("rgb", (2, 6, 7), r"rgb: expected \[B,H,W,3\], got \[2,6,7\]"),
        ("alpha", (2, 6, 8), r"alpha: expected \[2,6,7\], got \[2,6,8\]"),
        ("target", (1, 6, 7, 3), r"target: expected \[2,6,7,3\], got \[1,6,7,3\]"),
        ("features", (2, 6, 7, 2), r"features: expected \[2,6,7,3\], got \[2,6,7,2\]"),
        ("K", (3, 3), r"K: expected \[2,3,3\], got \[3,3\]"),
        ("pivots", (2, 3), r"pivots: expected \[2,G,3\], got \[2,3\]"),
        ("pivots", (2, 4, 3), r"pivots: expected \[B,G,3\] with G from 1 to 3, got G=4"),
        ("pivots", (2, 0, 3), r"pivots: expected \[B,G,3\] with G from 1 to 3, got G=0"),
    ],
)
def test_a_wrong_shape_is_named(name: str, shape: tuple[int, ...], sentence: str) -> None:
    names = ("rgb", "alpha", "target", "features", "K", "pivots")
    given = dict(zip(names, noise(6, 7).given(torch.float32), strict=True)) | {name: torch.zeros(shape)}
    with pytest.raises(ValueError, match=sentence):
        ops.rigid_normal(**given, sigma=SIGMA)


def test_a_wrong_dtype_is_named() -> None:
    given = list(noise(6, 7).given(torch.float32))
    given[4] = given[4].double()
    with pytest.raises(ValueError, match=r"K: expected torch\.float32"):
        ops.rigid_normal(*given, SIGMA)  # type: ignore[arg-type]


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("nan")])
def test_sigma_must_be_above_zero(sigma: float) -> None:
    with pytest.raises(ValueError, match="sigma: expected more than 0, got"):
        ops.rigid_normal(*noise(6, 7).given(torch.float32), sigma)  # type: ignore[arg-type]


#: Half width of the plane's image, its focal length, and the positions of the two patches on it (meters).
HALF, FOCAL, PATCHES = 40, 150.0, ((-0.06, 0.01), (0.07, -0.02))


def plane_image(motions: Tensor, pivots: Tensor) -> tuple[Tensor, Tensor]:
    """Colors [H,W,3] and depth at rest [H,W] of a slanted plane with two soft patches, each rigidly moved.

    Args:
        motions: [2,6] turn (rad) about, and shift (m) of, each patch's pivot, camera axes.
        pivots: [2,3] meters.
    """
    ray = torch.arange(2 * HALF, dtype=torch.float64) + 0.5 - HALF
    rays = torch.stack([ray.expand(2 * HALF, -1) / FOCAL, ray[:, None].expand(-1, 2 * HALF) / FOCAL], -1)
    rays = torch.cat([rays, torch.ones_like(rays[..., :1])], -1)
    normal = torch.tensor([0.3, -0.2, 1.0], dtype=torch.float64)  # the plane: normal . x = 0.5 m
    image = torch.full_like(rays, 0.5)
    for motion, pivot, middle in zip(motions, pivots, PATCHES, strict=True):
        back = axis_angle_to_matrix(motion[:3]).T
        eye, along = back @ (-pivot - motion[3:]) + pivot, rays @ back.T
        reach = (0.5 - normal @ eye) / (along @ normal)
        spot = eye + reach[..., None] * along
        away = spot[..., :2] - torch.tensor(middle, dtype=torch.float64)
        patch = torch.exp(-away.square().sum(-1) / (2 * 0.018**2))
        waves = torch.stack(
            [torch.sin(60 * away[..., 0]), torch.cos(50 * away[..., 1]), torch.sin(40 * away.sum(-1))], -1
        )
        image = image + 0.25 * patch[..., None] * (1 + waves)
    return image, 0.5 / (rays @ normal)


@dataclass(frozen=True)
class Plane:
    """The plane as arguments of `rigid_normal`: its right patch is group 1."""

    pivots: Tensor
    target: Tensor
    features: Tensor
    K: Tensor

    @staticmethod
    def made() -> Plane:
        pivots = torch.tensor([[-0.05, 0.02, 0.45], [0.05, 0.1, 0.6]], dtype=torch.float64)
        moved = torch.tensor([[0.02, -0.03, 0.04, 2e-3, 1e-3, -6e-3], [-0.03, 0.01, -0.02, -1e-3, 2e-3, 5e-3]]).double()
        depth = plane_image(torch.zeros(2, 6, dtype=torch.float64), pivots)[1]
        right = torch.zeros_like(depth)
        right[:, HALF:] = 1
        K = torch.tensor([[FOCAL, 0.0, HALF], [0.0, FOCAL, HALF], [0.0, 0.0, 1.0]]).double()
        features = torch.stack([depth, right, torch.zeros_like(depth)], -1)
        return Plane(pivots, plane_image(moved, pivots)[0], features, K)

    def normal(self, motions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Terms of the one image of the plane after `motions` [2,6]; depths are those at rest."""
        image = plane_image(motions, self.pivots)[0][None]
        alpha = torch.ones_like(image[..., 0])
        terms = reference.rigid_normal(
            image, alpha, self.target[None], self.features[None], self.K[None], self.pivots[None], SIGMA
        )
        return terms[0][0], terms[1][0], terms[2][0]


def test_gradient_is_half_of_the_costs_derivative_by_each_motion() -> None:
    # The patches fade out before the border and before each other, so flow and shares are exact. Central differences
    # see the slope of a wave of L pixels (2 pi / L)^2 / 6 too flat: the patches' finest detail is some 25 pixels: 1 %.
    plane, rest = Plane.made(), torch.zeros(12, dtype=torch.float64)
    gradient = plane.normal(rest.reshape(2, 6))[1]
    step = 1e-5
    expected = torch.stack(
        [
            (plane.normal((rest + step * way).reshape(2, 6))[2] - plane.normal((rest - step * way).reshape(2, 6))[2])
            / (4 * step)
            for way in torch.eye(12, dtype=torch.float64)
        ]
    )
    for part in (slice(0, 3), slice(3, 6), slice(6, 9), slice(9, 12)):  # turns and shifts, in their own units
        assert largest(gradient[part], expected[part]) < 0.02


def test_matrix_is_the_curvature_of_the_cost_along_a_motion() -> None:
    # Without residuals the cost is s / sigma^2, and half of its second derivative along a motion is the matrix's.
    plane, rest = Plane.made(), torch.zeros(2, 6, dtype=torch.float64)
    at_rest = Plane(plane.pivots, plane_image(rest, plane.pivots)[0], plane.features, plane.K)
    matrix = at_rest.normal(rest)[0]
    step = 1e-4
    for index in range(12):
        way = torch.zeros(12, dtype=torch.float64)
        way[index] = step
        curvature = at_rest.normal(way.reshape(2, 6))[2] / step**2
        assert float(matrix[index, index]) == pytest.approx(float(curvature), rel=0.03), index


def test_a_few_steps_find_the_motion_of_both_groups() -> None:
    plane = Plane.made()
    # Shares and depths stay those at rest, so the motion found is right to what they are off: a few per cent.
    motions = torch.zeros(12, dtype=torch.float64)
    for _ in range(6):
        matrix, gradient, _ = plane.normal(motions.reshape(2, 6))
        motions = motions - torch.linalg.solve(matrix + 1e-9 * torch.eye(12), gradient)
    before, after = (plane.normal(each.reshape(2, 6))[2] for each in (torch.zeros(12).double(), motions))
    assert after < 0.01 * before


def test_pixels_of_the_other_group_do_not_move_with_a_group() -> None:
    given = list(noise(24, 31).given(torch.float32))
    given[1] = torch.ones_like(given[1])
    given[3][..., 1:] = torch.tensor([1.0, 0.0])  # all of them the torso's
    matrix, gradient, _ = ops.rigid_normal(*given, SIGMA)  # type: ignore[arg-type]
    assert not matrix[:, :6].any() and not gradient[:, :6].any()
    assert matrix[:, 6:, 6:].any()


def test_low_alpha_pixels_use_the_features_of_their_neighborhood() -> None:
    features, alpha = torch.zeros(1, 9, 9, 3), torch.zeros(1, 9, 9)
    alpha[:, :, :5] = 1.0
    features[:, :, :5] = torch.tensor([0.5, 0.25, 0.0])
    alpha[:, :, 5], features[:, :, 5] = 0.2, 0.2 * torch.tensor([0.9, 1.0, 0.0])
    found = pixel_features(features, alpha)
    torch.testing.assert_close(found[0, 4, 4], torch.tensor([0.5, 0.25, 0.0]))  # full alpha: the pixel's feature
    torch.testing.assert_close(found[0, 4, 5], (torch.tensor([0.5, 0.25, 0.0]) + features[0, 4, 5]) / 1.2)
    torch.testing.assert_close(found[0, 4, 6], torch.tensor([0.9, 1.0, 0.0]))  # empty, next to the low-alpha one
    assert not found[0, 4, 7:].any()


def test_pixels_without_depth_have_no_flow() -> None:
    u, v = rigid_flows(torch.zeros(1, 4, 5), torch.eye(3)[None] * 100, torch.tensor([[0.0, 0.0, 0.5]]))
    assert not u.any() and not v.any()


def test_empty_images_have_zero_gradient() -> None:
    given = list(noise(24, 31).given(torch.float32))
    given[0], given[1], given[3] = (torch.zeros_like(given[k]) for k in (0, 1, 3))
    matrix, gradient, cost = ops.rigid_normal(*given, SIGMA)  # type: ignore[arg-type]
    assert not matrix.any() and not gradient.any() and (cost > 0).all()
