"""Scenarios of the window's tests: `python -m tests.support.window_scenarios AVATAR MOTION OTHER DAMAGED OUT`.

One window runs them all, since opening it takes longer than any of them; tests/system/window/test_window.py checks the
results.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import cv2
import glfw
import numpy as np
import torch
from imgui_bundle import imgui
from imgui_bundle.glfw_utils import glfw_window_hello_imgui

from avatar import cli
from avatar.model.avatar_file import load_avatar
from avatar.performance.mixing.presets import PRESETS
from tests.support.edit_scenarios import layers, measure, paint
from tests.support.fake_live import LIVE, Smile
from tests.support.reading_scenarios import affect, describe, reading, units
from tests.support.window_driver import Scenario, WindowDriver, run_scenarios
from viewer.render.orbit import Orbit
from viewer.render.view_settings import ViewKind
from viewer.session.edits import Change, SelectSource
from viewer.session.pose_sources import SliderPoseSource
from viewer.session.session import Session
from viewer.session.state import TIMELINE, Sliders

Result = Mapping[str, Any]


@dataclass(frozen=True)
class Files:
    """Files that scenarios open."""

    avatar: Path
    motion: Path
    other: Path  # another avatar
    damaged: Path  # not a valid avatar


def difference(first: np.ndarray, second: np.ndarray) -> float:
    """Mean absolute difference of two images of the same size, 0..255."""
    return float(np.abs(first.astype(np.float32) - second).mean())


def load(window: WindowDriver) -> Result:
    """The image on the screen, unscaled and scaled."""
    scaled = window.shown()
    window.screen("load")
    resized = cv2.resize(window.image(), scaled.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    width, height = window.session.viewport.available
    window.change("camera", width=width, height=height)
    shown, image = window.shown(), window.image()
    renderer = window.session.viewport.renderer
    params = SliderPoseSource(window.session.avatar).params(Sliders())
    rendered = renderer.render(params, renderer.front(width, height), window.state.view)
    return {
        "spread": float(image.std()),
        "scaled": difference(scaled, resized),
        "exact": int(np.abs(shown.astype(int) - image).max()),
        "rendered": int(np.abs(rendered.astype(int) - image).max()),
    }


def yaw(window: WindowDriver) -> Result:
    """The camera's yaw slider."""
    before = window.shown()
    window.set("Camera", "yaw", 40.0)
    return {"yaw": window.state.camera.orbit.yaw, "change": difference(before, window.shown())}


def field_of_view(window: WindowDriver) -> Result:
    """The field of view, at a constant size of the head."""
    before = window.image()
    window.set("Camera", "field of view", 60.0)
    window.until(lambda: abs(window.state.status.field_of_view - 60) < 1, 3)
    after = window.image()
    covered = [float((image.min(-1) < 250).mean()) for image in (before, after)]
    return {"degrees": window.state.status.field_of_view, "change": difference(before, after), "covered": covered}


def resolution(window: WindowDriver) -> Result:
    """The list of image heights."""
    window.choose("Camera", "height", "384")
    return {"height": window.image().shape[0]}


def background(window: WindowDriver) -> Result:
    """The background color."""
    window.set("View", "background/##X", 0)
    return {"color": window.state.view.background, "corner": window.shown()[2, 2].tolist()}


def kinds(window: WindowDriver) -> Result:
    """Every kind of image."""
    images = {}
    for kind in (*get_args(ViewKind)[1:], "rgb"):
        window.click("View", kind)
        images[kind] = window.shown()
    changes = {kind: difference(images[kind], images["rgb"]) for kind in images if kind != "rgb"}
    return {"changes": changes, "kind": window.state.view.kind}


def splats(window: WindowDriver) -> Result:
    """The size of splats, and reset."""
    before = window.image()
    window.set("View", "size", 0.3)
    small = window.image()
    window.click("View", "reset")
    return {"small": difference(before, small), "reset": difference(before, window.image())}


def drag(window: WindowDriver) -> Result:
    """Dragging moves the camera."""
    before = window.shown()
    window.context.mouse_move("//Avatar/image")
    window.context.mouse_drag_with_delta(imgui.ImVec2(60, 30))
    orbit = window.state.camera.orbit
    _, top, _, bottom = window.bounds("//Avatar/image")
    return {"orbit": asdict(orbit), "high": bottom - top, "change": difference(before, window.shown())}


def pan(window: WindowDriver) -> Result:
    """The right button pans."""
    before = window.shown()
    window.context.mouse_move("//Avatar/image")
    window.context.mouse_drag_with_delta(imgui.ImVec2(50, 0), imgui.MouseButton_.right)
    after = window.shown()
    window.screen("pan")
    center = before[:, 120:-120]
    shifts = range(-120, 120)
    differences = [difference(center, after[:, 120 + shift : after.shape[1] - 120 + shift]) for shift in shifts]
    return {"right": shifts[int(np.argmin(differences))], "difference": min(differences)}


