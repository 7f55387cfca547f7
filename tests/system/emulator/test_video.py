"""Rendering on a device: every pass as on the CPU, and nothing that mixes devices, on the pretended GPU."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from avatar.data.capture_folder import Capture
from avatar.head import load_head
from avatar.model.avatar import Avatar
from avatar.rendering.animator import render_track
from avatar.rendering.background import parse_background
from avatar.rendering.passes import PASSES
from avatar.rendering.settings import RenderSettings
from avatar.training.config import TrainConfig
from avatar.training.fit import fit
from avatar.video import Pass
from avatar.video.offline_render import RenderColumn, render_frames, render_threads
from tests.support.pretended import GPU, Device
from tests.support.tiny import tiny_capture

ROWS = [0, 5]
#: Largest difference of a value: levels for bytes, meters for depth, components of unit normals.
TOLERANCE = {"rgb": 1, "alpha": 1, "mesh": 1, "depth": 1e-4, "normals": 1e-3}
#: How often a frame of these passes waits for the device, and how many tensors it sends there. It waits once for all
#: images, and once for the number of tile intersections; faces of the mesh are lit on the CPU.
BUDGETS: dict[tuple[Pass, ...], tuple[int, int]] = {("rgb",): (2, 3), ("rgb", "alpha", "depth"): (2, 3), PASSES: (8, 7)}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    return tiny_capture(tmp_path_factory.mktemp("small") / "capture", frames=12, size=32, test_every=4)


@pytest.fixture(scope="module")
def avatar(small: Capture) -> Avatar:
    """An avatar with a mesh layer."""
    return fit(small, load_head(), TrainConfig(size=32, steps=4, gaussians=300, refine_at=1.0)).avatar


def column_of(avatar: Avatar, capture: Capture, width: int, height: int) -> RenderColumn:
    camera = capture.camera(width, ROWS).resized(width, height)
    return RenderColumn(copy.deepcopy(avatar), capture.params(ROWS), camera)


@pytest.mark.parametrize(("supersample", "background"), [(1, "white"), (2, "transparent")])
def test_a_device_renders_what_the_cpu_does(
    gpu: Device, avatar: Avatar, small: Capture, supersample: int, background: str
) -> None:
    settings = RenderSettings(48, 40, supersample, parse_background(background, 48, 40), PASSES, "native")
    on_gpu = column_of(avatar, small, 48, 40).to(GPU)
    assert on_gpu.avatar.offsets.device == on_gpu.params.expression.device == on_gpu.camera.K.device == GPU
    assert render_threads([on_gpu], settings) == 1
    expected = list(render_frames([column_of(avatar, small, 48, 40)], settings))
    gpu.clear_counts()
    found = list(render_frames([on_gpu], settings))
    assert gpu.waits.total() > 0 and len(found) == len(expected) == len(ROWS)
    for one, other in zip(found, expected, strict=True):
        for name, tolerance in TOLERANCE.items():
            difference = np.abs(one[name].astype(np.float64) - other[name])
            assert np.quantile(difference, 0.999) <= tolerance, name


def test_a_frame_is_read_while_the_device_renders_the_next_one(
    gpu: Device, avatar: Avatar, small: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []
    camera_at = RenderColumn.camera_at
    monkeypatch.setattr(RenderColumn, "camera_at", lambda self, frame: started.append(frame) or camera_at(self, frame))
    frames = render_frames([column_of(avatar, small, 32, 32).to(GPU)], RenderSettings(32, 32))
    next(frames)
    assert started == [0, 1]
    gpu.clear_counts()
    assert len(list(frames)) == 1 and started == [0, 1]
    assert dict(gpu.waits) == {"synchronize": 1}


@pytest.mark.parametrize("passes", BUDGETS)
def test_a_frame_of_a_motion_waits_and_copies_no_more_than_its_budget(
    gpu: Device, avatar: Avatar, small: Capture, passes: tuple[Pass, ...]
) -> None:
    column, settings = column_of(avatar, small, 32, 32).to(GPU), RenderSettings(32, 32, passes=passes)
    counts = []
    for frames in ([0], [0], [0, 1]):
        gpu.clear_counts()
        list(render_frames([column], settings, frames))
        counts.append((gpu.waits.total(), gpu.uploads.total()))
    _, (waits, uploads), (more_waits, more_uploads) = counts
    most_waits, most_uploads = BUDGETS[passes]
    assert more_waits - waits <= most_waits
    assert more_uploads - uploads <= most_uploads


def test_no_frames_of_a_device_are_no_images(gpu: Device, avatar: Avatar, small: Capture) -> None:
    assert list(render_frames([column_of(avatar, small, 32, 32).to(GPU)], RenderSettings(32, 32), [])) == []


def test_a_track_renders_on_the_device_of_the_avatar(gpu: Device, avatar: Avatar, small: Capture) -> None:
    camera, params = small.camera(32, ROWS), small.params(ROWS)
    found = list(render_track(copy.deepcopy(avatar).to(GPU), params, camera))
    for one, other in zip(found, render_track(avatar, params, camera), strict=True):
        assert np.abs(one.astype(int) - other).max() <= 1
