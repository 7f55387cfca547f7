"""Images of the window of `headsplat film` in each state: `python -m tests.support.film_screens DIR CAMERA_IMAGE`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import moderngl
import numpy as np
from imgui_bundle import hello_imgui

from avatar.jobs.filming import ready_view, view_of, working_view
from avatar.jobs.notices import Progress
from capture.coach.coach import Coach
from capture.film.session import Shown
from tests.capture.coach.actor import Actor, with_values
from viewer.gui.film_window import FilmWindow
from viewer.session.film_view import FilmView

#: Frames of the window for each state, until its last one is stored.
_FRAMES = 4


def states(image: np.ndarray) -> Mapping[str, FilmView]:
    """What the window shows in each state, with the camera's image [H,W,3]."""
    views: dict[str, FilmView] = {"opening": FilmView(words="Getting ready ...")}
    for name, actor, seconds, warn in (
        ("rest", Actor(), 0.4, False),
        ("turning", Actor(), 6.0, False),
        ("aloud", Actor(), 13.0, False),
        ("dark", Actor(change=with_values(brightness=0.1)), 9.0, True),
        ("given_up", Actor(cannot=("mouth open", "smile", "turn left")), 30.0, False),
        ("finished", Actor(), 60.0, False),
    ):
        coach = Coach()
        advice = coach.advice()
        while actor.time < seconds and not advice.finished:
            advice = coach.step(actor.frame(advice.request))
        views[name] = view_of(Shown(image // 4 if warn else image, advice, actor.time, round(30 * actor.time), 87))
        if name == "turning":
            avatar = np.ascontiguousarray(image[:, : image.shape[0]])
            views["avatar"] = view_of(Shown(image, advice, actor.time, 181, 87), avatar, 1)
            coach.pause()
            views["paused"] = view_of(Shown(image, coach.advice(), actor.time, 180, 87))
    views["training"] = working_view(Progress("training", 0.42, "step 420 of 1000"), image)
    views["ready"] = ready_view(Path("me.avatar"), image)
    return views


def store_states(folder: Path, image: np.ndarray) -> list[str]:
    """Show each state in the window with the camera's `image`, and store it as NAME.png; the names."""
    views = states(image)
    names = list(views)
    shown = -1  # frames of the window

    def store() -> None:
        index, within = divmod(shown, _FRAMES)
        if within == _FRAMES - 1 and index < len(names):
            screen: Any = moderngl.get_context().detect_framebuffer(0)
            pixels = np.frombuffer(screen.read(components=3, alignment=1), np.uint8)
            pixels = pixels.reshape(screen.height, screen.width, 3)[::-1]
            assert cv2.imwrite(str(folder / f"{names[index]}.png"), pixels[..., ::-1])

    def view() -> FilmView:
        nonlocal shown
        shown += 1
        if shown == 0:
            calls: Any = hello_imgui.get_runner_params().callbacks
            calls.after_swap = store
        index = shown // _FRAMES
        return views[names[index]] if index < len(names) else FilmView(over=True)

    FilmWindow(view, lambda command: None).run()
    return names


if __name__ == "__main__":
    store_states(Path(sys.argv[1]), cv2.imread(sys.argv[2])[..., ::-1])
