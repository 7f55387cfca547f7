"""`ops.blend_extent`, `limit_scales`, `limit_texels` and `round_rings`: native against reference, and edges."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from avatar import ops, reference
from tests.avatar.ops.splat_scenes import largest

ROUNDING = 2e-6  # float32 against float64, relative to the largest value
RATIO, THINNESS = math.log(6), math.log(8)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("first, channels", [(0, 3), (7, 4), (10, 1), (0, 11)])
@pytest.mark.parametrize("frames, bases, count", [(1, 1, 1), (9, 10, 35), (3, 4, 600)])
def test_native_extent_matches_reference(
    level: str, first: int, channels: int, frames: int, bases: int, count: int
) -> None:
    basis, weights = random(bases, count, 11), random(frames, bases, seed=1)
    rows = torch.randperm(count, generator=torch.Generator().manual_seed(2))[: max(1, count - 7)]
    units, base = random(channels, seed=3).abs(), random(len(rows), channels, seed=4)
    for added in (base, None):
        expected = reference.blend_extent(added, basis, weights, rows, first, units)
        floats = None if added is None else added.float()
        found = ops.blend_extent(floats, basis.float(), weights.float(), rows, first, units.float())
        for name in ("low", "high", "square"):
            assert largest(getattr(found, name), getattr(expected, name)) < ROUNDING, name


def test_extent_is_that_of_the_values_in_each_frame() -> None:
    basis, weights, rows = random(3, 5, 11).float(), random(4, 3, seed=1).float(), torch.tensor([4, 1])
    units = torch.tensor([2.0, 3.0])
    found = ops.blend_extent(None, basis, weights, rows, 8, units)
    moved = ops.blend(None, basis, weights)[:, rows, 8:10] * units
    torch.testing.assert_close(found.low, moved.amin(0))
    torch.testing.assert_close(found.high, moved.amax(0))
    torch.testing.assert_close(found.square, moved.square().sum(2).amax(0))


def test_extent_of_no_gaussian_is_empty() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    found = ops.blend_extent(None, torch.zeros(2, 5, 11), torch.ones(3, 2), none, 0, torch.ones(3))
    assert found.low.shape == found.high.shape == (0, 3) and found.square.shape == (0,)


def test_extent_does_not_depend_on_the_number_of_threads() -> None:
    basis, weights, rows = random(6, 3000, 11).float(), random(9, 6, seed=1).float(), torch.arange(3000)

    def run() -> Tensor:
        return ops.blend_extent(None, basis, weights, rows, 0, torch.ones(3)).square

    with ops.one_thread_each():
        expected = run()
    assert torch.equal(run(), expected)


def test_extent_names_what_it_refuses() -> None:
    basis, weights, rows, units = torch.zeros(2, 5, 11), torch.ones(3, 2), torch.tensor([0, 4]), torch.ones(3)
    for bad in (torch.tensor([0, 5]), torch.tensor([-1, 0])):
        with pytest.raises(ValueError, match=r"rows: expected indices in 0\.\.4, got"):
            ops.blend_extent(None, basis, weights, bad, 0, units)
    with pytest.raises(ValueError, match=r"rows: expected int64"):
        ops.blend_extent(None, basis, weights, rows.int(), 0, units)
    with pytest.raises(ValueError, match=r"weights: expected"):
        ops.blend_extent(None, basis, torch.ones(3, 4), rows, 0, units)
    with pytest.raises(ValueError, match=r"weights: expected at least one frame"):
        ops.blend_extent(None, basis, weights[:0], rows, 0, units)
    with pytest.raises(ValueError, match=r"first: expected 3 channels"):
        ops.blend_extent(None, basis, weights, rows, 9, units)
    with pytest.raises(ValueError, match=r"base: expected \[2,3\]"):
        ops.blend_extent(torch.zeros(3, 3), basis, weights, rows, 0, units)


@pytest.mark.parametrize("count", [1, 15, 5000])
def test_native_scales_match_reference(level: str, count: int) -> None:
    before, limit = 2 * random(count, 3), random(count, seed=1) + 1
    found, expected = before.float(), before.float()
    ops.limit_scales(found, limit.float(), RATIO, THINNESS)
    reference.limit_scales(expected, limit.float(), RATIO, THINNESS)
    assert torch.equal(found, expected)
    assert count == 1 or not torch.equal(found, before.float())


def test_scales_with_a_nan_stay(level: str) -> None:
    before = random(40, 3).float() * 3
    before[::7, 1] = math.nan
    found = before.clone()
    ops.limit_scales(found, torch.zeros(40), RATIO, THINNESS)
    torch.testing.assert_close(found[::7], before[::7], rtol=0, atol=0, equal_nan=True)
    assert found[1:7].isfinite().all() and not torch.equal(found[1:7], before[1:7])


def test_scales_name_the_argument_of_wrong_shape() -> None:
    with pytest.raises(ValueError, match=r"largest: expected \[4\]"):
        ops.limit_scales(torch.zeros(4, 3), torch.zeros(5), RATIO, THINNESS)


def rings(count: int, number: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Values and squares [count + 9,3], texels [count] and their places between rings."""
    texels = torch.randperm(count + 9, generator=torch.Generator().manual_seed(0))[:count]
    places = torch.rand(count, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * (number - 1)
    return random(count + 9, 3), random(count + 9, 3, seed=1).square(), texels, places


@pytest.mark.parametrize("count, number", [(0, 4), (1, 2), (5, 32), (3000, 32)])
def test_native_rings_match_reference(level: str, count: int, number: int) -> None:
    values, squares, texels, places = rings(count, number)
    found, expected = values.float(), values.clone()
    ops.round_rings(found, squares.float(), texels, places.float(), number, 0.1, 0.4)
    reference.round_rings(expected, squares, texels, places, number, 0.1, 0.4)
    assert largest(found, expected) < ROUNDING
    others = torch.ones(len(values), dtype=torch.bool)
    others[texels] = False
    assert torch.equal(found[others], values.float()[others])
    assert bool(count) != torch.equal(found, values.float())


def test_texels_on_the_last_ring_are_of_that_ring() -> None:
    values = torch.tensor([[0.0], [1.0], [1.0]]).expand(-1, 3).contiguous()
    places = torch.tensor([0.0, 2.0, 2.0])
    ops.round_rings(values, torch.ones(3, 3), torch.arange(3), places, 3, 0.0, 1.0)
    torch.testing.assert_close(values[:, 0], torch.tensor([0.0, 1.0, 1.0]), atol=1e-5, rtol=0)


def test_rings_name_what_they_refuse() -> None:
    values, squares, texels, places = (value.float() if value.is_floating_point() else value for value in rings(5, 4))
    with pytest.raises(ValueError, match=r"texels: expected indices in 0\.\.13, got"):
        ops.round_rings(values, squares, texels + 14, places, 4, 0.1, 0.4)
    with pytest.raises(ValueError, match=r"places: expected \[5\]"):
        ops.round_rings(values, squares, texels, places[:4], 4, 0.1, 0.4)
    with pytest.raises(ValueError, match=r"rings: expected 2 or more, got 1"):
        ops.round_rings(values, squares, texels, places, 1, 0.1, 0.4)


@pytest.mark.parametrize("count", [1, 100, 20_000])
def test_native_texels_are_limited_as_by_the_reference(count: int) -> None:
    own, start, factors = random(count, 3), random(count, 3, seed=1), random(5, 3, seed=2).exp()
    part = torch.arange(count) % 5
    found, expected = own.float(), own.float()
    found[-1, 1] = expected[-1, 1] = torch.nan
    others = start.float(), part, factors.float()
    ops.limit_texels(found, *others)
    reference.limit_texels(expected, *others)
    assert torch.equal(found.nan_to_num(), expected.nan_to_num()) and found[-1, 1].isnan()
    colors = reference.texel_colors(*others, found).nan_to_num()
    assert bool(((colors > -1e-5) & (colors < 1 + 1e-5)).all())


def test_texels_of_unknown_parts_are_refused() -> None:
    own = torch.zeros(4, 3)
    with pytest.raises(ValueError, match=r"part: expected indices in 0\.\.1"):
        ops.limit_texels(own, own.clone(), torch.tensor([0, 1, 2, 0]), torch.ones(2, 3))
