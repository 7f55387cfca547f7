"""The window driven by imgui's test engine: acts run one after the other, what they saw is kept."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import moderngl
import numpy as np
from imgui_bundle import hello_imgui, imgui

from viewer.gui.window import Window, WindowOptions
from viewer.session.edits import Change, Do
from viewer.session.session import Session
from viewer.session.state import State

#: Seconds after which the window closes, whatever happens; of the test engine's patience with one act.
_LONGEST, _PATIENCE = 200.0, 60.0
engine = imgui.test_engine


class Stage:
    """What an act handles the window with. Acts run on the test engine's thread while the window's own waits."""

    def __init__(self, session: Session, folder: Path) -> None:
        """Args: folder: where pictures of the screen are kept."""
        self.session, self.folder = session, folder
        self.context: Any = None  # imgui's TestContext of the act that runs
        self._first = session.state
        self._screen: np.ndarray | None = None
        self._wanted = False

    @property
    def state(self) -> State:
        """The session's, now."""
        return self.session.state

    def begin(self) -> None:
        """Everything as it was at first, but for the files that are open."""
        parts = ("driving", "view", "look", "sliders", "panels")
        self.session.apply(Change(part, getattr(self._first, part)) for part in parts)
        self.session.apply([Change("timeline", replace(self.state.timeline, playing=False, time=0.0, speed=1.0))])
        self.session.tell("")
        self.settle()

    def change(self, part: str, **values: Any) -> None:
        """Replace fields of a part of the state, as a panel would."""
        self.session.apply([Change(part, replace(getattr(self.state, part), **values))])

    def do(self, action: Any, argument: Any = None) -> None:
        """Ask the session for an action, as a panel would."""
        self.session.apply([Do(action, argument)])

    def rest(self, frames: int = 2) -> None:
        """Let the window draw: what was clicked becomes an edit, then a picture, then is on the screen."""
        self.context.yield_(frames)

    def settle(self) -> None:
        """Let the window draw until the picture stays as it is: another driver's face comes by and by."""
        number = -1
        while number != self.session.picture_number:
            number = self.session.picture_number
            self.rest()

    def until(self, reached: Callable[[], bool], seconds: float = 10.0) -> bool:
        """Let the window run until something is so; returns whether it came to that."""
        end = time.monotonic() + seconds
        while not reached() and time.monotonic() < end:
            self.context.yield_()
        return reached()

    def picture(self) -> np.ndarray:
        """The avatar's picture now, uint8 [H,W,3]."""
        self.rest()
        assert self.session.picture is not None
        return self.session.picture.copy()

    def screen(self, name: str = "") -> np.ndarray:
        """The whole window as it is on the screen, uint8 [H,W,3]; kept as a PNG where it has a name."""
        self.rest()
        self._wanted = True
        self.until(lambda: not self._wanted)
        assert self._screen is not None
        if name:
            cv2.imwrite(str(self.folder / f"{name}.png"), self._screen[..., ::-1])
        return self._screen

    def place(self, reference: str) -> tuple[int, int, int, int]:
        """Left, top, right, bottom of a widget, pixels of the screen."""
        corners = self.context.item_info(reference).rect_full
        return tuple(round(value) for value in (corners.min.x, corners.min.y, corners.max.x, corners.max.y))

    def shown(self) -> np.ndarray:
        """The part of the screen that the avatar's picture fills."""
        screen = self.screen()
        left, top, right, bottom = self.place("//Avatar/picture")
        return screen[top:bottom, left:right]

    def set(self, panel: str, label: str, value: Any) -> None:
        """Type a value into a slider of a panel, or of a part of it: "Face/sliders"."""
        self.context.item_input_value(self._found(panel, label), value)

    def click(self, panel: str, label: str) -> None:
        """Click a widget of a panel."""
        self.context.item_click(self._found(panel, label))

    def choose(self, panel: str, label: str, entry: str) -> None:
        """Choose an entry of a list that folds out."""
        self._found(panel, label)
        self.context.set_ref(f"//{panel}")
        self.context.combo_click(f"{label}/{entry}")

    def has(self, panel: str, label: str) -> bool:
        """Whether a panel shows a widget."""
        return bool(self.context.item_exists(self._found(panel, label)))

    def _found(self, panel: str, label: str) -> str:
        """A widget's reference, with its panel in front of those it shares the dock with."""
        title, _, part = panel.partition("/")
        window = self.context.get_window_by_ref(f"//{title}")
        if window is None or not window.active or window.hidden:
            self.context.window_focus(f"//{title}")
        if part:
            name = self.context.window_info(f"//{panel}").window.name.replace("/", "\\/")
            return f"//{name}/{label}"
        return f"//{panel}/{label}"

    def swapped(self) -> None:
        """A frame is on the screen; called on the window's thread."""
        if self._wanted:
            screen: Any = moderngl.get_context().detect_framebuffer(0)
            pixels = np.frombuffer(screen.read(components=3, alignment=1), np.uint8)
            self._screen = pixels.reshape(screen.height, screen.width, 3)[::-1].copy()
            self._wanted = False


Act = Callable[[Stage], Mapping[str, Any]]


def play(session: Session, acts: Mapping[str, Act], folder: Path, size: tuple[int, int] = (800, 500)) -> None:
    """Open the window, run the acts in their order and close it by `Do("close")`.

    Writes `folder`/NAME.json for each act, with what it returned, `seconds` and `error` (empty where it went well), and
    `folder`/closed at last: "asked", or "late" where the window closed because it had been open for too long.
    """
    stage = Stage(session, folder)

    def register() -> None:
        _watch(stage)
        tests = hello_imgui.get_imgui_test_engine()
        settings = engine.get_io(tests)
        settings.config_watchdog_kill_test = _PATIENCE
        settings.config_run_speed = engine.TestRunSpeed.fast
        settings.config_no_throttle = True
        settings.config_mouse_draw_cursor = False
        settings.config_log_to_tty = True
        for name, act in {**acts, "": _close}.items():
            test = engine.register_test(tests, "window", name or "close")
            test.test_func = _noted(stage, name, act)
            engine.queue_test(tests, test)

    Window(session, WindowOptions(size=size, remember=False, seconds=_LONGEST, tests=register)).run()
    (folder / "closed").write_text("asked" if session.closing else "late")
    session.close()


def _watch(stage: Stage) -> None:
    calls: Any = hello_imgui.get_runner_params().callbacks
    after = calls.after_swap

    def swapped() -> None:
        stage.swapped()
        after()

    calls.after_swap = swapped


def _close(stage: Stage) -> Mapping[str, Any]:
    stage.do("close")
    return {}


def _noted(stage: Stage, name: str, act: Act) -> Callable[[Any], None]:
    def run(context: Any) -> None:
        began, facts, error = time.monotonic(), {}, ""
        stage.context = context
        try:
            if name:
                stage.begin()
            facts = dict(act(stage))
        except Exception:
            error = traceback.format_exc()
        if context.is_error() and not error:
            error = "the test engine did not find or reach a widget; its log is on stdout"
        if name:
            facts |= {"error": error, "seconds": time.monotonic() - began}
            (stage.folder / f"{name}.json").write_text(json.dumps(facts))

    return run