def wheel(window: WindowDriver) -> Result:
    """The wheel changes the distance, a double click resets it."""
    before = window.shown()
    window.context.mouse_move("//Avatar/image")
    window.context.mouse_wheel_y(3.0)
    near = window.shown()
    orbit = window.state.camera.orbit
    window.context.item_double_click("//Avatar/image")
    return {
        "distance": orbit.distance,
        "change": difference(before, near),
        "back": asdict(window.state.camera.orbit),
        "restored": difference(before, window.shown()),
    }


def home(window: WindowDriver) -> Result:
    """The key for the front view."""
    window.change("camera", orbit=Orbit(pitch=30.0))
    window.context.key_press(imgui.Key.home)
    window.rest()
    return {"pitch": window.state.camera.orbit.pitch}


def face(window: WindowDriver) -> Result:
    """A face slider with its counterpart; then a reset."""
    before = window.image()
    window.set("Face/sliders", "##mouthSmileLeft", 1.0)
    weights, after = dict(window.state.sliders.weights), window.image()
    window.screen("face")
    window.click("Face", "reset all")
    return {
        "weights": weights,
        "change": difference(before, after),
        "reset": difference(before, window.image()),
    }


def preset(window: WindowDriver) -> Result:
    """A preset."""
    before = window.image()
    chosen = next(preset for preset in PRESETS if preset.weights)
    window.click("Face", chosen.name)
    window.settle()
    return {
        "set": dict(window.state.sliders.weights) == dict(chosen.weights),
        "change": difference(before, window.image()),
    }


def own_preset(window: WindowDriver) -> Result:
    """A face that is saved by a name, shown by its button and by its key, listed, and removed."""
    rest = window.image()
    window.change("sliders", weights={"jawOpen": 0.8, "mouthSmileLeft": 0.5}, head=(15.0, 0.0, 0.0))
    posed = window.image()
    window.set("Face", "##preset name", "my grin")
    window.click("Face", "save##preset")
    saved = [preset.name for preset in window.state.presets]
    message = window.state.status.message
    found = {"saved": saved, "message": message, "change": difference(rest, posed)}
    for way in ("button", "key"):
        window.change("sliders", weights={}, head=(0.0, 0.0, 0.0))
        window.settle()
        if way == "button":
            window.click("Face", "###preset my grin")
        else:
            window.context.key_press(imgui.Key._1)
        window.rest(30)
        window.settle()
        found[way] = difference(posed, window.image())
    window.change("panels", help=True)
    window.screen("own_preset")
    window.change("panels", help=False)
    window.click("Face", "remove##preset")
    return {**found, "left": len(window.state.presets)}


def search(window: WindowDriver) -> Result:
    """The search for sliders."""
    window.set("Face", "##search", "blink")
    window.rest()
    return {
        "search": window.state.sliders.search,
        "blink": window.has("Face/sliders", "##eyeBlinkLeft"),
        "jaw": window.has("Face/sliders", "##jawOpen"),
    }


def source(window: WindowDriver) -> Result:
    """Another source, whose pose is shown after the blend."""
    before = window.image()
    session, viewport = window.session, window.session.viewport
    camera = viewport.camera(window.state.camera.orbit, before.shape[1], before.shape[0])
    smile = viewport.renderer.render(Smile(session.avatar).latest().params, camera, window.state.view).copy()
    window.click("Source", "a smile")
    shown = window.until(lambda: np.array_equal(viewport.image, smile))
    window.rest(20)  # the panel changes its height while the source starts
    window.click("Source", "calibrate (C)")
    calibrations = session.sources.live.pipeline.calibrations
    window.click("Source", "sliders")
    return {"shown": shown, "change": difference(before, smile), "calibrations": calibrations}


def missing_source(window: WindowDriver) -> Result:
    """A source that cannot start."""
    window.click("Source", "camera 7")
    window.until(lambda: window.state.status.failed)
    return {
        "source": window.state.source,
        "message": window.state.status.message,
        "red": _red(window.screen("missing")),
    }


def snapshot(window: WindowDriver) -> Result:
    """The key that saves the image."""
    window.context.key_press(imgui.Key.p)
    window.rest()
    (path,) = window.session.folder.glob("*_picture.png")
    stored = cv2.imread(str(path))[..., ::-1]
    return {"difference": difference(stored, window.image()), "message": window.state.status.message, "file": path.name}


def saved_view(window: WindowDriver) -> Result:
    """A view saved to a file and opened again."""
    window.change("camera", orbit=Orbit(yaw=-25.0))
    saved = window.image()
    window.click("Camera", "save this view")
    (path,) = window.session.folder.glob("*_view_*.json")
    window.reset()
    front = window.image()
    _drop(window, path)
    window.until(lambda: window.state.camera.orbit.yaw != 0)
    opened = window.image()
    window.click("Camera", "x##0")
    return {
        "moved": difference(front, saved),
        "opened": difference(opened, saved),
        "remaining": len(window.state.camera.saved),
    }


