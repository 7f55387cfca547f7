"""Runs scenarios in the window with imgui's test engine and writes their results."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import cv2
import moderngl
import numpy as np
from imgui_bundle import hello_imgui, imgui

from viewer.gui.window import Window, WindowOptions
from viewer.session.edits import Change, Do, SelectSource
from viewer.session.session import Session
from viewer.session.state import State

#: Seconds after which the window closes in any case, and the test engine's timeout of one scenario.
_MAX_SECONDS, _SCENARIO_TIMEOUT = 200.0, 60.0
engine = imgui.test_engine
Part = Literal["camera", "view", "sliders", "timeline", "panels"]


class WindowDriver:
    """Controls the window for a scenario, which runs on the test engine's thread while the window's thread waits."""

    def __init__(self, session: Session, folder: Path) -> None:
        """Args: folder: where images of the screen are stored."""
        self.session, self.folder = session, folder
        self.context: Any = None  # imgui's TestContext of the running scenario
        self._initial = session.state
        self._screen: np.ndarray | None = None
        self._requested = False  # whether the next frame is to be stored in _screen

    @property
    def state(self) -> State:
        """The session's state."""
        return self.session.state

    def reset(self) -> None:
        """Restore the initial state, except for the open files."""
        parts: tuple[Part, ...] = ("camera", "view", "sliders", "panels")
        self.session.apply([SelectSource(self._initial.source)])
        self.session.apply(Change(part, getattr(self._initial, part)) for part in parts)
        self.session.apply([Change("timeline", replace(self.state.timeline, playing=False, time=0.0, speed=1.0))])
        self.session.show_message("")
        self.settle()

    def change(self, part: Part, **values: Any) -> None:
        """Replace fields of a part of the state, as a panel does."""
        self.session.apply([Change(part, replace(getattr(self.state, part), **values))])

    def rest(self, frames: int = 2) -> None:
        """Let the window run some frames: a click becomes an edit, then an image, then is on the screen."""
        self.context.yield_(frames)

    def settle(self) -> None:
        """Let the window run until the image does not change, for the end of a blend."""
        number = -1
        while number != self.session.viewport.image_number:
            number = self.session.viewport.image_number
            self.rest()

    def until(self, condition: Callable[[], bool], seconds: float = 10.0) -> bool:
        """Let the window run until a condition is true; returns whether it became true."""
        end = time.monotonic() + seconds
        while not condition() and time.monotonic() < end:
            self.context.yield_()
        return condition()

    def image(self) -> np.ndarray:
        """A copy of the avatar's image, uint8 [H,W,3]."""
        self.rest()
        assert self.session.viewport.image is not None
        return self.session.viewport.image.copy()

    def screen(self, name: str = "") -> np.ndarray:
        """The whole window as on the screen, uint8 [H,W,3]; stored as a PNG where a name is given."""
        self.rest()
        self._requested = True
        self.until(lambda: not self._requested)
        assert self._screen is not None
        if name:
            assert cv2.imwrite(str(self.folder / f"{name}.png"), self._screen[..., ::-1])
        return self._screen

    def bounds(self, reference: str) -> tuple[int, int, int, int]:
        """Left, top, right, bottom of a widget, pixels of the screen."""
        corners = self.context.item_info(reference).rect_full
        return tuple(round(value) for value in (corners.min.x, corners.min.y, corners.max.x, corners.max.y))

    def shown(self) -> np.ndarray:
        """The part of the screen with the avatar's image."""
        screen = self.screen()
        left, top, right, bottom = self.bounds("//Avatar/image")
        return screen[top:bottom, left:right]

    def set(self, panel: str, label: str, value: Any) -> None:
        """Enter a value into a slider of a panel, or of a part of it such as "Face/sliders"."""
        self.context.item_input_value(self._found(panel, label), value)

    def click(self, panel: str, label: str) -> None:
        """Click a widget of a panel."""
        self.context.item_click(self._found(panel, label))

    def drag(self, panel: str, label: str, right: float, down: float) -> None:
        """Drag from the middle of a widget of a panel, pixels."""
        self.context.mouse_move(self._found(panel, label))
        self.context.mouse_drag_with_delta(imgui.ImVec2(right, down))

    def double_click(self, panel: str, label: str) -> None:
        """Double-click a widget of a panel."""
        self.context.item_double_click(self._found(panel, label))

    def choose(self, panel: str, label: str, entry: str) -> None:
        """Choose an entry of a drop-down list."""
        self._found(panel, label)
        self.context.set_ref(f"//{panel}")
        self.context.combo_click(f"{label}/{entry}")

    def has(self, panel: str, label: str) -> bool:
        """Whether a panel has a widget."""
        return bool(self.context.item_exists(self._found(panel, label)))

    def _found(self, panel: str, label: str) -> str:
        """A widget's reference, after bringing its panel to the front of its dock."""
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
        if self._requested:
            screen: Any = moderngl.get_context().detect_framebuffer(0)
            pixels = np.frombuffer(screen.read(components=3, alignment=1), np.uint8)
            self._screen = pixels.reshape(screen.height, screen.width, 3)[::-1].copy()
            self._requested = False


Scenario = Callable[[WindowDriver], Mapping[str, Any]]


def run_scenarios(
    session: Session, scenarios: Mapping[str, Scenario], folder: Path, size: tuple[int, int] = (800, 500)
) -> None:
    """Open the window, run the scenarios in order and close it by `Do("close")`.

    Writes `folder`/NAME.json for each scenario, with its result, `seconds` and `error` (empty without one), and at the
    end `folder`/closed: "by action", or "late" where the window was open for too long.
    """
    driver = WindowDriver(session, folder)

    def register() -> None:
        _observe_frames(driver)
        tests = hello_imgui.get_imgui_test_engine()
        settings = engine.get_io(tests)
        settings.config_watchdog_kill_test = _SCENARIO_TIMEOUT
        settings.config_run_speed = engine.TestRunSpeed.fast
        settings.config_no_throttle = True
        settings.config_mouse_draw_cursor = False
        settings.config_log_to_tty = True
        for name, scenario in {**scenarios, "": _close}.items():
            test = engine.register_test(tests, "window", name or "close")
            test.test_func = _recorded(driver, name, scenario)
            engine.queue_test(tests, test)

    Window(session, WindowOptions(size=size, remember=False, seconds=_MAX_SECONDS, tests=register)).run()
    (folder / "closed").write_text("by action" if session.closing else "late")
    session.close()


def _observe_frames(driver: WindowDriver) -> None:
    calls: Any = hello_imgui.get_runner_params().callbacks
    after = calls.after_swap

    def swapped() -> None:
        driver.swapped()
        after()

    calls.after_swap = swapped


def _close(driver: WindowDriver) -> Mapping[str, Any]:
    driver.session.apply([Do("close")])
    return {}


def _recorded(driver: WindowDriver, name: str, scenario: Scenario) -> Callable[[Any], None]:
    def run(context: Any) -> None:
        began, result, error = time.monotonic(), {}, ""
        driver.context = context
        try:
            if name:
                driver.reset()
            result = dict(scenario(driver))
        except Exception:
            error = traceback.format_exc()
        if context.is_error() and not error:
            error = "the test engine did not find or reach a widget; its log is on stdout"
        if name:
            result |= {"error": error, "seconds": time.monotonic() - began}
            (driver.folder / f"{name}.json").write_text(json.dumps(result))

    return run
