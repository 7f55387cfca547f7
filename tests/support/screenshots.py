"""Pictures for README and documentation, of the demo and the window: `python -m tests.support.screenshots AVATAR`.

AVATAR is demo/demo.avatar; the motion and the video are those that `headsplat demo` writes beside it. Needs a
display of 1280x800 or more.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np

from avatar.jobs.images import GAP, LABEL_HEIGHT, labeled_grid
from avatar.jobs.live_sources import LiveSources, SourceOptions
from avatar.jobs.rendering import EncodingOptions, ImageOptions, RenderOptions, render
from avatar.jobs.showcase import HOLD, MOVE, PUPPET
from avatar.model.avatar_file import load_avatar
from tests.support.window_driver import WindowDriver, run_scenarios
from viewer.render.orbit import Orbit
from viewer.render.view_settings import ViewKind, ViewSettings
from viewer.session.edits import Measure
from viewer.session.opening import open_any
from viewer.session.session import Session
from viewer.session.state import SLIDERS
from viewer.session.wings.action_units import face_described

#: Pixels of the window, and height and width of each image in the row of views.
_WINDOW, _HEIGHT, _WIDTH = (1280, 760), 384, 320
#: Degrees: the camera of the posed head, within the views of its training, and the head's yaw, pitch and roll.
_SIDE, _HEAD = Orbit(yaw=-8.0, pitch=3.0), (6.0, -3.0, 3.0)
_TEXT = "very happy and slightly surprised"
#: Seconds after calibration at which the picture of the live window is taken.
_LIVE_SECONDS = 2.0
#: Pixels of an image of the sheet, its rows (label and pass), and its frames: one in each pose of the puppet.
_CELL = 210
_ROWS = {"front": "rgb", "orbit": "rgb", "depth": "depth", "normals": "normals", "mesh": "mesh"}
_FRAMES = [pose * (HOLD + MOVE) + HOLD // 2 for pose in range(len(PUPPET))]
#: Halves of the picture of the README: title, sheet of the demo, rows and columns of it.
_TEASER = (
    ("video (top) and avatar (bottom), frames never trained on", "comparison", (0, 1), (1, 2, 4, 5)),
    ("the avatar in poses nobody filmed", "puppet", (0, 1), (1, 2, 3, 5)),
)
_POSED = {"mouthSmileLeft": 0.85, "mouthSmileRight": 0.5, "browOuterUpLeft": 0.9, "jawOpen": 0.18, "eyeBlinkRight": 1.0}


def face(window: WindowDriver) -> Mapping[str, Any]:
    """Posed by hand, slightly from the side."""
    window.session.select_source(SLIDERS)
    window.change("camera", orbit=_SIDE, height=720)
    window.change("sliders", weights=_POSED, head=_HEAD, gaze=(-8.0, 2.0))
    return _taken(window, "Face", "window")


def emotion(window: WindowDriver) -> Mapping[str, Any]:
    """A face by a text, the pad, and the sliders of action units that show it."""
    window.session.select_source(SLIDERS)
    window.change("camera", orbit=_SIDE, height=720)
    window.settle()
    window.click("Face/sliders", "###emotion")
    window.set("Face/sliders", "##describe", _TEXT)
    window.click("Face/sliders", "###head, gaze, jaw joint")
    window.click("Face/sliders", "###action units")
    return _taken(window, "Face", "emotion")


def reading(window: WindowDriver) -> Mapping[str, Any]:
    """The reading panel beside the sliders of action units."""
    window.session.select_source(SLIDERS)
    window.change("camera", orbit=_SIDE, height=720)
    window.settle()
    window.click("Face/sliders", "###emotion")
    window.change("sliders", weights=face_described("extremely surprised and slightly afraid")[0], gaze=(18.0, 0.0))
    window.context.window_focus("//Reading")
    window.until(lambda: window.state.reading.label == "surprise", 5)
    return _taken(window, "Reading", "reading")


def measured(window: WindowDriver) -> Mapping[str, Any]:
    """The distance between the cheekbones."""
    window.session.select_source(SLIDERS)
    window.change("camera", orbit=Orbit(), height=720)
    window.click("View", "click two places")
    window.settle()
    window.session.apply([Measure(place) for place in _landmarks_in_image(window, (116, 345))])
    return _taken(window, "View", "measure")


def _landmarks_in_image(window: WindowDriver, landmarks: tuple[int, ...]) -> list[tuple[float, float]]:
    """Where landmarks are in the image, 0..1 from the upper left."""
    view = window.session.viewport.rendered_view
    assert view is not None
    camera, pose = view
    head = window.session.avatar.head
    points = head.landmarks(head.vertices(window.session.avatar.with_identity(pose.params)))[0, list(landmarks)]
    return [(x / camera.width, y / camera.height) for x, y in camera.project(points).tolist()]


def views(window: WindowDriver, out: Path) -> Mapping[str, Any]:
    """Every kind of image side by side."""
    window.session.select_source(SLIDERS)
    window.change("camera", orbit=_SIDE, height=_HEIGHT, width=_WIDTH)
    window.change("sliders", weights=_POSED, head=_HEAD)
    window.settle()
    images = []
    for kind in get_args(ViewKind):
        window.change("view", **vars(ViewSettings(kind=kind)))
        images.append(window.image())
    _write(out / "views.jpg", np.concatenate(images, 1)[..., ::-1])
    return {}


def live(window: WindowDriver) -> Mapping[str, Any]:
    """The video as a camera drives the avatar: calibrated, with a smile."""
    window.session.select_source("webcam")
    window.change("camera", height=512)
    window.until(lambda: window.state.status.live.get("calibrated", 0) > 0, 30)
    window.until(lambda: False, _LIVE_SECONDS)
    window.context.window_focus("//Latency")
    window.context.mouse_move_to_pos((_WINDOW[0] / 2, 8))
    window.rest(8)
    window.screen("live")
    return {}


def sheet(avatar: Path) -> np.ndarray:
    """The avatar along the motion, [H,W,3] RGB: rows of two cameras, depth, normals and the mesh."""
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        for label, name in _ROWS.items():
            out = Path(temporary) / label
            image = ImageOptions(size=str(_CELL), camera="orbit" if label == "orbit" else "front", passes=name)
            options = RenderOptions(avatar.parent / "puppet.csv", image=image, storage=EncodingOptions(codec="png"))
            render(avatar, out, options)
            frames = [cv2.imread(str(out / f"{frame:05}.png"), cv2.IMREAD_UNCHANGED) for frame in _FRAMES]
            rows.append((label, [_eight_bit(frame) for frame in frames]))
    return labeled_grid(rows, [label for label, _ in PUPPET])


def teaser(demo: Path) -> np.ndarray:
    """The picture at the top of the README, BGR: frames beside the avatar, and the avatar in poses set by hand."""
    halves = []
    for title, name, rows, columns in _TEASER:
        image = cv2.imread(str(demo / f"{name}.png"))
        height = (image.shape[0] - LABEL_HEIGHT) // 3 - GAP
        width = height * 3 // 4
        left = image.shape[1] - 6 * (width + GAP)
        cells = [
            [image[top : top + height, x : x + width] for x in (left + column * (width + GAP) for column in columns)]
            for top in (LABEL_HEIGHT + row * (height + GAP) for row in rows)
        ]
        half = cv2.vconcat([cv2.hconcat(row) for row in cells])
        half = cv2.copyMakeBorder(half, 28, 0, 4, 16, cv2.BORDER_CONSTANT, value=(255, 255, 255))
        cv2.putText(half, title, (4, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (40, 40, 40), 1, cv2.LINE_AA)
        halves.append(half)
    return cv2.hconcat(halves)


def _eight_bit(image: np.ndarray) -> np.ndarray:
    """An image of a file on white, RGB uint8 [H,W,3]; depth from dark, far, to light."""
    if image.ndim == 3:
        return np.where((image == image[0, 0]).all(-1, keepdims=True), 255, image)[..., 2::-1]
    seen = image > 0
    low = image[seen].min()
    gray = np.where(seen, 255 - 225.0 * (image - low) / (image[seen].max() - low), 255)
    return np.repeat(gray.astype(np.uint8)[..., None], 3, 2)


def _taken(window: WindowDriver, panel: str, name: str) -> Mapping[str, Any]:
    window.context.window_focus(f"//{panel}")
    window.context.mouse_move_to_pos((_WINDOW[0] / 2, 8))
    window.settle()
    window.until(lambda: window.state.status.size == window.session.viewport.image.shape[1::-1], 2)
    window.screen(name)
    return {}


def _write(path: Path, image: np.ndarray | None) -> None:
    """Write an image, BGR, as JPEG: a third of the size of PNG."""
    assert image is not None
    assert cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, 90])


def main() -> None:
    """Take the screenshots."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("avatar", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path(".github/pictures"))
    arguments = parser.parse_args()
    avatar = load_avatar(arguments.avatar)
    sources = LiveSources(SourceOptions(webcam=str(arguments.avatar.parent / "phone.mp4"), loop=True), None, None)
    session = Session(avatar, arguments.avatar.name, sources.choices())
    session.show(open_any(arguments.avatar.parent / "puppet.csv", avatar))
    arguments.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        scenarios = {
            "window": face,
            "views": partial(views, out=arguments.output),
            "emotion": emotion,
            "reading": reading,
            "measure": measured,
            "live": live,
        }
        run_scenarios(session, scenarios, folder, _WINDOW)
        for path in folder.glob("*.json"):
            if error := json.loads(path.read_text())["error"]:
                raise SystemExit(error)
        for name, image in (
            ("window", "window"),
            ("window-emotion", "emotion"),
            ("window-reading", "reading"),
            ("window-measure", "measure"),
            ("live", "live"),
        ):
            _write(arguments.output / f"{name}.jpg", cv2.imread(str(folder / f"{image}.png")))
    _write(arguments.output / "render.jpg", sheet(arguments.avatar)[..., ::-1])
    assert cv2.imwrite(str(arguments.output / "demo.png"), teaser(arguments.avatar.parent))


if __name__ == "__main__":
    main()
