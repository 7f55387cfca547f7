"""Keyboard shortcuts, and the list of them under `?`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from imgui_bundle import imgui

from viewer.gui.panels.own_presets import preset_keys
from viewer.gui.panels.timeline import step_frames, toggle_playback
from viewer.render.orbit import Orbit
from viewer.session.edits import Change, Do, Edit
from viewer.session.expressions import at_rest
from viewer.session.state import State


@dataclass(frozen=True)
class Shortcut:
    """A key and its effect."""

    keys: int
    name: str
    description: str
    edits: Callable[[State], Iterator[Edit]]


def _do(*edits: Do) -> Callable[[State], Iterator[Edit]]:
    return lambda state: iter(edits)


def _step(frames: int) -> Callable[[State], Iterator[Edit]]:
    def step(state: State) -> Iterator[Edit]:
        if state.timeline.times:
            yield Change("timeline", step_frames(state.timeline, frames))

    return step


def _end(last: bool) -> Callable[[State], Iterator[Edit]]:
    """To the first or the last frame."""
    return lambda state: _step(len(state.timeline.times) * (1 if last else -1))(state)


def _mirror(state: State) -> Iterator[Edit]:
    yield Change("camera", replace(state.camera, mirrored=not state.camera.mirrored))


def _search(state: State) -> Iterator[Edit]:
    imgui.set_window_focus("Face")
    yield Change("panels", replace(state.panels, focus_search=True))


def _rest(state: State) -> Iterator[Edit]:
    yield Change("sliders", at_rest(state.sliders))


def _front(state: State) -> Iterator[Edit]:
    yield Change("camera", replace(state.camera, orbit=Orbit()))


def _brush(state: State) -> Iterator[Edit]:
    yield Change("editing", replace(state.editing, active=not state.editing.active))


def _undo(state: State) -> Iterator[Edit]:
    if state.editing.undo:
        yield Do("undo")


def _redo(state: State) -> Iterator[Edit]:
    if state.editing.redo:
        yield Do("redo")


def _help(state: State) -> Iterator[Edit]:
    yield Change("panels", replace(state.panels, help=not state.panels.help))


SHORTCUTS = (
    Shortcut(imgui.Key.space, "Space", "play or pause the motion", toggle_playback),
    Shortcut(imgui.Key.left_arrow, "Left", "previous frame", _step(-1)),
    Shortcut(imgui.Key.right_arrow, "Right", "next frame", _step(1)),
    Shortcut(imgui.Key.mod_ctrl | imgui.Key.left_arrow, "Ctrl+Left", "first frame", _end(last=False)),
    Shortcut(imgui.Key.mod_ctrl | imgui.Key.right_arrow, "Ctrl+Right", "last frame", _end(last=True)),
    Shortcut(imgui.Key.slash, "/", "search sliders", _search),
    Shortcut(imgui.Key.n, "N", "resting face: all sliders to 0", _rest),
    Shortcut(imgui.Key.home, "Home", "front view", _front),
    Shortcut(imgui.Key.m, "M", "mirror the image in the window", _mirror),
    Shortcut(imgui.Key.c, "C", "calibrate: take the performer's resting face", _do(Do("calibrate"))),
    Shortcut(imgui.Key.p, "P", "save the image to a file", _do(Do("snapshot"))),
    Shortcut(imgui.Key.r, "R", "start or stop recording motion and video", _do(Do("record"))),
    Shortcut(imgui.Key.b, "B", "paint with the mouse, or move the camera again", _brush),
    Shortcut(imgui.Key.mod_ctrl | imgui.Key.z, "Ctrl+Z", "undo the last edit of the avatar", _undo),
    Shortcut(imgui.Key.mod_ctrl | imgui.Key.mod_shift | imgui.Key.z, "Ctrl+Shift+Z", "redo it", _redo),
    Shortcut(imgui.Key.o, "O", "open an avatar, a motion or a view", _do(Do("choose file"))),
    Shortcut(imgui.Key.mod_shift | imgui.Key.slash, "?", "this list", _help),
    Shortcut(imgui.Key.mod_ctrl | imgui.Key.q, "Ctrl+Q", "close", _do(Do("close"))),
)

#: Mouse input, by location.
_MOUSE = {
    "in the image": (("drag", "orbit"), ("right drag", "pan"), ("wheel", "distance"), ("double click", "front view")),
    "in the image while painting": (("drag", "paint"), ("right drag", "orbit"), ("Shift+drag", "pan")),
    "on a slider": (("right click", "reset to 0"), ("Ctrl+click", "type a number")),
}
_NAME_WIDTH = 6.5  # heights of the font


def shortcuts(state: State) -> Iterator[Edit]:
    """Edits of the keys pressed, and the list where it is open."""
    if not imgui.get_io().want_text_input:
        for shortcut in SHORTCUTS:
            if imgui.is_key_chord_pressed(shortcut.keys):
                yield from shortcut.edits(state)
        yield from preset_keys(state)
    if state.panels.help:
        yield from _list(state)


def _list(state: State) -> Iterator[Edit]:
    """All shortcuts, initially in the center of the window."""
    flags = imgui.WindowFlags_.always_auto_resize | imgui.WindowFlags_.no_docking
    center = imgui.get_main_viewport().get_center()
    imgui.set_next_window_pos(center, imgui.Cond_.appearing, imgui.ImVec2(0.5, 0.5))
    imgui.set_next_window_bg_alpha(1.0)
    _, still_open = imgui.begin("Shortcuts", True, flags)
    _rows("keys", [(shortcut.name, shortcut.description) for shortcut in SHORTCUTS])
    own = [(str(preset.key), preset.name) for preset in state.presets if preset.key is not None]
    for title, rows in (({"presets of this avatar": own} if own else {}) | _MOUSE).items():
        imgui.separator_text(title)
        _rows(title, rows)
    imgui.end()
    if not still_open:
        yield Change("panels", replace(state.panels, help=False))


def _rows(name: str, rows: Iterable[tuple[str, str]]) -> None:
    if not imgui.begin_table(name, 2, imgui.TableFlags_.sizing_fixed_fit):
        return
    imgui.table_setup_column("", imgui.TableColumnFlags_.width_fixed, _NAME_WIDTH * imgui.get_font_size())
    for keys, description in rows:
        imgui.table_next_column()
        imgui.text(keys)
        imgui.table_next_column()
        imgui.text(description)
    imgui.end_table()
