"""The window, run by hello_imgui: panels show the session's state, and their edits are applied after each frame."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import glfw
import numpy as np
from imgui_bundle import hello_imgui, imgui
from imgui_bundle import portable_file_dialogs as dialogs
from imgui_bundle.glfw_utils import glfw_window_hello_imgui

from avatar.errors import HeadsplatError
from avatar.ops.packages import first_line
from avatar.ops.shared_buffer import SharingError
from viewer.gui.display import DISPLAY_ADVICE, check_display
from viewer.gui.panels import DOCKS, PANELS, Textures, reading_panel
from viewer.gui.panels.menus import menus, status_bar
from viewer.gui.panels.shortcuts import shortcuts
from viewer.gui.panels.viewport import viewport_panel
from viewer.gui.shared_check import may_take, report
from viewer.gui.texture import Texture
from viewer.session.edits import Do, Edit, OpenFile
from viewer.session.session import Session
from viewer.session.state import State
from viewer.session.training_view import TIME_FRACTION
from viewer.session.viewport import Viewport

log = logging.getLogger(__name__)

#: Minimum seconds between two frames of the window, and maximum while nothing changes. A frame of the window takes
#: longer than a check for changes, much longer without a graphics card.
_MIN_PERIOD = 1 / 120
_MAX_PERIOD = 1 / 30
_PAUSE = 0.001  # seconds between two checks for changes
#: Maximum of the last two during a training, whose Python code waits while this thread runs, and the seconds after the
#: last input of the user before they apply.
_MAX_PERIOD_TRAINING = 1 / 2
_PAUSE_TRAINING = 0.02
_INPUT_SECONDS = 1.0
_BACKGROUND = imgui.ImVec4(0.16, 0.16, 0.16, 1.0)
_CHOOSE = Do("choose file")
_FILE_FILTERS = ["all supported files", "*.avatar *.csv *.json *.jsonl *.txt *.npz *.npy", "all files", "*"]
_LAYOUT_FRAMES = 3  # after which panels have their final sizes


@dataclass(frozen=True)
class WindowOptions:
    """Options of the window."""

    title: str = "headsplat"
    size: tuple[int, int] = (1280, 760)
    remember: bool = True
    """store the panel layout in the user's configuration folder"""
    seconds: float | None = None
    """close after this time; None: when the user closes it"""
    tests: Callable[[], None] | None = None
    """registers tests of imgui's test engine, which then control the window"""


