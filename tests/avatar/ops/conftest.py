from __future__ import annotations

from collections.abc import Iterator

import pytest

import cuda_ext


@pytest.fixture(autouse=True)
def restore_native_settings() -> Iterator[None]:
    """Other tests get the instruction-set level and threads of before."""
    level, threads = cuda_ext.simd_level(), cuda_ext.threads()
    yield
    if cuda_ext.available("cpu"):
        cuda_ext.set_simd_level(level)
        cuda_ext.set_threads(threads)
