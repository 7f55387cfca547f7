"""The device of the CUDA tests: a GPU, or the emulator behind `avatar.ops` for CPU tensors."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

import cuda_ext
from avatar.ops import backend
from avatar.ops.kernels import CudaKernels
from tests.support.emulated import CannotBuild, load_emulated


@pytest.fixture(params=[pytest.param("cuda", marks=pytest.mark.gpu), "emulated"])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    """Device for a test's tensors, on which `avatar.ops` runs the CUDA sources."""
    if request.param == "cuda":
        if not torch.cuda.is_available() or not cuda_ext.available("cuda"):
            pytest.skip(f"no CUDA device: {cuda_ext.reason('cuda')}")
        yield torch.device("cuda")
        return
    try:
        module = load_emulated()
    except CannotBuild as error:
        pytest.skip(str(error))
    monkeypatch.setattr(cuda_ext, "available", lambda device="cpu": True)
    monkeypatch.setattr(cuda_ext, "native", lambda: CudaKernels(module, 0))
    monkeypatch.setattr(backend, "cpu_kernels", lambda kernels: kernels)
    yield torch.device("cpu")
    module.set_reversed(False)
