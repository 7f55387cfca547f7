"""The window of `headsplat film`: the camera's image as in a mirror, what to do in large letters, what was shown."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
from imgui_bundle import hello_imgui, imgui

from avatar.errors import HeadsplatError
from viewer.gui.display import DISPLAY_ADVICE, check_display
from viewer.gui.texture import Texture
from viewer.session.film_view import Command, FilmView

_PERIOD = 1 / 30  # seconds of a frame of the window
#: Of one while no new image comes, for so long: what works meanwhile needs the processor more.
_IDLE_PERIOD = 1 / 4
_IDLE_SECONDS = 1.0
_SIZE = (1180, 760)
_PANEL = 300.0  # pixels: width of the panel at the right
_FOOT = 148.0  # height of the part below the image
_MARGIN = 20.0
#: Of the width of both images, beside an avatar.
_CAMERA_SHARE = 0.55
_RING = 86.0  # radius
#: Sizes of text, pixels.
_LARGE = 30.0
_MEDIUM = 19.0
_SMALL = 16.0
_LINE = 21.0
#: Gap between two sectors of the ring, radians.
_GAP = 0.07

_Color = tuple[float, float, float]
_BACKGROUND: _Color = (0.09, 0.10, 0.11)
_TEXT: _Color = (0.94, 0.94, 0.93)
_FAINT: _Color = (0.52, 0.54, 0.56)
_LINE_COLOR: _Color = (0.22, 0.23, 0.25)
_GREEN: _Color = (0.42, 0.80, 0.52)
_AMBER: _Color = (1.0, 0.73, 0.33)
_RED: _Color = (0.93, 0.30, 0.27)

_KEYS: dict[Command, tuple[imgui.Key, ...]] = {
    "skip": (imgui.Key.s,),
    "repeat": (imgui.Key.r,),
    "pause": (imgui.Key.space,),
    "quit": (imgui.Key.escape, imgui.Key.q),
}


class FilmWindow:
    """Shows a recording until it is over or the user closes the window."""

    def __init__(
        self,
        view: Callable[[], FilmView],
        command: Callable[[Command], object],
        *,
        title: str = "headsplat film",
        tests: Callable[[], None] | None = None,
    ) -> None:
        """
        Args:
            view: what to show, called for every frame of the window.
            command: receives what the user's keys and the closed window ask for.
            title: of the window.
            tests: registers tests of imgui's test engine, which then control the window.
        """
        self._view = view
        self._command = command
        self._title = title
        self._tests = tests
        self._textures: dict[str, Texture] = {}
        self._numbers: dict[str, int] = {}
        self._frame_at = 0.0
        self._image_at = 0.0  # of the last new image
        self._closing = False
        self._failure: BaseException | None = None

    def run(self) -> None:
        """Open the window and run until it is closed.

        Raises:
            HeadsplatError: there is no display, or it has no OpenGL.
        """
        check_display()
        try:
            hello_imgui.run(self._params())
        except RuntimeError as error:
            if self._failure is None:
                raise HeadsplatError(
                    f"the window cannot be opened with OpenGL 3.3 ({error}); {DISPLAY_ADVICE}"
                ) from error
        if self._failure is not None:
            raise self._failure
        if not self._closing:
            self._command("quit")

    def _params(self) -> hello_imgui.RunnerParams:
        params = hello_imgui.RunnerParams()
        params.app_window_params.window_title = self._title
        params.app_window_params.window_geometry.size = _SIZE
        params.ini_disable = True
        params.fps_idling.enable_idling = False
        params.use_imgui_test_engine = self._tests is not None
        windows = params.imgui_window_params
        windows.default_imgui_window_type = hello_imgui.DefaultImGuiWindowType.provide_full_screen_window
        windows.background_color = imgui.ImVec4(*_BACKGROUND, 1.0)
        params.callbacks.pre_new_frame = self._wait
        params.callbacks.show_gui = self._guarded
        if self._tests is not None:
            params.callbacks.register_tests = self._tests
        return params

    def _wait(self) -> None:
        is_idle = self._frame_at > self._image_at + _IDLE_SECONDS
        time.sleep(max(self._frame_at + (_IDLE_PERIOD if is_idle else _PERIOD) - time.monotonic(), 0.0))
        self._frame_at = time.monotonic()

    def _guarded(self) -> None:
        """Show a frame; an exception closes the window and is raised again by `run` instead of inside C++."""
        if self._failure is not None:
            return
        try:
            self._show(self._view())
        except BaseException as error:
            self._failure = error
            self._close()

    def _close(self) -> None:
        self._closing = True
        hello_imgui.get_runner_params().app_shall_exit = True

    def _show(self, view: FilmView) -> None:
        if view.over:
            self._close()
            return
        for command, keys in _KEYS.items():
            if any(imgui.is_key_pressed(key, False) for key in keys):
                self._command(command)
        self._upload("camera", view.image, view.number)
        self._upload("avatar", view.avatar, view.avatar_number)
        size = imgui.get_io().display_size
        _fill(0, 0, size.x, size.y, _BACKGROUND)
        right = size.x - _PANEL - _MARGIN
        bottom = size.y - _FOOT
        self._images(view, _MARGIN, _MARGIN, right - _MARGIN, bottom - _MARGIN)
        _foot(view, _MARGIN, bottom, size.x - 2 * _MARGIN, size.y)
        center = right + _MARGIN + (_PANEL - _MARGIN) / 2
        if view.ring:
            _ring(view, center, _MARGIN + _RING + 8)
        _items(view, right + _MARGIN + 18, 2 * _MARGIN + 2 * _RING + 22)

    def _upload(self, name: str, image: np.ndarray | None, number: int) -> None:
        if image is not None and number != self._numbers.get(name):
            self._textures.setdefault(name, Texture()).upload(image)
            self._numbers[name] = number
            self._image_at = time.monotonic()

    def _images(self, view: FilmView, left: float, top: float, right: float, bottom: float) -> None:
        """The camera's image with the mark of the recording, and beside it the avatar where there is one."""
        if "camera" not in self._textures:
            _fill(left, top, right, bottom, _LINE_COLOR)
            return
        middle = right
        if view.avatar is not None:
            middle = left + _CAMERA_SHARE * (right - left)
            self._mirrored("avatar", middle + _MARGIN, top, right, bottom)
        x, y = self._mirrored("camera", left, top, middle, bottom)
        draw = imgui.get_window_draw_list()
        if view.recording:
            draw.add_rect_filled(
                imgui.ImVec2(x + 12, y + 12), imgui.ImVec2(x + 126, y + 42), _packed((0.0, 0.0, 0.0), 0.55), 15.0
            )
            pulse = 0.8 + 0.2 * math.cos(2 * math.pi * time.monotonic())
            draw.add_circle_filled(imgui.ImVec2(x + 29, y + 27), 6.0, _packed(_RED, pulse))
            _text(x + 44, y + 18, "recording", _TEXT, _SMALL)

    def _mirrored(self, name: str, left: float, top: float, right: float, bottom: float) -> tuple[float, float]:
        """An image as large as fits; returns its upper left corner."""
        texture = self._textures[name]
        width, height = texture.size
        scale = min((right - left) / width, (bottom - top) / height)
        x = (left + right - scale * width) / 2
        y = (top + bottom - scale * height) / 2
        corners = imgui.ImVec2(x, y), imgui.ImVec2(x + scale * width, y + scale * height)
        white = _packed((1.0, 1.0, 1.0))
        draw = imgui.get_window_draw_list()
        draw.add_image_rounded(texture.reference(), *corners, imgui.ImVec2(1, 0), imgui.ImVec2(0, 1), white, 10.0)
        return x, y


