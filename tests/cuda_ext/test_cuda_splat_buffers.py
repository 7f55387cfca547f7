"""Workspaces of the CUDA rasterizer: they grow, or the images are NaN; and rendering into existing buffers."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from avatar import ops
from avatar.ops import frames
from avatar.ops.frames import CudaFrame, SplatCall, SplatImages, new_workspace
from avatar.types import Camera
from tests.avatar.ops.splat_scenes import IMAGES, Inputs, camera, scene, splat_and_gradients


def there(inputs: tuple[Tensor, ...], device: torch.device) -> Inputs:
    return tuple(value.to(device) for value in inputs)  # type: ignore[return-value]


def there_camera(device: torch.device, batch: int = 1, width: int = 49, height: int = 37) -> Camera:
    view = camera(batch, width, height)
    return Camera(view.K.to(device), view.world_to_cam.to(device), width, height)


def test_a_workspace_that_is_too_small_grows_and_its_size_is_remembered(
    device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs, view = there(scene(1, 40), device), camera()
    expected, gradients = splat_and_gradients(ops.splat, inputs, view)
    monkeypatch.setattr(frames, "_limits", {})
    monkeypatch.setattr(frames, "initial_max_intersections", lambda batch, count: 3)
    found, grown = splat_and_gradients(ops.splat, inputs, view)
    assert torch.equal(found.rgb, expected.rgb)
    assert all(torch.equal(a, b) for a, b in zip(gradients, grown, strict=True))
    (limit,) = frames._limits.values()
    assert limit > 40


def test_under_capture_nothing_is_read_and_images_that_do_not_fit_are_nan(
    device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot_wait(frame: CudaFrame) -> int:
        raise AssertionError("a captured render was synchronized")

    monkeypatch.setattr(frames, "is_capturing", lambda like: True)
    monkeypatch.setattr(CudaFrame, "intersections", cannot_wait)
    inputs, view = there(scene(1, 40), device), there_camera(device)
    fits, gradients = splat_and_gradients(ops.splat, inputs, view)
    assert fits.rgb.isfinite().all() and all(gradient.isfinite().all() for gradient in gradients)
    monkeypatch.setattr(frames, "_limits", {})
    monkeypatch.setattr(frames, "initial_max_intersections", lambda batch, count: 3)
    lost, gradients = splat_and_gradients(ops.splat, inputs, view)
    assert lost.rgb.isnan().all() and all(gradient.isnan().all() for gradient in gradients)


def test_more_tile_intersections_than_the_limit_are_an_error() -> None:
    with pytest.raises(
        ValueError, match=r"more than 33554432 tile intersections in one image; use fewer or smaller Gaussians"
    ):
        frames._larger_limit(1, frames.INTERSECTIONS_MAX + 1)
    assert frames._larger_limit(2, frames.INTERSECTIONS_MAX + 1) > frames.INTERSECTIONS_MAX


def test_buffers_that_are_too_small_give_nan_and_report_the_number_of_tile_intersections(
    device: torch.device,
) -> None:
    inputs, view = there(scene(2, 40), device), there_camera(device, 2)
    buffers = ops.splat_buffers(2, 40, 49, 37, device=device, max_intersections=5, with_weights=True)
    ops.splat_into(buffers, *inputs, view)
    for name in (*IMAGES, "weights"):
        assert getattr(buffers, name).isnan().all(), name
    intersections = buffers.intersections()
    assert intersections > 80
    larger = ops.splat_buffers(2, 40, 49, 37, device=device, max_intersections=intersections, with_weights=True)
    ops.splat_into(larger, *inputs, view)
    assert torch.equal(larger.rgb, ops.splat(*inputs, view).rgb)


def test_buffers_that_were_too_small_for_one_image_render_the_next(device: torch.device) -> None:
    many, view = there(scene(1, 40), device), there_camera(device)
    few = tuple(value.clone() for value in many)
    few[3][:, 2:] = 0
    buffers = ops.splat_buffers(1, 40, 49, 37, device=device, max_intersections=40)
    ops.splat_into(buffers, *many, view)
    assert buffers.rgb.isnan().all()
    ops.splat_into(buffers, *few, view)
    assert torch.equal(buffers.rgb, ops.splat(*few, view).rgb)


@pytest.mark.parametrize("limited", ["workspace", "partials"])
def test_gradients_of_images_that_did_not_fit_are_nan(device: torch.device, limited: str) -> None:
    inputs, view = there(scene(1, 40), device), there_camera(device)
    call = SplatCall(view.K, view.world_to_cam, 49, 37, 0.01, 0.3, 2)
    limit = 5 if limited == "workspace" else 400
    frame = CudaFrame(call, new_workspace(inputs[0], 1, 40, 49, 37, limit), limit)
    images = SplatImages.empty(1, 40, 49, 37, depth=True, weights=False, like=inputs[0])
    frame.render(inputs, images)
    frame._intersections = 5
    out = tuple(torch.zeros_like(value) for value in inputs)
    frame.backward(inputs, images, (torch.ones_like(images.rgb), None, None), out, None)
    assert all(gradient.isnan().all() for gradient in out)


@pytest.mark.parametrize("options", [{}, {"antialias": True, "cutoff": False, "near": 0.9, "dilation": 0.1}], ids=str)
def test_splat_into_renders_what_splat_renders(device: torch.device, options: dict[str, object]) -> None:
    inputs, view = there(scene(2, 50), device), there_camera(device, 2)
    buffers = ops.splat_buffers(2, 50, 49, 37, device=device, with_weights=True)
    prepared = ops.splat_into(buffers, *inputs, view, **options)  # type: ignore[arg-type]
    expected = ops.splat(*inputs, view, with_weights=True, **options)  # type: ignore[arg-type]
    for name in (*IMAGES, "weights"):
        assert torch.equal(getattr(buffers, name), getattr(expected, name)), name
    assert torch.equal(ops.splat_features(prepared, inputs[4]), expected.rgb)


def test_previous_contents_of_a_workspace_do_not_matter(device: torch.device) -> None:
    inputs, view = there(scene(2, 50), device), there_camera(device, 2)
    buffers = ops.splat_buffers(2, 50, 49, 37, device=device, with_weights=True)
    images = []
    for leftovers in (0, 0x7F, 0xFF):
        assert buffers.workspace is not None
        buffers.workspace.fill_(leftovers)
        ops.splat_into(buffers, *inputs, view)
        images.append((buffers.rgb.clone(), buffers.alpha.clone(), buffers.weights.clone()))
    for other in images[1:]:
        assert all(torch.equal(a, b) for a, b in zip(images[0], other, strict=True))


def test_splat_into_omits_outputs_without_buffers(device: torch.device) -> None:
    inputs, view = there(scene(1, 30), device), there_camera(device)
    buffers = ops.splat_buffers(1, 30, 49, 37, device=device, with_depth=False)
    ops.splat_into(buffers, *inputs, view)
    assert buffers.depth is None and buffers.weights is None
    assert torch.equal(buffers.rgb, ops.splat(*inputs, view).rgb)


def test_splat_into_rejects_inputs_it_would_have_to_copy(device: torch.device) -> None:
    inputs, view = there(scene(1, 30), device), there_camera(device)
    buffers = ops.splat_buffers(1, 30, 49, 37, device=device)
    strided = inputs[0].transpose(1, 2).contiguous().transpose(1, 2)
    with pytest.raises(ValueError, match=r"means: expected contiguous torch.float32 on .*, got strided torch.float32"):
        ops.splat_into(buffers, strided, *inputs[1:], view)


def test_buffers_of_another_shape_are_rejected(device: torch.device) -> None:
    inputs, view = there(scene(1, 30), device), there_camera(device)
    with pytest.raises(ValueError, match=r"buffers.count: expected N=30 \(from means\), got 31"):
        ops.splat_into(ops.splat_buffers(1, 31, 49, 37, device=device), *inputs, view)
    with pytest.raises(ValueError, match=r"buffers.rgb: expected \[1,37,49,3\], got \[1,37,48,3\]"):
        ops.splat_into(ops.splat_buffers(1, 30, 48, 37, device=device), *inputs, view)


def test_native_calls_reject_a_workspace_that_is_too_small_for_its_capacity(device: torch.device) -> None:
    inputs, view = there(scene(1, 30), device), there_camera(device)
    buffers = ops.splat_buffers(1, 30, 49, 37, device=device, max_intersections=100)
    assert buffers.workspace is not None
    with pytest.raises(ValueError, match="native kernel: the workspace is too small"):
        ops.splat_into(replace(buffers, workspace=buffers.workspace[:-256]), *inputs, view)
    with pytest.raises(ValueError, match="native kernel: the workspace must be aligned to 16 bytes"):
        longer = torch.cat([buffers.workspace, buffers.workspace[:8]])
        ops.splat_into(replace(buffers, workspace=longer[8:]), *inputs, view)


@pytest.mark.parametrize(("name", "value"), [("batch", 0), ("count", -1), ("width", 0), ("max_intersections", 0)])
def test_buffers_of_invalid_size_are_rejected(name: str, value: int) -> None:
    sizes = {"batch": 1, "count": 4, "width": 8, "height": 8, name: value}
    with pytest.raises(ValueError, match=f"{name}: expected . or more, got {value}"):
        ops.splat_buffers(**sizes)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="a CUDA graph needs a CUDA device")
def test_a_cuda_graph_renders_the_inputs_at_replay() -> None:
    device = torch.device("cuda")
    inputs, later, view = there(scene(1, 60), device), there(scene(1, 60, seed=9), device), there_camera(device)
    buffers = ops.splat_buffers(1, 60, 49, 37, device=device, with_weights=True)
    ops.splat_into(buffers, *inputs, view)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        ops.splat_into(buffers, *inputs, view)
    for value, new in zip(inputs, later, strict=True):
        value.copy_(new)
    graph.replay()
    expected = ops.splat(*later, view, with_weights=True)
    assert torch.equal(buffers.rgb, expected.rgb)
    assert torch.equal(buffers.weights, expected.weights)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="a CUDA graph needs a CUDA device")
def test_a_cuda_graph_captures_a_render_with_its_gradients() -> None:
    device = torch.device("cuda")
    view = there_camera(device)
    leaves = tuple(value.to(device).requires_grad_() for value in scene(1, 60))

    def step() -> tuple[Tensor, ...]:
        out = ops.splat(*leaves, view)
        return torch.autograd.grad(out.rgb.square().sum() + out.alpha.sum(), leaves)

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            expected = step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step()
    graph.replay()
    assert all(torch.equal(a, b) for a, b in zip(captured, expected, strict=True))
