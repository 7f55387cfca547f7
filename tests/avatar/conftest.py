from __future__ import annotations

from collections.abc import Iterator

import pytest

import cuda_ext

LEVELS = ("v4", "v3", "v2", "neon", "portable")


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each instruction-set level of the native kernels that this processor has."""
    if not cuda_ext.available("cpu"):
        pytest.skip(cuda_ext.reason("cpu"))
    before = cuda_ext.simd_level()
    try:
        cuda_ext.set_simd_level(request.param)
    except ValueError:
        pytest.skip(f"this processor has no {request.param}")
    yield request.param
    cuda_ext.set_simd_level(before)
