"""Panels as functions from the state to edits: imgui without a window."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip(
    "imgui_bundle", reason="imgui-bundle cannot be loaded: apt install libgl1 libx11-6", exc_type=ImportError
)

from imgui_bundle import imgui

from avatar.common.latency import LatencyMeter
from viewer.gui.panels import PANELS, Panel
from viewer.gui.panels.face import face_panel
from viewer.gui.panels.latency import latency_panel
from viewer.gui.panels.shortcuts import SHORTCUTS
from viewer.gui.panels.timeline import clock, timeline_panel
from viewer.session.edits import Change, Edit
from viewer.session.expressions import PRESETS
from viewer.session.state import SLIDERS, TIMELINE, Choice, Sliders, State, Status, Subject, Timeline

OWN = ("expr_000", "jawOpen", "eyelidLeft", "eyelidRight")
CHOICES = (Choice(SLIDERS, "sliders"), Choice(TIMELINE, "motion file"), Choice("webcam", "camera 0"))
REST = State(Subject("a.avatar", 9, 1, OWN, ((-3.0, 3.0), (0.0, 1.0), (0.0, 1.0), (0.0, 1.0))), CHOICES)
MOTION = Timeline("m.csv", (0.0, 0.04, 0.08, 0.12), 0.16, time=0.08, notes=("4 frames", "all can be shown"))
POSED = Sliders({"jawOpen": 0.5}, {"expr_000": -1.0}, (10.0, 0.0, 0.0), (5.0, 5.0), (3.0, 0.0), search="")


def driven_live() -> State:
    meter = LatencyMeter()
    for k in range(9):
        meter.add({"camera": 0.1 * k, "landmarks": 0.1 * k + 0.02, "drawn": 0.1 * k + 0.05, "shown": 0.1 * k + 0.06})
    facts = {"input": {"rate": 29.7, "received": 9, "dropped": 2}}
    return replace(
        REST, driving="webcam", status=Status(source=facts, window=meter.report(), totals=meter.totals(5), stale=1)
    )


STATES = {
    "rest": REST,
    "posed": replace(REST, sliders=POSED),
    "searching": replace(REST, sliders=replace(POSED, search="jaw")),
    "motion": replace(REST, driving=TIMELINE, timeline=MOTION),
    "motion, driven by another": replace(REST, timeline=replace(MOTION, playing=True)),
    "live": driven_live(),
}


@pytest.fixture(autouse=True, scope="module")
def screen() -> Iterator[None]:
    context = imgui.create_context()
    imgui.set_current_context(context)
    io = imgui.get_io()
    io.display_size = imgui.ImVec2(400, 3000)
    io.backend_flags |= imgui.BackendFlags_.renderer_has_textures
    io.set_ini_filename("")
    yield
    imgui.destroy_context(context)


def edits(panel: Panel, state: State) -> list[Edit]:
    """What a panel wants in a frame in which nobody touches it, but for what a test puts in imgui's place."""
    imgui.new_frame()
    imgui.set_next_window_size(imgui.ImVec2(390, 2990))
    imgui.begin("panel")
    found = list(panel(state))
    imgui.end()
    imgui.render()
    return found


