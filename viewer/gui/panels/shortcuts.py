"""Keys, and the list of them under `?`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from imgui_bundle import imgui

from viewer.gui.panels.timeline import play_or_hold, stepped
from viewer.render.orbit import Orbit
from viewer.session.edits import Change, Do, Edit
from viewer.session.expressions import at_rest
from viewer.session.state import State


@dataclass(frozen=True)
class Shortcut:
    """A key and what it does."""

    keys: int
    name: str
    does: str
    edits: Callable[[State], Iterator[Edit]]


def _do(*edits: Do) -> Callable[[State], Iterator[Edit]]:
    return lambda state: iter(edits)


def _step(frames: int) -> Callable[[State], Iterator[Edit]]:
    def step(state: State) -> Iterator[Edit]:
        if state.timeline.times:
            yield Change("timeline", stepped(state.timeline, frames))

    return step


def _end(last: bool) -> Callable[[State], Iterator[Edit]]:
    """To the first or the last frame."""
    return lambda state: _step(len(state.timeline.times) * (1 if last else -1))(state)


def _mirror(state: State) -> Iterator[Edit]:
    yield Change("view", replace(state.view, mirrored=not state.view.mirrored))


def _find(state: State) -> Iterator[Edit]:
    imgui.set_window_focus("Face")
    yield Change("panels", replace(state.panels, find=True))


def _rest(state: State) -> Iterator[Edit]:
    yield Change("sliders", at_rest(state.sliders))


def _front(state: State) -> Iterator[Edit]:
    yield Change("view", replace(state.view, orbit=Orbit()))


def _help(state: State) -> Iterator[Edit]:
    yield Change("panels", replace(state.panels, help=not state.panels.help))


SHORTCUTS = (
    Shortcut(imgui.Key.space, "Space", "play or hold the motion", play_or_hold),
    Shortcut(imgui.Key.left_arrow, "Left", "a frame back", _step(-1)),
    Shortcut(imgui.Key.right_arrow, "Right", "a frame on", _step(1)),
    Shortcut(imgui.Key.mod_ctrl | imgui.Key.left_arrow, "Ctrl+Left", "to the first frame", _end(last=False)),
    Shortcut(imgui.Key.mod_ctrl | imgui.Key.right_arrow, "Ctrl+Right", "to the last frame", _end(last=True)),
    Shortcut(imgui.Key.slash, "/", "find a slider", _find),
    Shortcut(imgui.Key.n, "N", "the resting face: all sliders to 0", _rest),
    Shortcut(imgui.Key.home, "Home", "look from the front", _front),
    Shortcut(imgui.Key.m, "M", "mirror the picture in the window", _mirror),
    Shortcut(imgui.Key.c, "C", "take the driver's face as the resting one", _do(Do("calibrate"))),
    Shortcut(imgui.Key.p, "P", "write the picture to a file", _do(Do("screenshot"))),
    Shortcut(imgui.Key.r, "R", "begin or end a recording: what drives, and the film", _do(Do("record"))),
    Shortcut(imgui.Key.o, "O", "open an avatar, a motion or a view", _do(Do("choose file"))),
    Shortcut(imgui.Key.mod_shift | imgui.Key.slash, "?", "this list", _help),
    Shortcut(imgui.Key.mod_ctrl | imgui.Key.q, "Ctrl+Q", "close", _do(Do("close"))),
)

#: What the mouse does, by where.
_MOUSE = {
    "in the picture": (("drag", "turn"), ("right drag", "pan"), ("wheel", "nearer"), ("2 clicks", "from the front")),
    "on a slider": (("right click", "back to rest"), ("Ctrl+click", "type a number")),
}
_NAME_WIDTH = 6.5  # heights of the font


def shortcuts(state: State) -> Iterator[Edit]:
    """What the keys pressed ask for, and the list where it is open."""
    if not imgui.get_io().want_text_input:
        for shortcut in SHORTCUTS:
            if imgui.is_key_chord_pressed(shortcut.keys):
                yield from shortcut.edits(state)
    if state.panels.help:
        yield from _listed(state)


def _listed(state: State) -> Iterator[Edit]:
    """All of them, in the middle of the window at first."""
    flags = imgui.WindowFlags_.always_auto_resize | imgui.WindowFlags_.no_docking
    middle = imgui.get_main_viewport().get_center()
    imgui.set_next_window_pos(middle, imgui.Cond_.appearing, imgui.ImVec2(0.5, 0.5))
    imgui.set_next_window_bg_alpha(1.0)
    _, still_open = imgui.begin("Shortcuts", True, flags)
    _rows("keys", [(shortcut.name, shortcut.does) for shortcut in SHORTCUTS])
    for title, listed in _MOUSE.items():
        imgui.separator_text(title)
        _rows(title, listed)
    imgui.end()
    if not still_open:
        yield Change("panels", replace(state.panels, help=False))


def _rows(name: str, listed: Iterable[tuple[str, str]]) -> None:
    if not imgui.begin_table(name, 2, imgui.TableFlags_.sizing_fixed_fit):
        return
    imgui.table_setup_column("", imgui.TableColumnFlags_.width_fixed, _NAME_WIDTH * imgui.get_font_size())
    for keys, does in listed:
        imgui.table_next_column()
        imgui.text(keys)
        imgui.table_next_column()
        imgui.text(does)
    imgui.end_table()