def _foot(view: FilmView, left: float, top: float, width: float, bottom: float) -> None:
    """The warning, what to do in large letters, progress and keys."""
    if view.warning:
        imgui.get_window_draw_list().add_circle_filled(imgui.ImVec2(left + 7, top + 20), 5.0, _packed(_AMBER))
        _text(left + 22, top + 10, view.warning, _AMBER, _MEDIUM)
    size = _LARGE
    while size > _MEDIUM and _width(view.words, size) > width:
        size -= 1.0
    _text(left, top + 40, view.words, _TEXT, size)
    line = bottom - 46
    _fill(left, line, left + width, line + 4, _LINE_COLOR, 2.0)
    _fill(left, line, left + width * min(max(view.share, 0.012), 1.0), line + 4, _GREEN, 2.0)
    _text(left, line + 14, view.note, _FAINT, _SMALL)
    _text(left + width - _width(view.keys, _SMALL), line + 14, view.keys, _FAINT, _SMALL)


def _ring(view: FilmView, x: float, y: float) -> None:
    """The sectors of the ring, mirrored as the image is, and where the head points."""
    draw = imgui.get_window_draw_list()
    center = imgui.ImVec2(x, y)
    step = 2 * math.pi / len(view.ring)
    for index, share in enumerate(view.ring):
        middle = math.pi + index * step  # the person's left is at the left; screens count angles clockwise
        start, end = middle - step / 2 + _GAP / 2, middle + step / 2 - _GAP / 2
        _arc(center, start, end, _LINE_COLOR)
        if share > 0:
            half = (end - start) / 2 * min(share, 1.0)
            _arc(center, middle - half, middle + half, _GREEN)
    if view.pointing is not None:
        across, up = view.pointing
        length = max(math.hypot(across, up), 1.0)
        reach = _RING - 20
        place = imgui.ImVec2(x - reach * across / length, y - reach * up / length)
        draw.add_circle_filled(place, 8.0, _packed(_TEXT))


