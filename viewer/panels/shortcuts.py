"""Keys, and the list of them under `?`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from imgui_bundle import imgui

from viewer.edits import Change, Do, Edit
from viewer.orbit import Orbit
from viewer.panels.menus import choose_file
from viewer.state import State


@dataclass(frozen=True)
class Shortcut:
    """A key and what it does."""

    keys: int
    name: str
    does: str
    edits: Callable[[State], Iterator[Edit]]


def _do(*edits: Do) -> Callable[[State], Iterator[Edit]]:
    return lambda state: iter(edits)


def _play(state: State) -> Iterator[Edit]:
    yield Change("timeline", replace(state.timeline, playing=not state.timeline.playing))


def _front(state: State) -> Iterator[Edit]:
    yield Change("view", replace(state.view, orbit=Orbit()))


def _help(state: State) -> Iterator[Edit]:
    yield Change("panels", replace(state.panels, help=not state.panels.help))


SHORTCUTS = (
    Shortcut(imgui.Key.space, "Space", "play or hold the motion", _play),
    Shortcut(imgui.Key.home, "Home", "look from the front", _front),
    Shortcut(imgui.Key.c, "C", "take the driver's face as the resting one", _do(Do("calibrate"))),
    Shortcut(imgui.Key.p, "P", "write the picture to a file", _do(Do("screenshot"))),
    Shortcut(imgui.Key.r, "R", "begin or end a recording: what drives, and the film", _do(Do("record"))),
    Shortcut(imgui.Key.o, "O", "open an avatar, a motion or a view", lambda state: choose_file()),
    Shortcut(imgui.Key.mod_shift | imgui.Key.slash, "?", "this list", _help),
    Shortcut(imgui.Key.mod_ctrl | imgui.Key.q, "Ctrl+Q", "close", _do(Do("close"))),
)


def shortcuts(state: State) -> Iterator[Edit]:
    """What the keys pressed ask for, and the list where it is open."""
    if not imgui.get_io().want_text_input:
        for shortcut in SHORTCUTS:
            if imgui.is_key_chord_pressed(shortcut.keys):
                yield from shortcut.edits(state)
    if state.panels.help:
        yield from _listed(state)


def _listed(state: State) -> Iterator[Edit]:
    flags = imgui.WindowFlags_.always_auto_resize | imgui.WindowFlags_.no_docking
    _, still_open = imgui.begin("Shortcuts", True, flags)
    for shortcut in SHORTCUTS:
        imgui.text(f"{shortcut.name:>8}   {shortcut.does}")
    for name, does in (("drag", "turn"), ("right drag", "pan"), ("wheel", "nearer"), ("2 clicks", "from the front")):
        imgui.text(f"{name:>10}   {does}")
    imgui.end()
    if not still_open:
        yield Change("panels", replace(state.panels, help=False))
