"""The emulator that runs the CUDA sources: it follows CUDA's rules and rejects kernels that would hang on a device."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import numpy as np
import pytest

from tests.support.emulated import CannotBuild, load_emulated


@pytest.fixture(params=[False, True], ids=["in order", "reversed"])
def emulated(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    try:
        module = load_emulated()
    except CannotBuild as error:
        pytest.skip(str(error))
    module.set_reversed(request.param)
    yield module
    module.set_reversed(False)


def test_warp_intrinsics_match_cuda(emulated: ModuleType) -> None:
    out = np.zeros((64, 8), np.int32)
    emulated.warp_intrinsics(out)
    lane = np.arange(64) % 32
    multiples = sum(1 << k for k in range(0, 32, 3))
    expected = [
        np.full(64, 5), lane ^ 3, np.where(lane < 28, lane + 4, lane), np.where(lane >= 4, lane - 4, lane),
        np.full(64, np.uint32(multiples).astype(np.int32)), np.full(64, 1), np.arange(64) // 32 * 32 + 31, 496 * lane,
    ]  # fmt: skip
    np.testing.assert_array_equal(out, np.stack(expected, 1))


def test_barriers_separate_writing_from_reading(emulated: ModuleType) -> None:
    rounds, threads = 7, 96
    out, votes = np.zeros(threads, np.int32), np.zeros(rounds, np.int32)
    emulated.ring_shift(rounds, out, votes)
    np.testing.assert_array_equal(out, (np.arange(threads) - rounds) % threads)
    np.testing.assert_array_equal(votes, np.arange(rounds))


@pytest.mark.parametrize(
    ("which", "words"),
    [
        (0, "deadlock: 24 threads wait at __syncthreads while 40 have ended"),
        (1, "deadlock: a lane waits at a vote for lanes that have ended or wait elsewhere"),
        (2, "lanes of a warp synchronize at .* and at "),
        (3, "the mask of a collective operation must name all lanes of the warp"),
    ],
)
def test_kernels_that_would_hang_are_rejected_and_the_next_one_runs(
    emulated: ModuleType, which: int, words: str
) -> None:
    with pytest.raises(RuntimeError, match=f"emulator: {words}"):
        emulated.launch_invalid(which)
    out = np.zeros((32, 8), np.int32)
    emulated.warp_intrinsics(out)
    assert (out[:, 0] == 5).all()


def test_sort_is_stable_and_uses_the_low_bits_only(emulated: ModuleType) -> None:
    keys = np.random.default_rng(0).integers(0, 2**20, 500, dtype=np.uint32)
    values = np.arange(500, dtype=np.uint32)
    keys_out, values_out, sums = (np.empty(500, np.uint32) for _ in range(3))
    emulated.sort_and_sum(keys, values, keys_out, values_out, sums, 6)
    order = np.argsort(keys & 63, kind="stable")
    np.testing.assert_array_equal(values_out, order)
    np.testing.assert_array_equal(keys_out, keys[order])
    np.testing.assert_array_equal(sums, np.cumsum(values) - values)
