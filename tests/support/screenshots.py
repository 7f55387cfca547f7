"""The README's pictures of the window, taken of it: `python -m tests.support.screenshots demo/demo.avatar`.

The motion is the one that `headsplat demo` leaves beside its avatar, puppet.csv. Needs a display of 1280x800 or more.
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
from tests.support.stage import Stage, play
from viewer.render.orbit import Orbit
from viewer.render.view_settings import Kind, Look
from viewer.session.opening import open_any
from viewer.session.session import Session
from viewer.session.state import SLIDERS, TIMELINE

#: Pixels of the window, and of each picture in the strip of views: high and wide.
_WINDOW, _HIGH, _WIDE = (1280, 760), 384, 320
#: Degrees: from where the posed head is seen, not farther than its training saw it, and its turn, nod and tilt.
_SIDE, _HEAD = Orbit(yaw=-8.0, pitch=3.0), (6.0, -3.0, 3.0)
_PLAYED = 2.5  # seconds of the motion, for the rates in the picture
_POSED = {"mouthSmileLeft": 0.85, "mouthSmileRight": 0.5, "browOuterUpLeft": 0.9, "jawOpen": 0.18, "eyeBlinkRight": 1.0}


def face(stage: Stage) -> Mapping[str, Any]:
    """Posed by hand, from a little to the side."""
    stage.session.drive(SLIDERS)
    stage.change("view", orbit=_SIDE, height=720)
    stage.change("sliders", weights=_POSED, head=_HEAD, gaze=(-8.0, 2.0))
    return _taken(stage, "Face", "face")


def motion(stage: Stage) -> Mapping[str, Any]:
    """A motion held where the mouth is open widest, after it has played for a moment, with the mesh laid over it."""
    stage.session.drive(TIMELINE)
    stage.change("view", orbit=Orbit(yaw=10.0), height=720)
    stage.change("look", mesh_overlay=0.45, background=(0.13, 0.14, 0.17))
    stage.change("timeline", playing=True)
    stage.until(lambda: False, _PLAYED)
    stage.change("timeline", playing=False)
    player: Any = stage.session.performer
    opened = player.params.expression[:, stage.state.subject.expressions.index("jawOpen")]
    timeline = stage.state.timeline
    stage.change("timeline", time=timeline.at(int(opened.argmax())).time)
    return _taken(stage, "Look", "motion")


def views(stage: Stage, out: Path) -> Mapping[str, Any]:
    """Every kind of picture side by side."""
    stage.session.drive(SLIDERS)
    stage.change("view", orbit=_SIDE, height=_HIGH, width=_WIDE)
    stage.change("sliders", weights=_POSED, head=_HEAD)
    stage.settle()
    pictures = []
    for kind in get_args(Kind):
        stage.change("look", **vars(Look(kind=kind)))
        pictures.append(stage.picture())
    _write(out / "views.jpg", np.concatenate(pictures, 1)[..., ::-1])
    return {}


def _taken(stage: Stage, panel: str, name: str) -> Mapping[str, Any]:
    stage.context.window_focus(f"//{panel}")
    stage.context.mouse_move_to_pos((_WINDOW[0] / 2, 8))
    stage.settle()
    stage.until(lambda: stage.state.status.size == stage.session.picture.shape[1::-1], 2)
    stage.screen(name)
    return {}


def _write(path: Path, picture: np.ndarray | None) -> None:
    """A picture, BGR, as JPEG: a third of what PNG takes."""
    assert picture is not None
    cv2.imwrite(str(path), picture, [cv2.IMWRITE_JPEG_QUALITY, 90])


def main() -> None:
    """Take them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("avatar", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path(".github/pictures"))
    arguments = parser.parse_args()
    avatar = load_avatar(arguments.avatar)
    session = Session(avatar, arguments.avatar.name)
    open_any(arguments.avatar.parent / "puppet.csv", avatar)(session)
    arguments.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        play(session, {"face": face, "motion": motion, "views": partial(views, out=arguments.output)}, folder, _WINDOW)
        for path in folder.glob("*.json"):
            if error := json.loads(path.read_text())["error"]:
                raise SystemExit(error)
        for shown in ("face", "motion"):
            _write(arguments.output / f"window-{shown}.jpg", cv2.imread(str(folder / f"{shown}.png")))


if __name__ == "__main__":
    main()