class Window:
    """Shows a session."""

    def __init__(self, session: Session, options: WindowOptions | None = None) -> None:
        self.session = session
        self.options = options or WindowOptions()
        self._edits: list[Edit] = []
        self._textures: Textures | None = None
        self._drops: Drops | None = None
        self._dialog: dialogs.open_file | None = None
        self._reading_is_visible = False  # whether the reading panel was visible in this frame
        self._numbers = (0, 0)  # of the image and the preview in the textures
        self._new_image = False
        self._failure: BaseException | None = None
        self._frame_at = self._began = self._input_at = time.monotonic()

    def run(self) -> np.ndarray | None:
        """Open the window and run until it is closed; returns its last frame, uint8 [H,W,3].

        Raises:
            HeadsplatError: there is no display, or it has no OpenGL.
        """
        check_display()
        self.session.viewport.available = None
        try:
            hello_imgui.run(self._params())
        except RuntimeError as error:
            if self._failure is None:
                raise HeadsplatError(
                    f"the window cannot be opened with OpenGL 3.3 ({first_line(error)}); {DISPLAY_ADVICE}"
                ) from error
        if self._failure is not None:
            raise self._failure
        return hello_imgui.final_app_window_screenshot()

    def _params(self) -> hello_imgui.RunnerParams:
        options = self.options
        params = hello_imgui.RunnerParams()
        params.app_window_params.window_title = options.title
        params.app_window_params.window_geometry.size = options.size
        params.app_window_params.restore_previous_geometry = options.remember
        params.ini_disable = not options.remember
        params.ini_folder_type = hello_imgui.IniFolderType.app_user_config_folder
        params.ini_filename = "headsplat/window.ini"
        params.fps_idling.enable_idling = False
        # imgui antialiases its edges; eight samples per pixel would double a frame's time without a graphics card.
        params.renderer_backend_options.open_gl_options.anti_aliasing_samples = 0
        params.use_imgui_test_engine = options.tests is not None
        windows = params.imgui_window_params
        windows.default_imgui_window_type = hello_imgui.DefaultImGuiWindowType.provide_full_screen_dock_space
        windows.show_menu_bar = windows.show_status_bar = True
        windows.show_menu_app = windows.show_menu_view = windows.show_status_fps = False
        windows.tweaked_theme.theme = hello_imgui.ImGuiTheme_.photoshop_style  # neutral gray, for judging images
        windows.background_color = _BACKGROUND
        params.docking_params = self._layout()
        calls = params.callbacks
        calls.setup_imgui_style = _set_style
        calls.pre_new_frame = self._guard(self._wait)
        calls.show_gui = self._guard(self._upload)
        calls.show_menus = self._collector(menus)
        calls.show_status = self._collector(status_bar)
        calls.after_swap = self._guard(self._after)
        calls.before_exit = self._release
        if options.tests is not None:
            calls.register_tests = options.tests
        return params

    def _layout(self) -> hello_imgui.DockingParams:
        layout = hello_imgui.DockingParams()
        # An undocked panel would be transparent: see _set_style.
        layout.main_dock_space_node_flags |= imgui.DockNodeFlags_.no_undocking
        layout.docking_splits = [
            hello_imgui.DockingSplit(parent, name, direction, ratio) for name, parent, direction, ratio in DOCKS
        ]
        viewport = hello_imgui.DockableWindow(
            "Avatar", "MainDockSpace", self._collector(self._viewport), can_be_closed_=False
        )
        viewport.imgui_window_flags = imgui.WindowFlags_.no_scrollbar | imgui.WindowFlags_.no_scroll_with_mouse
        panels = [
            hello_imgui.DockableWindow(title, dock, self._panel(panel), is_visible_=visible)
            for title, dock, panel, visible in PANELS
        ]
        layout.dockable_windows = [viewport, *panels]
        return layout

    # hello_imgui calls these for every frame, in this order.

    def _wait(self) -> None:
        """Wait for a new image, input of the user, or the end of the maximum period."""
        period, pause = self._timing()
        while True:
            changed = self.session.advance()
            waited = time.monotonic() - self._frame_at
            if changed or waited >= period:
                break
            time.sleep(pause)
        time.sleep(max(_MIN_PERIOD - waited, 0.0))
        self._frame_at = time.monotonic()
        seconds = self.options.seconds
        if seconds is not None and self._frame_at - self._began > seconds:
            self._exit()

    def _timing(self) -> tuple[float, float]:
        """Maximum seconds to the next frame of the window, and seconds between two checks for a new image."""
        now = time.monotonic()
        training = self.session.training
        if _has_input():
            self._input_at = now
            return _MIN_PERIOD, _PAUSE
        if training is not None and training.is_running and now - self._input_at > _INPUT_SECONDS:
            elapsed = now - self._frame_at
            return min(max(elapsed / TIME_FRACTION, _MAX_PERIOD), _MAX_PERIOD_TRAINING), _PAUSE_TRAINING
        return _MAX_PERIOD, _PAUSE

    def _upload(self) -> None:
        """Upload new images; collect edits of shortcuts and dropped files."""
        if self._textures is None:
            self._textures = Textures(Texture(), Texture())
            self._drops = Drops()
            self.session.viewport.keeps_images = may_take(self._textures.avatar, self.session.viewport.renderer.device)
            self._began = time.monotonic()  # not counting the time to open the window
        assert self._drops is not None
        session = self.session
        numbers = self._numbers
        viewport = session.viewport
        preview = session.preview
        self._numbers = viewport.image_number, preview.image_number
        if self._numbers[0] != numbers[0]:
            show_image(viewport, self._textures.avatar)
            self._new_image = True
        if preview.image is not None and self._numbers[1] != numbers[1]:
            self._textures.preview.upload(preview.image)
        self._edits += [*self._drops.take(), *self._dialog_edits()]
        self._edits += shortcuts(session.state)

    def _release(self) -> None:
        """Before the OpenGL context ends: release what CUDA shares with it."""
        if self._textures is not None:
            try:
                self._textures.avatar.release_shared()
            except SharingError as error:
                log.info("%s", error)

    def _dialog_edits(self) -> list[Edit]:
        """Edits for files from the system's dialog, which stays open while the window continues."""
        if self._dialog is None or not self._dialog.ready(0):
            return []
        done = self._dialog
        self._dialog = None
        return [OpenFile(Path(path)) for path in done.result()]

    def _viewport(self, state: State) -> Iterable[Edit]:
        """The avatar's image."""
        width, height = imgui.get_content_region_avail()
        if imgui.get_frame_count() > _LAYOUT_FRAMES:
            self.session.viewport.available = max(int(width), 1), max(int(height), 1)
        return [] if self._textures is None else viewport_panel(state, self._textures)

    def _after(self) -> None:
        """After the frame is on the screen: apply the edits of the panels."""
        self.session.counters.count_frame()
        if self._new_image:
            self.session.counters.record_display()
            self._new_image = False
        self.session.reader.wanted = self._reading_is_visible
        self._reading_is_visible = False
        edits = self._edits
        self._edits = []
        if _CHOOSE in edits and self._dialog is None:
            self._dialog = dialogs.open_file("Open an avatar, a motion or a view", "", _FILE_FILTERS)
        self.session.apply(edit for edit in edits if edit != _CHOOSE)
        if self.session.closing:
            self._exit()

    def _panel(self, panel: Callable[[State], Iterable[Edit]]) -> Callable[[], None]:
        """A panel of a dock, drawn where it is visible.

        In the first frame imgui also calls those behind others, hidden; what they need would be loaded then.
        """

        def visible(state: State) -> Iterable[Edit]:
            if imgui.internal.get_current_window().hidden:
                return ()
            self._reading_is_visible |= panel is reading_panel
            return panel(state)

        return self._collector(visible)

    def _collector(self, panel: Callable[[State], Iterable[Edit]]) -> Callable[[], None]:
        def draw() -> None:
            self._edits += panel(self.session.state)

        return self._guard(draw)

    def _guard(self, call: Callable[[], None]) -> Callable[[], None]:
        """`call`, whose exceptions close the window and are raised again by `run` instead of inside C++."""

        def guarded() -> None:
            if self._failure is not None:
                return
            try:
                call()
            except BaseException as error:
                self._failure = error
                self._exit()

        return guarded

    def _exit(self) -> None:
        hello_imgui.get_runner_params().app_shall_exit = True


