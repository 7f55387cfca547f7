"""What the window's tests do in it, one act each; `python -m tests.support.acts AVATAR MOTION OTHER DAMAGED OUT`.

One window plays them all, since loading takes longer than any of them;
tests/viewer/gui/test_window.py reads what they saw.
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
from avatar.errors import HeadsplatError
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import load_avatar
from avatar.types import HeadParams
from tests.support.stage import Act, Stage, play
from viewer.render.orbit import Orbit
from viewer.render.view_settings import Kind
from viewer.session.edits import Change
from viewer.session.expressions import PRESETS
from viewer.session.pose_sources import Pose, Puppet
from viewer.session.session import LiveChoice, Session
from viewer.session.state import TIMELINE, Sliders

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Props:
    """Files that acts open."""

    avatar: Path
    motion: Path
    other: Path  # another avatar
    damaged: Path  # an avatar that is none


class Smiling:
    """A live input that always smiles."""

    def __init__(self, avatar: Avatar) -> None:
        self.gains: dict[str, float] = {}
        self.calibrations = 0
        self._params: HeadParams = Puppet(avatar).params(Sliders(weights={"mouthSmileLeft": 1.0, "jawOpen": 0.7}))

    def start(self) -> None:
        """Nothing to open."""

    def stop(self) -> None:
        """Nothing to close."""

    def latest(self) -> Pose:
        """The smile."""
        return Pose(self._params, "driving")

    def calibrate(self) -> None:
        """Counted."""
        self.calibrations += 1

    def learn_again(self) -> None:
        """Nothing to forget."""

    def look(self) -> None:
        """There is no camera."""

    def stats(self) -> Facts:
        """Calibrated from the start."""
        return {"calibrated": 1.0}


class Unplugged(Smiling):
    """A camera that is not there."""

    def start(self) -> None:
        """Cannot be."""
        raise HeadsplatError("camera 7: it cannot be opened; is it plugged in?")


LIVE = (LiveChoice("smile", "a smile", Smiling), LiveChoice("camera", "camera 7", Unplugged))


def difference(first: np.ndarray, second: np.ndarray) -> float:
    """Mean absolute difference of two pictures of the same size, 0..255."""
    return float(np.abs(first.astype(np.float32) - second).mean())


def load(stage: Stage) -> Facts:
    """The picture on the screen, pixel by pixel and scaled."""
    scaled = stage.shown()
    stage.screen("load")
    resized = cv2.resize(stage.picture(), scaled.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    width, height = stage.session.viewport
    stage.change("view", width=width, height=height)
    shown, picture = stage.shown(), stage.picture()
    engine = stage.session.engine
    drawn = engine.render(Puppet(stage.session.avatar).params(Sliders()), engine.front(width, height), stage.state.look)
    return {
        "spread": float(picture.std()),
        "scaled": difference(scaled, resized),
        "exact": int(np.abs(shown.astype(int) - picture).max()),
        "drawn": int(np.abs(drawn.astype(int) - picture).max()),
    }


def turn(stage: Stage) -> Facts:
    """The camera's slider."""
    before = stage.shown()
    stage.set("Camera", "turn", 40.0)
    return {"yaw": stage.state.view.orbit.yaw, "change": difference(before, stage.shown())}


def field_of_view(stage: Stage) -> Facts:
    """The lens keeps the head's size."""
    before = stage.picture()
    stage.set("Camera", "field of view", 60.0)
    stage.until(lambda: abs(stage.state.status.field_of_view - 60) < 1, 3)
    after = stage.picture()
    covered = [float((picture.min(-1) < 250).mean()) for picture in (before, after)]
    return {"degrees": stage.state.status.field_of_view, "change": difference(before, after), "covered": covered}


def resolution(stage: Stage) -> Facts:
    """The list of heights."""
    stage.choose("Camera", "pixels high", "384")
    return {"height": stage.picture().shape[0]}


def background(stage: Stage) -> Facts:
    """The color behind."""
    stage.set("Look", "background/##X", 0)
    return {"look": stage.state.look.background, "corner": stage.shown()[2, 2].tolist()}


def kinds(stage: Stage) -> Facts:
    """Every kind of picture."""
    pictures = {}
    for kind in (*get_args(Kind)[1:], "rgb"):
        stage.click("Look", kind)
        pictures[kind] = stage.shown()
    changes = {kind: difference(pictures[kind], pictures["rgb"]) for kind in pictures if kind != "rgb"}
    return {"changes": changes, "kind": stage.state.look.kind}


def splats(stage: Stage) -> Facts:
    """Their size, and back."""
    before = stage.picture()
    stage.set("Look", "size", 0.3)
    small = stage.picture()
    stage.click("Look", "reset")
    return {"small": difference(before, small), "reset": difference(before, stage.picture())}


