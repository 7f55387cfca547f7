"""Screenshots of the window for README and documentation: `python -m tests.support.screenshots demo/demo.avatar`.

The motion is the one that `headsplat demo` writes, puppet.csv. Needs a display of 1280x800 or more.
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

from avatar.model.avatar_file import load_avatar
from tests.support.window_driver import WindowDriver, run_scenarios
from viewer.render.orbit import Orbit
from viewer.render.view_settings import ViewKind, ViewSettings
from viewer.session.opening import open_any
from viewer.session.session import Session
from viewer.session.state import SLIDERS
from viewer.session.wings.action_units import face_described

#: Pixels of the window, and height and width of each image in the row of views.
_WINDOW, _HEIGHT, _WIDTH = (1280, 760), 384, 320
#: Degrees: the camera of the posed head, within the views of its training, and the head's yaw, pitch and roll.
_SIDE, _HEAD = Orbit(yaw=-8.0, pitch=3.0), (6.0, -3.0, 3.0)
_TEXT = "very happy and slightly surprised"
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
    session = Session(avatar, arguments.avatar.name)
    session.show(open_any(arguments.avatar.parent / "puppet.csv", avatar))
    arguments.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        scenarios = {
            "window": face,
            "views": partial(views, out=arguments.output),
            "emotion": emotion,
            "reading": reading,
        }
        run_scenarios(session, scenarios, folder, _WINDOW)
        for path in folder.glob("*.json"):
            if error := json.loads(path.read_text())["error"]:
                raise SystemExit(error)
        for name, image in (("window", "window"), ("window-emotion", "emotion"), ("window-reading", "reading")):
            _write(arguments.output / f"{name}.jpg", cv2.imread(str(folder / f"{image}.png")))


if __name__ == "__main__":
    main()