def clicks(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The button with that name is clicked in every frame."""
    for kind in ("button", "small_button"):
        monkeypatch.setattr(imgui, kind, lambda words, *_: words.split("#")[0] == name)


def drags(monkeypatch: pytest.MonkeyPatch, name: str, value: float) -> None:
    """The slider with that name is dragged to a value in every frame."""

    def slider(words: str, before: float, *_: Any) -> tuple[bool, float]:
        return (True, value) if words == f"##{name}" else (False, before)

    monkeypatch.setattr(imgui, "slider_float", slider)
    monkeypatch.setattr(imgui, "slider_int", slider)


@pytest.mark.parametrize("state", STATES.values(), ids=STATES.keys())
@pytest.mark.parametrize("panel", [row[2] for row in PANELS], ids=[row[0] for row in PANELS])
def test_a_panel_that_nobody_touches_asks_for_nothing(panel: Panel, state: State) -> None:
    assert [edit for _ in range(2) for edit in edits(panel, state)] == []


def test_a_preset_is_the_whole_face(monkeypatch: pytest.MonkeyPatch) -> None:
    clicks(monkeypatch, "smile")
    smile = next(preset for preset in PRESETS if preset.name == "smile")
    assert edits(face_panel, STATES["posed"]) == [Change("sliders", replace(POSED, weights=smile.weights))]


def test_a_mirrored_slider_moves_its_twin(monkeypatch: pytest.MonkeyPatch) -> None:
    drags(monkeypatch, "browDownLeft", 0.5)
    found = edits(face_panel, REST)
    assert found == [Change("sliders", Sliders({"browDownLeft": 0.5, "browDownRight": 0.5}))]


def test_a_groups_reset_leaves_the_other_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imgui, "small_button", lambda words: words == "reset##jaw")
    state = replace(REST, sliders=Sliders({"jawOpen": 0.5, "browInnerUp": 0.2}, head=(5.0, 0.0, 0.0)))
    found = edits(face_panel, state)
    assert found == [Change("sliders", Sliders({"browInnerUp": 0.2}, head=(5.0, 0.0, 0.0)))]


def test_a_search_shows_what_fits_and_the_heads_own(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []

    def slider(words: str, before: float, *_: Any) -> tuple[bool, float]:
        shown.append(words)
        return False, before

    monkeypatch.setattr(imgui, "slider_float", slider)
    edits(face_panel, STATES["searching"])
    assert shown == [*(f"##{name}" for name in ("jawForward", "jawLeft", "jawRight", "jawOpen")), "##jawOpen"]


def test_the_faces_text_goes_to_the_clipboard(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[str] = []
    clicks(monkeypatch, "copy")
    monkeypatch.setattr(imgui, "set_clipboard_text", kept.append)
    edits(face_panel, STATES["posed"])
    assert kept == ["--expression jawOpen=0.5 expr_000=-1 --head-pose=10,0,0"]


def test_who_drives_changes_only_by_the_button(monkeypatch: pytest.MonkeyPatch) -> None:
    drags(monkeypatch, "jawOpen", 0.5)  # there is none to drag
    assert edits(face_panel, STATES["live"]) == []
    clicks(monkeypatch, "drive by sliders")
    assert edits(face_panel, STATES["live"]) == [Change("driving", SLIDERS)]


def test_a_scrubbed_motion_is_at_that_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    drags(monkeypatch, "scrub", 1)
    assert edits(timeline_panel, STATES["motion"]) == [Change("timeline", replace(MOTION, time=0.04))]


def test_a_step_holds_the_motion(monkeypatch: pytest.MonkeyPatch) -> None:
    clicks(monkeypatch, ">")
    state = replace(STATES["motion"], timeline=replace(MOTION, playing=True))
    assert edits(timeline_panel, state) == [Change("timeline", replace(MOTION, time=0.12))]


def test_playing_a_motion_lets_it_drive(monkeypatch: pytest.MonkeyPatch) -> None:
    clicks(monkeypatch, "play")
    wanted = [Change("timeline", replace(MOTION, playing=True)), Change("driving", TIMELINE)]
    assert edits(timeline_panel, STATES["motion, driven by another"]) == wanted


def test_the_speed_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    drags(monkeypatch, "speed", 2.5)
    assert edits(timeline_panel, STATES["motion"]) == [Change("timeline", replace(MOTION, speed=2.5))]


def test_a_stage_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(imgui, "text", told.append)
    monkeypatch.setattr(imgui, "text_wrapped", told.append)
    edits(latency_panel, STATES["live"])
    assert {"camera to shown", "landmarks are found", "20.0", "60.0", "29.7"} <= set(told)
    assert {"9 received", "2 passed over, as newer ones came", "1 picture showed something old"} <= set(told)


def test_times_are_told_to_the_millisecond() -> None:
    assert [clock(seconds) for seconds in (0, 0.0334, 59.9996, 3725.25)] == [
        "0:00.000",
        "0:00.033",
        "1:00.000",
        "62:05.250",
    ]


@pytest.mark.parametrize(("name", "frame"), [("Left", 1), ("Right", 3), ("Ctrl+Left", 0), ("Ctrl+Right", 3)])
def test_keys_step_through_the_motion(name: str, frame: int) -> None:
    shortcut = next(shortcut for shortcut in SHORTCUTS if shortcut.name == name)
    state = replace(STATES["motion"], timeline=replace(MOTION, playing=True))
    assert list(shortcut.edits(state)) == [Change("timeline", replace(MOTION.at(frame), playing=False))]
    assert list(shortcut.edits(REST)) == []


def test_space_plays_only_where_there_is_a_motion() -> None:
    space = next(shortcut for shortcut in SHORTCUTS if shortcut.name == "Space")
    assert list(space.edits(REST)) == []
    assert list(space.edits(STATES["motion"])) == [
        Change("timeline", replace(MOTION, playing=True)),
        Change("driving", TIMELINE),
    ]


def test_no_two_shortcuts_share_a_key() -> None:
    keys = [int(shortcut.keys) for shortcut in SHORTCUTS]
    assert len(keys) == len(set(keys))
