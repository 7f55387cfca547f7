"""Images that come from a GPU to the window without the host: the same pixels, or the copy through the host."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip(
    "imgui_bundle", reason="imgui-bundle cannot be loaded: apt install libgl1 libx11-6", exc_type=ImportError
)

import moderngl

from avatar.cli import doctor
from avatar.ops import devices, shared_buffer
from avatar.rendering.frame_graph import DeviceImage
from tests.support.cudart_stand_in import CudaRuntime
from tests.support.pretended import GPU, Device
from viewer.gui import shared_check
from viewer.gui.shared_check import WHAT, may_take
from viewer.gui.texture import Texture
from viewer.gui.window import show_image
from viewer.session.viewport import Viewport

STATE = {"check": "1", "name": "A GPU", "driver": "12"}


@pytest.fixture(scope="module")
def opengl() -> Iterator[Any]:
    """A context of OpenGL in software, current in this thread."""
    try:
        context = moderngl.create_context(standalone=True, backend="egl")
        CudaRuntime()
    except Exception as error:
        pytest.skip(f"no OpenGL through EGL: {error}")
    yield context
    context.release()


@pytest.fixture
def cuda(gpu: Device, opengl: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CudaRuntime:
    """The stand-in; checks run in this process."""
    found = CudaRuntime()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(shared_buffer, "runtime", lambda: found)
    monkeypatch.setattr(shared_buffer, "describe", lambda *_: dict(STATE))
    monkeypatch.setattr(shared_buffer, "_stream", lambda _: 0)
    monkeypatch.setattr(shared_check, "_hidden_context", nullcontext)

    def run_check_of(what: str, device: torch.device, module: str, *arguments: str) -> str:
        assert (what, module) == (WHAT, "viewer.gui.shared_check")
        return shared_check.main(arguments)

    monkeypatch.setattr(shared_check, "run_check_of", run_check_of)
    return found


def image_of(seed: int, height: int = 23, width: int = 37) -> torch.Tensor:
    made = torch.Generator().manual_seed(seed)
    return torch.randint(256, (height, width, 3), generator=made, dtype=torch.uint8)


def test_the_pixels_are_those_of_the_copy_and_no_byte_goes_through_the_host(gpu: Device, cuda: CudaRuntime) -> None:
    texture = Texture()
    assert may_take(texture, GPU)
    images = [image_of(1), image_of(2), image_of(3, 16, 40), image_of(4)]
    on_gpu = [image.to(GPU) for image in images]
    gpu.clear_counts()
    for image, kept in zip(images, on_gpu, strict=True):
        texture.take(kept, GPU)
        assert np.array_equal(texture.pixels(), image.numpy())
    assert not gpu.waits and not gpu.downloads
    texture.upload(image_of(5).numpy())
    assert np.array_equal(texture.pixels(), image_of(5).numpy())
    texture.release_shared()
    assert not cuda.registered and not cuda.mapped


FAULTS = {
    "another GPU": "OpenGL draws on another GPU than cuda:0",
    "register": "cudaGraphicsGLRegisterBuffer says cudaErrorInvalidGraphicsContext",
    "map": "cudaGraphicsMapResources says cudaErrorUnknown",
    "no pointer": "CUDA maps 0 bytes of a buffer of 2553",
    "short": "CUDA maps 1276 bytes of a buffer of 2553",
    "copy": "cudaMemcpyAsync says cudaErrorInvalidValue",
    "unmap": "cudaGraphicsUnmapResources says cudaErrorInvalidResourceHandle",
    "unmap forgotten": "image 1, 37 x 23 pixels, differs in",
    "wrong pointer": "image 1, 37 x 23 pixels, differs in",
    "flipped rows": "image 1, 37 x 23 pixels, differs in",
    "shifted": "image 1, 37 x 23 pixels, differs in",
    "stale": "image 1, 37 x 23 pixels, differs in",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_sentence_and_the_copy_path(
    cuda: CudaRuntime, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    cuda.fault, cuda.rows = fault, 23
    texture = Texture()
    with caplog.at_level(logging.WARNING):
        assert not may_take(texture, GPU)
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith(f"{WHAT} fails its self-check on cuda:0: {FAULTS[fault]}")
    assert message.endswith("; images go to the window through the host")
    assert cuda._last == 0  # or PyTorch would report it


def test_the_result_is_kept_for_this_opengl_and_doctor_says_it(
    cuda: CudaRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    texture = Texture()
    assert shared_buffer.state_of(GPU).startswith("through the host until a window with --device cuda has checked")
    assert may_take(texture, GPU)
    checked = cuda.calls.total()
    assert may_take(texture, GPU) and cuda.calls.total() == checked
    monkeypatch.setattr(devices, "gpu", lambda _: GPU)
    assert doctor.examine()["cuda_window"] == f"memory shared with OpenGL ({texture.drawn_by})"
    monkeypatch.setitem(STATE, "driver", "13")
    cuda.fault = "register"
    assert not may_take(texture, GPU) and doctor.examine()["cuda_window"].startswith(f"through the host: {WHAT} fails")


def test_another_opengl_than_the_windows_is_not_taken_for_it(cuda: CudaRuntime) -> None:
    assert shared_check.main(["cuda:0", "Another"]).startswith(f"{WHAT}: its self-check on cuda:0 got another OpenGL")


@pytest.mark.parametrize("fault", ["", "map", "another GPU"])
def test_the_window_shows_the_same_image_with_and_without_a_failure(
    cuda: CudaRuntime, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    viewport, texture = Viewport.__new__(Viewport), Texture()
    viewport.keeps_images = True
    cuda.fault = fault
    viewport._image = DeviceImage(image_of(7).to(GPU), lambda: True)
    with caplog.at_level(logging.WARNING):
        show_image(viewport, texture)
    assert np.array_equal(texture.pixels(), image_of(7).numpy())
    assert viewport.keeps_images == (not fault) and (viewport.kept_image is None) == bool(fault)
    assert len(caplog.records) == bool(fault)


@pytest.mark.skipif(torch.version.cuda is not None, reason="this torch has the CUDA runtime")
def test_a_torch_without_the_cuda_runtime_is_one_sentence() -> None:
    with pytest.raises(shared_buffer.SharingError, match=r"the CUDA runtime of torch .* is not found"):
        shared_buffer.runtime()


def test_an_image_that_was_overwritten_is_not_given_out() -> None:
    with pytest.raises(RuntimeError, match="overwritten by the next frame"):
        DeviceImage(image_of(1), lambda: False).host()
