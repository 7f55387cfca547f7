"""The window on a device: every kind of image as on the CPU, with few copies and waits, on the pretended GPU."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from avatar.data.capture_folder import Capture
from avatar.model.avatar import Avatar
from avatar.model.torso import MeasuredTorso
from avatar.rendering.frame_graph import WARM_UP, DeviceImage
from tests.support.pretended import GPU, HOST, Device
from tests.system.emulator.test_video import avatar, small
from viewer.render.renderer import Renderer
from viewer.render.view_settings import ViewKind, ViewSettings
from viewer.session.session import Session

__all__ = ["avatar", "small"]

SIZE, ROW = 48, 5
#: A frame waits for its image and for the number of tile intersections; its pose, camera and background are sent.
WAITS, UPLOADS = 2, 12


def close(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two images differ by a level at most in all but a thousandth of their values."""
    return bool(np.quantile(np.abs(one.astype(int) - other), 0.999) <= 1)


@pytest.mark.parametrize("kind", ["rgb", "alpha", "depth", "mesh", "binding"])
def test_a_device_renders_the_windows_images(gpu: Device, avatar: Avatar, small: Capture, kind: ViewKind) -> None:
    on_cpu, on_gpu = Renderer(avatar), Renderer(avatar, device=GPU)
    assert on_gpu.avatar is avatar and avatar.offsets.device == HOST
    params, camera = small.params([ROW]), on_cpu.front(SIZE, SIZE)
    view = ViewSettings(kind=kind, count=200, mesh_overlay=0.3 if kind == "rgb" else 0.0)
    torso = MeasuredTorso(torch.full((1, 3), 0.01), 1.0)
    assert close(on_gpu.render(params, camera, view), on_cpu.render(params, camera, view))
    assert close(on_gpu.render(params, camera, view, torso), on_cpu.render(params, camera, view, torso))


def test_a_frame_of_the_window_waits_and_copies_no_more_than_its_budget(
    gpu: Device, avatar: Avatar, small: Capture
) -> None:
    renderer, params = Renderer(avatar, device=GPU), small.params(range(4))
    camera = renderer.front(SIZE, SIZE)
    renderer.render(params[0], camera, ViewSettings())
    gpu.clear_counts()
    renderer.render(params[1], camera, ViewSettings())
    assert gpu.waits.total() <= WAITS, gpu.waits
    assert gpu.uploads.total() <= UPLOADS, gpu.uploads


def test_an_image_that_the_window_takes_from_the_device_stays_there_until_somebody_needs_it(
    gpu: Device, avatar: Avatar, small: Capture
) -> None:
    copied, kept = Renderer(avatar, device=GPU), Renderer(avatar, device=GPU)
    camera = copied.front(SIZE, SIZE)
    for frame in range(WARM_UP + 3):
        params, view = small.params([frame]), ViewSettings()
        expected = copied.render(params, camera, view)
        gpu.clear_counts()
        image = kept.render_kept(params, camera, view)
        if frame >= WARM_UP:
            assert isinstance(image, DeviceImage) and image.pixels.device == GPU
            if frame > WARM_UP:
                assert +gpu.waits == {"synchronize": 1} and not +gpu.allocations
            image = image.host()
        assert isinstance(image, np.ndarray) and np.array_equal(image, expected), frame
    first = kept.render_kept(small.params([0]), camera, view)
    assert isinstance(first, DeviceImage)
    kept.render_kept(small.params([1]), camera, view)
    with pytest.raises(RuntimeError, match="overwritten"):
        first.host()


def test_an_outlet_and_a_saved_image_get_the_image_of_a_window_that_takes_it_from_the_device(
    gpu: Device, avatar: Avatar
) -> None:
    session, written = Session(avatar, "me.avatar", device=GPU), []
    session.state = replace(session.state, camera=replace(session.state.camera, width=SIZE, height=SIZE))
    viewport = session.viewport
    viewport.keeps_images = True
    for _ in range(WARM_UP + 1):
        viewport.invalidate()
        assert session.advance()
    assert viewport.kept_image is not None
    image = viewport.image
    assert image is not None and viewport.kept_image is None
    outlet = SimpleNamespace(name="file", write=lambda frame: written.append(frame.image), hold=lambda *_: None)
    outlet.close = lambda: ""
    session.outlets._open["record"] = outlet  # type: ignore[assignment]
    viewport.invalidate()
    assert session.advance() and viewport.kept_image is None
    assert np.array_equal(written[0], image)
    session.close()


def test_a_session_renders_on_a_device_and_drives_on_the_cpu(gpu: Device, avatar: Avatar) -> None:
    sessions = [Session(avatar, "me.avatar", device=device) for device in (None, GPU)]
    images = []
    for session in sessions:
        session.state = replace(session.state, camera=replace(session.state.camera, width=SIZE, height=SIZE))
        assert session.advance() and not session.advance()
        session.show_avatar(avatar, "again.avatar")
        assert session.advance()
        assert session.viewport.image is not None
        images.append(session.viewport.image.copy())
        session.close()
    assert close(*images)
    assert avatar.offsets.device == HOST
