"""The window: hello_imgui owns it; panels are drawn from the session's state and their edits handed back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from imgui_bundle import hello_imgui, imgui
from imgui_bundle import portable_file_dialogs as dialogs

from avatar.errors import HeadsplatError
from viewer.gui.display import WHAT_TO_DO, check_display
from viewer.gui.drops import Drops
from viewer.gui.panels import DOCKS, PANELS, Shown
from viewer.gui.panels.menus import menus, status_bar
from viewer.gui.panels.shortcuts import shortcuts
from viewer.gui.panels.viewport import picture_panel
from viewer.gui.texture import Texture
from viewer.session.edits import Do, Edit
from viewer.session.session import Session
from viewer.session.training_view import SHARE

#: Seconds from one frame of the window to the next: at least, and at most while nothing changes. Drawing the window
#: takes longer than looking whether there is anything to draw, much longer without a graphics card.
_SHORTEST, _LONGEST = 1 / 120, 1 / 30
_PAUSE = 0.001  # seconds from one look to the next
#: The last two, at most, beside a training, whose Python waits while this thread's runs; not for so long after somebody
#: has handled the window.
_LONGEST_BESIDE, _PAUSE_BESIDE, _ATTENTIVE = 1 / 2, 0.02, 1.0
_BEHIND = imgui.ImVec4(0.16, 0.16, 0.16, 1.0)  # the color of the window where nothing is
_CHOOSE = Do("choose file")
_KINDS = ["all that can be opened", "*.avatar *.csv *.json *.npz *.npy", "all files", "*"]
_LAID_OUT = 3  # frames after which panels have their places


@dataclass(frozen=True)
class WindowOptions:
    """How the window is opened."""

    title: str = "headsplat"
    size: tuple[int, int] = (1280, 760)
    remember: bool = True
    """keep the places of the panels in the user's configuration folder"""
    seconds: float | None = None
    """close after so long; None: when the user closes it"""
    tests: Callable[[], None] | None = None
    """registers tests of imgui's test engine, which then drive the window"""