def show_image(viewport: Viewport, texture: Texture) -> None:
    """Bring the newest image to the texture: from the GPU where it is there and that works, else from the host."""
    kept = viewport.kept_image
    if kept is not None:
        try:
            texture.take(kept.pixels, kept.pixels.device)
            return
        except Exception as error:  # whatever CUDA or OpenGL raise
            viewport.keeps_images = False
            report(f"memory shared by CUDA and OpenGL fails: {first_line(error)}")
    if viewport.image is not None:
        texture.upload(viewport.image)


class Drops:
    """Collects dropped files; created in the window's first frame."""

    def __init__(self) -> None:
        self._paths: list[str] = []
        # GLFW keeps no reference to the callback.
        callback: Any = self._add_paths  # its list argument is missing in the stubs
        glfw.set_drop_callback(glfw_window_hello_imgui(), callback)

    def take(self) -> list[Edit]:
        """An edit for each file since the last call."""
        paths = self._paths
        self._paths = []
        return [OpenFile(Path(path)) for path in paths]

    def _add_paths(self, window: Any, paths: list[str]) -> None:
        self._paths += paths


def _set_style() -> None:
    """Make panels and docks transparent: two more fills of the window take most of a frame without a graphics card."""
    style = imgui.get_style()
    for surface in (imgui.Col_.window_bg, imgui.Col_.docking_empty_bg, imgui.Col_.menu_bar_bg):
        style.set_color_(surface, imgui.ImVec4(_BACKGROUND.x, _BACKGROUND.y, _BACKGROUND.z, 0))
    style.frame_border_size = style.frame_rounding = style.grab_rounding = 0
    # Fields and buttons have no borders: they need contrast to the panels, and numbers to the grabs below them.
    style.set_color_(imgui.Col_.frame_bg, imgui.ImVec4(0.27, 0.27, 0.27, 1))
    for grab in (imgui.Col_.slider_grab, imgui.Col_.slider_grab_active):
        style.set_color_(grab, imgui.ImVec4(0.45, 0.45, 0.45, 1))


def _has_input() -> bool:
    """Whether the user moves the mouse, presses a button or drags an item."""
    if imgui.get_current_context() is None or imgui.get_frame_count() < 1:
        return True
    io = imgui.get_io()
    moved = io.mouse_delta.x or io.mouse_delta.y or io.mouse_wheel
    return bool(moved or imgui.is_any_item_active() or imgui.is_any_mouse_down())