def _arc(center: imgui.ImVec2, start: float, end: float, color: _Color) -> None:
    draw = imgui.get_window_draw_list()
    draw.path_clear()
    draw.path_arc_to(center, _RING, start, end, 24)
    draw.path_stroke(_packed(color), 9.0)


def _items(view: FilmView, left: float, top: float) -> None:
    """The list of what is to be shown."""
    draw = imgui.get_window_draw_list()
    for index, (title, share, status) in enumerate(view.items):
        y = top + index * _LINE
        middle = imgui.ImVec2(left, y + 9)
        if status == "done":
            draw.add_circle_filled(middle, 6.0, _packed(_GREEN))
        elif status == "given up":
            draw.add_line(imgui.ImVec2(left - 5, y + 9), imgui.ImVec2(left + 5, y + 9), _packed(_FAINT), 2.0)
        else:
            draw.add_circle(middle, 5.5, _packed(_AMBER if status == "asked" else _FAINT), 20, 1.6)
            if share > 0:
                draw.path_clear()
                draw.path_line_to(middle)
                draw.path_arc_to(middle, 5.5, -math.pi / 2, -math.pi / 2 + 2 * math.pi * share, 20)
                draw.path_fill_concave(_packed(_AMBER if status == "asked" else _FAINT))
        _text(left + 18, y, title, _TEXT if status in ("asked", "done") else _FAINT, _SMALL)


def _packed(color: _Color, alpha: float = 1.0) -> int:
    return int(imgui.color_convert_float4_to_u32(imgui.ImVec4(*color, alpha)))


def _fill(left: float, top: float, right: float, bottom: float, color: _Color, rounding: float = 0.0) -> None:
    draw = imgui.get_window_draw_list()
    draw.add_rect_filled(imgui.ImVec2(left, top), imgui.ImVec2(right, bottom), _packed(color), rounding)


def _text(x: float, y: float, text: str, color: _Color, size: float) -> None:
    imgui.get_window_draw_list().add_text(imgui.get_font(), size, imgui.ImVec2(x, y), _packed(color), text)


def _width(text: str, size: float) -> float:
    imgui.push_font(None, size)
    width = imgui.calc_text_size(text).x
    imgui.pop_font()
    return float(width)
