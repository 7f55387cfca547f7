"""Frames of an avatar as one graph: the bits of the launches one by one, and no wait but for the image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from avatar import ops
from avatar.data.capture_folder import Capture
from avatar.model.avatar import Avatar
from avatar.model.parts.light.lights import light_named
from avatar.model.parts.light.relight import Relighting
from avatar.rendering import frame_graph
from avatar.rendering.animator import Animator
from avatar.rendering.frame_graph import WARM_UP, FrameGraph
from avatar.rendering.settings import RenderSettings
from avatar.types import Camera, Gaussians
from avatar.video.offline_render import render_frames
from tests.support.pretended import GPU, Device
from tests.support.pretended_graph import Graph
from tests.system.emulator.test_video import avatar, column_of, small
from viewer.render.renderer import Renderer
from viewer.render.view_settings import ViewSettings

__all__ = ["avatar", "small"]

SIZE = 48
VIEW = ViewSettings()


@pytest.fixture(autouse=True)
def problems() -> Iterator[None]:
    """Problems are logged once a process: here once a test."""
    frame_graph._reported.clear()
    yield


@pytest.fixture
def renderer(gpu: Device, avatar: Avatar) -> Renderer:
    return Renderer(avatar, device=GPU)


def shows(renderer: Renderer, small: Capture, frame: int, view: ViewSettings = VIEW, size: int = SIZE) -> np.ndarray:
    """A copy of the image of a frame."""
    return renderer.render(small.params([frame]), renderer.front(size, size), view).copy()


def graph_of(renderer: Renderer) -> FrameGraph:
    graph = renderer._renderers["rgb"][1].graph
    assert graph is not None
    return graph


def one_by_one(avatar: Avatar, small: Capture, frame: int, view: ViewSettings = VIEW, size: int = SIZE) -> np.ndarray:
    """The image of a frame as a renderer of its own gives it at first, without a graph."""
    return shows(Renderer(avatar, device=GPU), small, frame, view, size)


def test_a_graph_gives_the_bits_of_its_launches(renderer: Renderer, avatar: Avatar, small: Capture) -> None:
    images = [shows(renderer, small, frame) for frame in range(WARM_UP + 3)]
    captured = graph_of(renderer)._captured
    assert captured is not None and not graph_of(renderer).problem
    for frame, image in enumerate(images):
        assert np.array_equal(image, one_by_one(avatar, small, frame)), frame
    assert not np.array_equal(images[-1], images[-2])


def test_a_captured_frame_waits_for_its_image_alone_and_allocates_nothing(
    gpu: Device, renderer: Renderer, small: Capture
) -> None:
    for frame in range(WARM_UP + 1):
        shows(renderer, small, frame)
    gpu.clear_counts()
    shows(renderer, small, 5)
    assert +gpu.waits == {"synchronize": 1}
    assert +gpu.uploads == +gpu.downloads == {"aten::copy_": 1}
    assert not +gpu.allocations


def test_an_offline_frame_of_a_graph_equals_the_launches_and_allocates_nothing(
    gpu: Device, avatar: Avatar, small: Capture
) -> None:
    column = column_of(avatar, small, 32, 32).to(GPU)
    settings = RenderSettings(32, 32, passes=("rgb", "alpha", "depth"))
    first = list(render_frames([column], settings, [0, 1]))
    frames = render_frames([column], settings, [0, 1] * 4)
    found = [next(frames) for _ in range(5)]
    gpu.clear_counts()
    found.append(next(frames))
    assert not +gpu.allocations and not gpu.uploads and +gpu.waits == {"synchronize": 1}
    for frame, images in enumerate([*found, *frames]):
        assert all(np.array_equal(images[name], first[frame % 2][name]) for name in images)


def test_a_frame_with_too_many_intersections_is_rendered_again(
    renderer: Renderer, avatar: Avatar, small: Capture
) -> None:
    near = renderer.front(SIZE, SIZE)
    far = replace(near, K=near.K * torch.tensor([0.3, 0.3, 1.0]))
    renderer.render(small.params([0]), far, VIEW)
    animator = renderer._renderers["rgb"][0]
    enough = animator.buffers.intersections()
    few = animator.buffers = ops.splat_buffers(
        1, len(avatar), SIZE, SIZE, device=GPU, max_intersections=enough, with_depth=False
    )
    for _ in range(WARM_UP + 2):
        renderer.render(small.params([0]), far, VIEW)
    assert animator.buffers is few and graph_of(renderer)._captured is not None
    assert np.array_equal(shows(renderer, small, 5), one_by_one(avatar, small, 5))
    assert animator.buffers is not few and animator.buffers.max_intersections > enough
    images = [shows(renderer, small, frame) for frame in (5, 6, 5, 6, 5)]
    assert graph_of(renderer)._captured is not None and np.array_equal(images[0], images[4])


CHANGES: dict[str, tuple[ViewSettings, int]] = {
    "size": (VIEW, 40),
    "background": (ViewSettings(background=(0.0, 0.2, 0.4)), SIZE),
    "light": (ViewSettings(relighting=Relighting(light_named("window-left"))), SIZE),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_captured_anew(renderer: Renderer, avatar: Avatar, small: Capture, name: str) -> None:
    view, size = CHANGES[name]
    for frame in range(WARM_UP + 1):
        shows(renderer, small, frame)
    images = [shows(renderer, small, frame, view, size) for frame in range(3, WARM_UP + 5)]
    assert graph_of(renderer)._captured is not None
    for frame, image in enumerate(images[-2:], start=WARM_UP + 3):
        assert np.array_equal(image, one_by_one(avatar, small, frame, view, size))


def test_a_changed_parameter_is_seen_and_a_replaced_one_captured_anew(
    renderer: Renderer, avatar: Avatar, small: Capture
) -> None:
    for frame in range(WARM_UP + 1):
        shows(renderer, small, frame)
    captured = graph_of(renderer)._captured
    with torch.no_grad():
        renderer._copy.colors.add_(0.5)
    changed = shows(renderer, small, 4)
    assert graph_of(renderer)._captured is captured
    assert not np.array_equal(changed, one_by_one(avatar, small, 4))
    renderer._copy.colors = torch.nn.Parameter(renderer._copy.colors.detach() - 0.5)
    assert not np.array_equal(shows(renderer, small, 4), changed)
    assert graph_of(renderer)._captured is None


def _waiting(self: Animator, gaussians: Gaussians, camera: Camera) -> None:
    assert gaussians.means.isfinite().all()
    RASTERIZE(self, gaussians, camera)


RASTERIZE = Animator.rasterize
FAULTS: dict[str, tuple[type, str, Any, str]] = {
    "a launch left out": (Graph, "replay", lambda self: None, "it gave other bits than the same launches one by one"),
    "a wait": (Animator, "rasterize", _waiting, "operation not permitted when stream is capturing"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_ends_in_the_launches_one_by_one_with_one_sentence(
    renderer: Renderer,
    avatar: Avatar,
    small: Capture,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    kind, method, fault, reason = FAULTS[name]
    monkeypatch.setattr(kind, method, fault)
    images = [shows(renderer, small, frame) for frame in range(WARM_UP + 3)]
    monkeypatch.undo()
    assert [record.getMessage() for record in caplog.records] == [graph_of(renderer).problem]
    assert graph_of(renderer).problem.startswith(
        "frames on cuda:0 are rendered launch by launch, which is slower, because a CUDA graph of them failed: "
        + reason
    )
    for frame, image in enumerate(images):
        assert np.array_equal(image, one_by_one(avatar, small, frame))


def test_frames_of_the_cpu_have_no_graph(avatar: Avatar, small: Capture) -> None:
    renderer, params = Renderer(avatar), small.params([2])
    shows(renderer, small, 0)
    frames = renderer._renderers["rgb"][1]
    assert frames.graph is None
    poses, camera = renderer._animator.poses(params), renderer.front(SIZE, SIZE)
    expected = frames.start(renderer._animator.frame(poses, 0), camera)().images["rgb"].copy()
    assert np.array_equal(frames.start_pose(poses, 0, camera)().images["rgb"], expected)
