"""`ops.splat_into` without a workspace: the CPU kernels, and the PyTorch reference."""

from __future__ import annotations

import pytest
import torch

import cuda_ext
from avatar import ops
from tests.avatar.ops.splat_scenes import IMAGES, camera, scene


@pytest.fixture(params=["native", "reference"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "native" and not cuda_ext.available("cpu"):
        pytest.skip(cuda_ext.reason("cpu"))
    if request.param == "reference":
        monkeypatch.setattr(cuda_ext, "available", lambda device="cpu": False)
    return str(request.param)


@pytest.mark.parametrize("options", [{}, {"antialias": True, "cutoff": False, "near": 0.9, "dilation": 0.1}], ids=str)
def test_splat_into_renders_what_splat_renders(way: str, options: dict[str, float]) -> None:
    inputs, view = scene(2, 50), camera(2)
    buffers = ops.splat_buffers(2, 50, 49, 37, with_weights=True)
    prepared = ops.splat_into(buffers, *inputs, view, **options)  # type: ignore[arg-type]
    expected = ops.splat(*inputs, view, with_weights=True, **options)  # type: ignore[arg-type]
    for name in (*IMAGES, "weights"):
        assert torch.equal(getattr(buffers, name), getattr(expected, name)), name
    assert torch.equal(ops.splat_features(prepared, inputs[4]), expected.rgb)


def test_buffers_without_depth_and_weights_have_no_limit(way: str) -> None:
    inputs, view = scene(1, 30), camera()
    buffers = ops.splat_buffers(1, 30, 49, 37, with_depth=False)
    ops.splat_into(buffers, *inputs, view)
    assert (buffers.depth, buffers.weights, buffers.workspace, buffers.intersections()) == (None, None, None, 0)
    assert torch.equal(buffers.rgb, ops.splat(*inputs, view).rgb)