def drag(stage: Stage) -> Facts:
    """The mouse turns the camera."""
    before = stage.shown()
    stage.context.mouse_move("//Avatar/picture")
    stage.context.mouse_drag_with_delta(imgui.ImVec2(60, 30))
    orbit = stage.state.view.orbit
    _, top, _, bottom = stage.place("//Avatar/picture")
    return {"orbit": asdict(orbit), "high": bottom - top, "change": difference(before, stage.shown())}


def pan(stage: Stage) -> Facts:
    """The right button moves the picture with the mouse."""
    before = stage.shown()
    stage.context.mouse_move("//Avatar/picture")
    stage.context.mouse_drag_with_delta(imgui.ImVec2(50, 0), imgui.MouseButton_.right)
    after = stage.shown()
    stage.screen("pan")
    middle = before[:, 120:-120]
    shifts = range(-120, 120)
    apart = [difference(middle, after[:, 120 + shift : after.shape[1] - 120 + shift]) for shift in shifts]
    return {"right": shifts[int(np.argmin(apart))], "left_over": min(apart)}


def wheel(stage: Stage) -> Facts:
    """The wheel comes nearer, two clicks go back."""
    before = stage.shown()
    stage.context.mouse_move("//Avatar/picture")
    stage.context.mouse_wheel_y(3.0)
    near = stage.shown()
    orbit = stage.state.view.orbit
    stage.context.item_double_click("//Avatar/picture")
    return {
        "distance": orbit.distance,
        "change": difference(before, near),
        "back": asdict(stage.state.view.orbit),
        "restored": difference(before, stage.shown()),
    }


def home(stage: Stage) -> Facts:
    """The key for the front."""
    stage.change("view", orbit=Orbit(pitch=30.0))
    stage.context.key_press(imgui.Key.home)
    stage.rest()
    return {"pitch": stage.state.view.orbit.pitch}


def face(stage: Stage) -> Facts:
    """A slider of the face, its twin goes along; then a reset."""
    before = stage.picture()
    stage.set("Face/sliders", "##mouthSmileLeft", 1.0)
    weights, after = dict(stage.state.sliders.weights), stage.picture()
    stage.screen("face")
    stage.click("Face", "reset all")
    return {
        "weights": weights,
        "change": difference(before, after),
        "reset": difference(before, stage.picture()),
    }


def preset(stage: Stage) -> Facts:
    """A whole face with one click."""
    before = stage.picture()
    chosen = next(preset for preset in PRESETS if preset.weights)
    stage.click("Face", chosen.name)
    return {
        "set": dict(stage.state.sliders.weights) == dict(chosen.weights),
        "change": difference(before, stage.picture()),
    }


def search(stage: Stage) -> Facts:
    """Only the sliders that are looked for."""
    stage.set("Face", "##search", "blink")
    stage.rest()
    return {
        "search": stage.state.sliders.search,
        "blink": stage.has("Face/sliders", "##eyeBlinkLeft"),
        "jaw": stage.has("Face/sliders", "##jawOpen"),
    }


def source(stage: Stage) -> Facts:
    """Another one drives, and after a moment of easing it is all theirs."""
    before = stage.picture()
    session = stage.session
    camera = session.camera(before.shape[1], before.shape[0])
    smile = session.engine.render(Smiling(session.avatar).latest().params, camera, stage.state.look).copy()
    stage.click("Source", "a smile")
    shown = stage.until(lambda: np.array_equal(session.picture, smile))
    stage.click("Source", "calibrate (C)")
    calibrations = session.performer.source.calibrations
    stage.click("Source", "sliders")
    return {"shown": shown, "change": difference(before, smile), "calibrations": calibrations}


def missing_source(stage: Stage) -> Facts:
    """One that cannot begin."""
    stage.click("Source", "camera 7")
    stage.until(lambda: stage.state.status.failed)
    return {"driving": stage.state.driving, "message": stage.state.status.message, "red": _red(stage.screen("missing"))}


def screenshot(stage: Stage) -> Facts:
    """The key that writes the picture."""
    stage.context.key_press(imgui.Key.p)
    stage.rest()
    (path,) = stage.session.folder.glob("*_picture.png")
    stored = cv2.imread(str(path))[..., ::-1]
    return {"difference": difference(stored, stage.picture()), "message": stage.state.status.message, "file": path.name}


def saved_view(stage: Stage) -> Facts:
    """A view to a file and back."""
    stage.change("view", orbit=Orbit(yaw=-25.0))
    looked = stage.picture()
    stage.click("Camera", "save this view")
    (path,) = stage.session.folder.glob("*_view_*.json")
    stage.begin()
    front = stage.picture()
    _drop(stage, path)
    stage.until(lambda: stage.state.view.orbit.yaw != 0)
    opened = stage.picture()
    stage.click("Camera", "x##0")
    return {
        "moved": difference(front, looked),
        "opened": difference(opened, looked),
        "left": len(stage.state.view.saved),
    }