class Window:
    """A session on the screen."""

    def __init__(self, session: Session, options: WindowOptions | None = None) -> None:
        self.session, self.options = session, options or WindowOptions()
        self._edits: list[Edit] = []
        self._shown: Shown | None = None
        self._drops: Drops | None = None
        self._dialog: dialogs.open_file | None = None
        self._numbers = (0, 0)  # of the picture and the preview on the graphics card
        self._new_picture = False
        self._failure: BaseException | None = None
        self._framed = self._began = self._handled = time.monotonic()

    def run(self) -> np.ndarray | None:
        """Open it and stay until it is closed; returns its last frame, uint8 [H,W,3].

        Raises:
            HeadsplatError: there is no display, or no OpenGL on it.
        """
        check_display()
        self.session.viewport = None
        try:
            hello_imgui.run(self._params())
        except RuntimeError as error:
            if self._failure is None:
                raise HeadsplatError(
                    f"the window cannot be opened with OpenGL 3.3 ({_first_line(error)}); {WHAT_TO_DO}"
                ) from error
        if self._failure is not None:
            raise self._failure
        return hello_imgui.final_app_window_screenshot()

    def _params(self) -> hello_imgui.RunnerParams:
        options, params = self.options, hello_imgui.RunnerParams()
        params.app_window_params.window_title = options.title
        params.app_window_params.window_geometry.size = options.size
        params.app_window_params.restore_previous_geometry = options.remember
        params.ini_disable = not options.remember
        params.ini_folder_type = hello_imgui.IniFolderType.app_user_config_folder
        params.ini_filename = "headsplat/window.ini"
        params.fps_idling.enable_idling = False
        # imgui smooths its own edges; eight samples a pixel would double what a frame costs without a graphics card.
        params.renderer_backend_options.open_gl_options.anti_aliasing_samples = 0
        params.use_imgui_test_engine = options.tests is not None
        windows = params.imgui_window_params
        windows.default_imgui_window_type = hello_imgui.DefaultImGuiWindowType.provide_full_screen_dock_space
        windows.show_menu_bar = windows.show_status_bar = True
        windows.show_menu_app = windows.show_menu_view = windows.show_status_fps = False
        windows.tweaked_theme.theme = hello_imgui.ImGuiTheme_.photoshop_style  # gray, as pictures are judged best
        windows.background_color = _BEHIND
        params.docking_params = self._layout()
        calls = params.callbacks
        calls.setup_imgui_style = _leave_background
        calls.pre_new_frame = self._guarded(self._wait)
        calls.show_gui = self._guarded(self._upload)
        calls.show_menus = self._panel(menus)
        calls.show_status = self._panel(status_bar)
        calls.after_swap = self._guarded(self._after)
        if options.tests is not None:
            calls.register_tests = options.tests
        return params

    def _layout(self) -> hello_imgui.DockingParams:
        layout = hello_imgui.DockingParams()
        # A panel on its own would be seen through: see _leave_background.
        layout.main_dock_space_node_flags |= imgui.DockNodeFlags_.no_undocking
        layout.docking_splits = [
            hello_imgui.DockingSplit(whole, name, direction, share) for name, whole, direction, share in DOCKS
        ]
        picture = hello_imgui.DockableWindow(
            "Avatar", "MainDockSpace", self._panel(self._picture), can_be_closed_=False
        )
        picture.imgui_window_flags = imgui.WindowFlags_.no_scrollbar | imgui.WindowFlags_.no_scroll_with_mouse
        others = [
            hello_imgui.DockableWindow(title, dock, self._panel(panel), is_visible_=visible)
            for title, dock, panel, visible in PANELS
        ]
        layout.dockable_windows = [picture, *others]
        return layout

    # hello_imgui calls these for every frame, in this order.

    def _wait(self) -> None:
        """Until there is something to show, or the user handles the window."""
        longest, pause = self._rhythm()
        while True:
            changed = self.session.advance()
            waited = time.monotonic() - self._framed
            if changed or waited >= longest:
                break
            time.sleep(pause)
        time.sleep(max(_SHORTEST - waited, 0.0))
        self._framed = time.monotonic()
        seconds = self.options.seconds
        if seconds is not None and self._framed - self._began > seconds:
            self._leave()

    def _rhythm(self) -> tuple[float, float]:
        """Seconds to the next frame of the window, at most, and from one look for a new picture to the next."""
        now, watch = time.monotonic(), self.session.watch
        if _is_handled():
            self._handled = now
            return _SHORTEST, _PAUSE
        if watch is not None and watch.training and now - self._handled > _ATTENTIVE:
            took = now - self._framed
            return min(max(took / SHARE, _LONGEST), _LONGEST_BESIDE), _PAUSE_BESIDE
        return _LONGEST, _PAUSE

    def _upload(self) -> None:
        """The newest pictures to the graphics card; shortcuts and dropped files."""
        if self._shown is None:
            self._shown, self._drops = Shown(Texture(), Texture()), Drops()
            self._began = time.monotonic()  # opening has taken its time
        assert self._drops is not None
        session, numbers = self.session, self._numbers
        self._numbers = session.picture_number, session.preview_number
        if session.picture is not None and self._numbers[0] != numbers[0]:
            self._shown.picture.show(session.picture)
            self._new_picture = True
        if session.preview is not None and self._numbers[1] != numbers[1]:
            self._shown.preview.show(session.preview)
        self._edits += [*self._drops.take(), *self._chosen()]
        self._edits += shortcuts(session.state)

    def _chosen(self) -> list[Edit]:
        """Files that were chosen in the system's dialog, which stays open while the window goes on."""
        if self._dialog is None or not self._dialog.ready(0):
            return []
        done, self._dialog = self._dialog, None
        return [Do("open", path) for path in done.result()]

    def _picture(self, state: Any) -> Iterable[Edit]:
        """The avatar."""
        across, high = imgui.get_content_region_avail()
        if imgui.get_frame_count() > _LAID_OUT:
            self.session.viewport = max(int(across), 1), max(int(high), 1)
        return [] if self._shown is None else picture_panel(state, self._shown)

    def _after(self) -> None:
        """The frame is on the screen: do what the panels asked for."""
        self.session.counters.swapped()
        if self._new_picture:
            self.session.counters.on_screen()
            self._new_picture = False
        edits, self._edits = self._edits, []
        if _CHOOSE in edits and self._dialog is None:
            self._dialog = dialogs.open_file("Open an avatar, a motion or a view", "", _KINDS)
        self.session.apply(edit for edit in edits if edit != _CHOOSE)
        if self.session.closing:
            self._leave()

    def _panel(self, panel: Callable[[Any], Iterable[Edit]]) -> Callable[[], None]:
        def shown() -> None:
            self._edits += panel(self.session.state)

        return self._guarded(shown)

    def _guarded(self, call: Callable[[], None]) -> Callable[[], None]:
        """`call` such that what it raises ends the window and is raised again from `run`, not from within C++."""

        def guarded() -> None:
            if self._failure is not None:
                return
            try:
                call()
            except BaseException as error:
                self._failure = error
                self._leave()

        return guarded

    def _leave(self) -> None:
        hello_imgui.get_runner_params().app_shall_exit = True


def _leave_background() -> None:
    """Let panels and docks stand on the cleared window: filling it twice more took most of a frame without a graphics
    card."""
    style = imgui.get_style()
    for surface in (imgui.Col_.window_bg, imgui.Col_.docking_empty_bg, imgui.Col_.menu_bar_bg):
        style.set_color_(surface, imgui.ImVec4(_BEHIND.x, _BEHIND.y, _BEHIND.z, 0))
    style.frame_border_size = style.frame_rounding = style.grab_rounding = 0
    # Without their borders, fields and buttons must stand out from the panels, and numbers from the grabs under them.
    style.set_color_(imgui.Col_.frame_bg, imgui.ImVec4(0.27, 0.27, 0.27, 1))
    for grab in (imgui.Col_.slider_grab, imgui.Col_.slider_grab_active):
        style.set_color_(grab, imgui.ImVec4(0.45, 0.45, 0.45, 1))


def _is_handled() -> bool:
    """Whether somebody moves the mouse, presses a key or drags something."""
    if imgui.get_current_context() is None or imgui.get_frame_count() < 1:
        return True
    io = imgui.get_io()
    moved = io.mouse_delta.x or io.mouse_delta.y or io.mouse_wheel
    return bool(moved or imgui.is_any_item_active() or imgui.is_any_mouse_down())


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