def frames(window: WindowDriver) -> Result:
    """The counted frames while nothing changes."""
    frames_before, counted = imgui.get_frame_count(), window.session.counters.window.count
    window.rest(8)
    return {
        "frames": imgui.get_frame_count() - frames_before,
        "counted": window.session.counters.window.count - counted,
    }


def drop_motion(window: WindowDriver, files: Files) -> Result:
    """A motion dropped on the window plays."""
    _drop(window, files.motion)
    playing = window.until(lambda: window.state.source == TIMELINE)
    start = window.state.timeline.time
    return {
        "playing": playing and window.until(lambda: window.state.timeline.time > start, 3),
        "frames": len(window.state.timeline.times),
        "name": window.state.timeline.name,
    }


def scrub(window: WindowDriver) -> Result:
    """A click in the middle of the scrub bar."""
    session = window.session
    session.apply([SelectSource(TIMELINE)])
    window.settle()
    before = window.image()
    window.click("Timeline", "##scrub")
    after, timeline = window.image(), window.state.timeline
    window.screen("scrub")
    camera = session.viewport.camera(window.state.camera.orbit, after.shape[1], after.shape[0])
    params = session.sources.active.params[timeline.frame]
    rendered = session.viewport.renderer.render(params, camera, window.state.view)
    return {
        "frame": timeline.frame,
        "playing": timeline.playing,
        "change": difference(before, after),
        "rendered": difference(rendered, after),
    }


def space(window: WindowDriver) -> Result:
    """The key that plays and pauses."""
    key = imgui.Key.space
    window.context.key_press(key)
    window.rest()
    playing = window.state.source == TIMELINE and window.state.timeline.playing
    window.context.key_press(key)
    window.rest()
    return {"playing": playing, "paused": not window.state.timeline.playing}


def drop_damaged(window: WindowDriver, files: Files) -> Result:
    """A file that cannot be read: an error message."""
    before = window.image()
    _drop(window, files.damaged)
    window.until(lambda: window.state.status.failed)
    screen = window.screen("damaged")
    message = window.state.status.message
    return {"message": message, "red": _red(screen), "difference": difference(before, window.image())}


def drop_avatar(window: WindowDriver, files: Files) -> Result:
    """Another avatar dropped on the window, then the first one again."""
    before, name = window.image(), window.state.avatar.name
    _drop(window, files.other)
    window.until(lambda: window.state.avatar.name == files.other.name)
    after, gaussians = window.image(), window.state.avatar.gaussians
    _drop(window, files.avatar)
    back = window.until(lambda: window.state.avatar.name == name)
    return {
        "gaussians": gaussians,
        "change": difference(before, after),
        "back": back and difference(before, window.image()),
    }


def _drop(window: WindowDriver, path: Path) -> None:
    """Drop a file: call the window's GLFW callback."""
    glfw_window: Any = glfw_window_hello_imgui()
    set_callback: Any = glfw._glfw.glfwSetDropCallback
    callback = set_callback(glfw_window, glfw._GLFWdropfun(0))
    set_callback(glfw_window, callback)
    callback(glfw_window, 1, (ctypes.c_char_p * 1)(os.fsencode(path)))
    window.rest()


def _red(screen: np.ndarray) -> int:
    """Pixels of the status bar in the color of errors."""
    red, green, blue = np.moveaxis(screen[-30:].astype(int), -1, 0)
    return int(((red > 200) & (green < 160) & (blue < 140)).sum())


def scenarios(files: Files) -> dict[str, Scenario]:
    """All scenarios, in order."""
    without_files = (
        load, yaw, field_of_view, resolution, background, kinds, splats, drag, pan, wheel, home, face,
        preset, own_preset, search, source, missing_source, snapshot, saved_view, frames, paint, layers, measure,
        describe, affect, units, reading,
    )  # fmt: skip
    with_files = (drop_motion, drop_damaged, drop_avatar)
    found: dict[str, Scenario] = {scenario.__name__: scenario for scenario in without_files}
    found |= {scenario.__name__: partial(scenario, files=files) for scenario in with_files}
    return found | {scenario.__name__: scenario for scenario in (scrub, space)}


def main(avatar: str, motion: str, other: str, damaged: str, folder: str) -> None:
    """Run all scenarios, then `headsplat view` for a second; results are written to `folder`."""
    torch.set_num_threads(1)
    files, out = Files(Path(avatar), Path(motion), Path(other), Path(damaged)), Path(folder)
    (out / "written").mkdir(parents=True)
    session = Session(load_avatar(avatar), files.avatar.name, LIVE, folder=out / "written", path=files.avatar)
    session.apply([Change("camera", replace(session.state.camera, height=256))])
    run_scenarios(session, scenarios(files), out)
    words = ["view", avatar, "--motion", motion, "--size", "256", "--seconds", "1", "--json", str(out / "report.json")]
    (out / "command").write_text(str(cli.main(words)))


if __name__ == "__main__":
    main(*sys.argv[1:])