def frames(stage: Stage) -> Facts:
    """What the window counts while nothing happens."""
    drawn, counted = imgui.get_frame_count(), stage.session.counters.window.count
    stage.rest(8)
    return {"drawn": imgui.get_frame_count() - drawn, "counted": stage.session.counters.window.count - counted}


def drop_motion(stage: Stage, props: Props) -> Facts:
    """A motion dropped on the window plays."""
    _drop(stage, props.motion)
    playing = stage.until(lambda: stage.state.driving == TIMELINE)
    begun = stage.state.timeline.time
    return {
        "playing": playing and stage.until(lambda: stage.state.timeline.time > begun, 3),
        "frames": len(stage.state.timeline.times),
        "name": stage.state.timeline.name,
    }


def scrub(stage: Stage) -> Facts:
    """The bar under the motion that was dropped, clicked in its middle."""
    session = stage.session
    session.apply([Change("driving", TIMELINE)])
    stage.settle()
    before = stage.picture()
    stage.click("Timeline", "##scrub")
    after, timeline = stage.picture(), stage.state.timeline
    stage.screen("scrub")
    camera = session.camera(after.shape[1], after.shape[0])
    drawn = session.engine.render(session.performer.params[timeline.frame], camera, stage.state.look)
    return {
        "frame": timeline.frame,
        "playing": timeline.playing,
        "change": difference(before, after),
        "drawn": difference(drawn, after),
    }


def space(stage: Stage) -> Facts:
    """The key that plays and holds."""
    key = imgui.Key.space
    stage.context.key_press(key)
    stage.rest()
    playing = stage.state.driving == TIMELINE and stage.state.timeline.playing
    stage.context.key_press(key)
    stage.rest()
    return {"playing": playing, "held": not stage.state.timeline.playing}


def drop_damaged(stage: Stage, props: Props) -> Facts:
    """A file that cannot be read: a sentence, and the window goes on."""
    before = stage.picture()
    _drop(stage, props.damaged)
    stage.until(lambda: stage.state.status.failed)
    screen = stage.screen("damaged")
    message = stage.state.status.message
    return {"message": message, "red": _red(screen), "difference": difference(before, stage.picture())}


def drop_avatar(stage: Stage, props: Props) -> Facts:
    """Another avatar dropped on the window takes the place of the first, and back."""
    before, name = stage.picture(), stage.state.subject.name
    _drop(stage, props.other)
    stage.until(lambda: stage.state.subject.name == props.other.name)
    after, gaussians = stage.picture(), stage.state.subject.gaussians
    _drop(stage, props.avatar)
    back = stage.until(lambda: stage.state.subject.name == name)
    return {
        "gaussians": gaussians,
        "change": difference(before, after),
        "back": back and difference(before, stage.picture()),
    }


def _drop(stage: Stage, path: Path) -> None:
    """Drop a file, as GLFW tells it to the function that the window has given it for that."""
    window: Any = glfw_window_hello_imgui()
    give: Any = glfw._glfw.glfwSetDropCallback
    taker = give(window, glfw._GLFWdropfun(0))
    give(window, taker)
    taker(window, 1, (ctypes.c_char_p * 1)(os.fsencode(path)))
    stage.rest()


def _red(screen: np.ndarray) -> int:
    """How many pixels of the line at the bottom are in the color of failures."""
    red, green, blue = np.moveaxis(screen[-30:].astype(int), -1, 0)
    return int(((red > 200) & (green < 160) & (blue < 140)).sum())


def acts(props: Props) -> dict[str, Act]:
    """All of them, in the order they are played in."""
    alone = (
        load, turn, field_of_view, resolution, background, kinds, splats, drag, pan, wheel, home, face,
        preset, search, source, missing_source, screenshot, saved_view, frames,
    )  # fmt: skip
    with_files = (drop_motion, drop_damaged, drop_avatar)
    found: dict[str, Act] = {act.__name__: act for act in alone}
    found |= {act.__name__: partial(act, props=props) for act in with_files}
    return found | {act.__name__: act for act in (scrub, space)}


def main(avatar: str, motion: str, other: str, damaged: str, folder: str) -> None:
    """Play all acts, then run `headsplat view` for a moment; what was seen goes to `folder`."""
    torch.set_num_threads(1)
    props, out = Props(Path(avatar), Path(motion), Path(other), Path(damaged)), Path(folder)
    (out / "written").mkdir(parents=True)
    session = Session(load_avatar(avatar), props.avatar.name, LIVE, folder=out / "written")
    session.apply([Change("view", replace(session.state.view, height=256))])
    play(session, acts(props), out)
    words = ["view", avatar, "--motion", motion, "--size", "256", "--seconds", "1", "--json", str(out / "report.json")]
    (out / "command").write_text(str(cli.main(words)))


if __name__ == "__main__":
    main(*sys.argv[1:])
