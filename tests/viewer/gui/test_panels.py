"""Panels as functions from the state to edits, with imgui and no window."""

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
from avatar.driving.live.samples import LiveStats
from avatar.performance.mixing.presets import PRESETS
from viewer.gui.panels import PANELS, Panel
from viewer.gui.panels.face import face_panel
from viewer.gui.panels.latency import latency_panel
from viewer.gui.panels.shortcuts import SHORTCUTS
from viewer.gui.panels.source import source_panel
from viewer.gui.panels.timeline import time_text, timeline_panel
from viewer.gui.panels.view import view_panel
from viewer.gui.panels.wings.reading import reading_panel
from viewer.session.edits import Change, Edit, SelectSource, SetAppearance
from viewer.session.mix import Mix
from viewer.session.state import (
    SLIDERS,
    TIMELINE,
    AvatarInfo,
    FaceReading,
    Panels,
    Phrase,
    Sliders,
    SourceChoice,
    State,
    Status,
    Timeline,
)
from viewer.session.wings.action_units import face_at, units_of

MODEL = ("expr_000", "jawOpen", "eyelidLeft", "eyelidRight")
CHOICES = (SourceChoice(SLIDERS, "sliders"), SourceChoice(TIMELINE, "motion file"), SourceChoice("webcam", "camera 0"))
REST = State(AvatarInfo("a.avatar", 9, 1, MODEL, ((-3.0, 3.0), (0.0, 1.0), (0.0, 1.0), (0.0, 1.0))), CHOICES)
MOTION = Timeline("m.csv", (0.0, 0.04, 0.08, 0.12), 0.16, time=0.08, notes=("4 frames", "all can be shown"))
LOOKS = replace(REST, mix=Mix(("plain", "beard"), (0.75, 0.25)))
READ = FaceReading(
    label="happiness",
    distribution=(("happiness", 0.9), ("neutral", 0.1)),
    affect=(0.6, 0.3),
    units=tuple(unit for unit in units_of({"mouthSmileLeft": 0.7}) if unit.letter),
    reasons=(("mouthSmileLeft", 0.41), ("at rest", -0.02)),
    gaze="left (20, 0 deg)",
    lids="blink",
    head="3, -2, 0 deg",
    gesture="nod",
    speech=0.7,
    learning=True,
)
POSED = Sliders({"jawOpen": 0.5}, {"expr_000": -1.0}, (10.0, 0.0, 0.0), (5.0, 5.0), (3.0, 0.0), search="")


def live_state() -> State:
    meter = LatencyMeter()
    for k in range(9):
        meter.add({"camera": 0.1 * k, "landmarks": 0.1 * k + 0.02, "drawn": 0.1 * k + 0.05, "shown": 0.1 * k + 0.06})
    live: LiveStats = {"input": {"rate": 29.7, "received": 9, "dropped": 2}}
    return replace(
        REST, source="webcam", status=Status(live=live, latency=meter.report(), totals=meter.totals(5), stale=1)
    )


STATES = {
    "rest": REST,
    "posed": replace(REST, sliders=POSED),
    "searching": replace(REST, sliders=replace(POSED, search="jaw")),
    "motion": replace(REST, source=TIMELINE, timeline=MOTION),
    "motion of an inactive source": replace(REST, timeline=replace(MOTION, playing=True)),
    "live": live_state(),
    "several recordings": LOOKS,
    "reading": replace(REST, reading=READ),
    "no reading": replace(REST, reading=FaceReading(note="no face")),
    "a text": replace(REST, panels=Panels(phrase=Phrase("hapy", "not known", failed=True))),
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
    """The edits of a panel in a frame without input, except for what a test replaces in imgui."""
    imgui.new_frame()
    imgui.set_next_window_size(imgui.ImVec2(390, 2990))
    imgui.begin("panel")
    found = list(panel(state))
    imgui.end()
    imgui.render()
    return found


def clicks(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Click the button with that name in every frame."""
    for kind in ("button", "small_button"):
        monkeypatch.setattr(imgui, kind, lambda text, *_: text.split("#")[0] == name)


def drags(monkeypatch: pytest.MonkeyPatch, name: str, value: float) -> None:
    """Drag the slider with that name to a value in every frame."""

    def slider(text: str, before: float, *_: Any) -> tuple[bool, float]:
        return (True, value) if text == f"##{name}" else (False, before)

    monkeypatch.setattr(imgui, "slider_float", slider)
    monkeypatch.setattr(imgui, "slider_int", slider)


@pytest.mark.parametrize("state", STATES.values(), ids=STATES.keys())
@pytest.mark.parametrize("panel", [row[2] for row in PANELS], ids=[row[0] for row in PANELS])
def test_a_panel_without_input_has_no_edits(panel: Panel, state: State) -> None:
    assert [edit for _ in range(2) for edit in edits(panel, state)] == []


def test_a_preset_replaces_all_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    clicks(monkeypatch, "smile")
    smile = next(preset for preset in PRESETS if preset.name == "smile")
    changed = Change("sliders", replace(POSED, weights=smile.weights), smooth=True)
    assert edits(face_panel, STATES["posed"]) == [changed]


def test_a_mirrored_slider_moves_its_counterpart(monkeypatch: pytest.MonkeyPatch) -> None:
    drags(monkeypatch, "browDownLeft", 0.5)
    found = edits(face_panel, REST)
    assert found == [Change("sliders", Sliders({"browDownLeft": 0.5, "browDownRight": 0.5}))]


def test_reset_of_a_group_keeps_the_other_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imgui, "small_button", lambda text: text == "reset##jaw")
    state = replace(REST, sliders=Sliders({"jawOpen": 0.5, "browInnerUp": 0.2}, head=(5.0, 0.0, 0.0)))
    found = edits(face_panel, state)
    assert found == [Change("sliders", Sliders({"browInnerUp": 0.2}, head=(5.0, 0.0, 0.0)))]


def test_a_search_shows_matching_sliders_and_the_head_models(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []

    def slider(text: str, before: float, *_: Any) -> tuple[bool, float]:
        shown.append(text)
        return False, before

    monkeypatch.setattr(imgui, "slider_float", slider)
    edits(face_panel, STATES["searching"])
    arkit = ("jawForward", "jawLeft", "jawRight", "jawOpen")
    units = ("AU26", "AU29", "AU30R", "AU30L")
    assert shown == [f"##{name}" for name in (*arkit, *units, "jawOpen")]


def test_the_face_is_copied_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[str] = []
    clicks(monkeypatch, "copy")
    monkeypatch.setattr(imgui, "set_clipboard_text", copied.append)
    edits(face_panel, STATES["posed"])
    assert copied == ["--expression jawOpen=0.5 expr_000=-1 --head-pose=10,0,0"]


def test_the_source_changes_only_by_the_button(monkeypatch: pytest.MonkeyPatch) -> None:
    drags(monkeypatch, "jawOpen", 0.5)  # no such slider is shown
    assert edits(face_panel, STATES["live"]) == []
    clicks(monkeypatch, "use the sliders")
    assert edits(face_panel, STATES["live"]) == [SelectSource(SLIDERS)]


def test_what_arrives_and_is_not_used_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    state = live_state()
    unused = replace(state.status, live={"input": {"unused": "packets arrive that cannot be read"}})
    notes: list[str] = []
    monkeypatch.setattr(imgui, "text_colored", lambda color, text: notes.append(text))
    edits(source_panel, state)
    assert not notes
    edits(source_panel, replace(state, status=unused))
    assert notes == ["packets arrive that cannot be read"]


def test_a_hidden_region_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    state = live_state()
    hidden = replace(state.status, live={"input": {"hidden": "mouth hidden"}})
    notes: list[str] = []
    monkeypatch.setattr(imgui, "text_colored", lambda color, text: notes.append(text))
    edits(source_panel, replace(state, status=hidden))
    assert notes == ["mouth hidden"]


def test_scrubbing_goes_to_that_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    drags(monkeypatch, "scrub", 1)
    assert edits(timeline_panel, STATES["motion"]) == [Change("timeline", replace(MOTION, time=0.04))]


def test_a_step_pauses_the_motion(monkeypatch: pytest.MonkeyPatch) -> None:
    clicks(monkeypatch, ">")
    state = replace(STATES["motion"], timeline=replace(MOTION, playing=True))
    assert edits(timeline_panel, state) == [Change("timeline", replace(MOTION, time=0.12))]


def test_playing_a_motion_selects_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clicks(monkeypatch, "play")
    expected = [Change("timeline", replace(MOTION, playing=True)), SelectSource(TIMELINE)]
    assert edits(timeline_panel, STATES["motion of an inactive source"]) == expected


def test_the_speed_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    drags(monkeypatch, "speed", 2.5)
    assert edits(timeline_panel, STATES["motion"]) == [Change("timeline", replace(MOTION, speed=2.5))]


def test_stages_and_counters_have_descriptions(monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []
    monkeypatch.setattr(imgui, "text", texts.append)
    monkeypatch.setattr(imgui, "text_wrapped", texts.append)
    edits(latency_panel, STATES["live"])
    assert {"camera to shown", "landmarks", "20.0", "60.0", "29.7"} <= set(texts)
    assert {"9 received", "2 dropped for newer ones", "1 image with an old sample"} <= set(texts)


def test_times_are_shown_in_milliseconds() -> None:
    assert [time_text(seconds) for seconds in (0, 0.0334, 59.9996, 3725.25)] == [
        "0:00.000",
        "0:00.033",
        "1:00.000",
        "62:05.250",
    ]


@pytest.mark.parametrize(("name", "frame"), [("Left", 1), ("Right", 3), ("Ctrl+Left", 0), ("Ctrl+Right", 3)])
def test_keys_step_through_the_motion(name: str, frame: int) -> None:
    shortcut = next(shortcut for shortcut in SHORTCUTS if shortcut.name == name)
    state = replace(STATES["motion"], timeline=replace(MOTION, playing=True))
    assert list(shortcut.edits(state)) == [Change("timeline", replace(MOTION.at_frame(frame), playing=False))]
    assert list(shortcut.edits(REST)) == []


def test_space_plays_only_where_there_is_a_motion() -> None:
    space = next(shortcut for shortcut in SHORTCUTS if shortcut.name == "Space")
    assert list(space.edits(REST)) == []
    assert list(space.edits(STATES["motion"])) == [
        Change("timeline", replace(MOTION, playing=True)),
        SelectSource(TIMELINE),
    ]


def test_no_two_shortcuts_share_a_key() -> None:
    keys = [int(shortcut.keys) for shortcut in SHORTCUTS]
    assert len(keys) == len(set(keys))


def test_a_menu_of_recordings_chooses_one(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, tuple[int, list[str]]] = {}

    def combo(name: str, row: int, names: list[str]) -> tuple[bool, int]:
        seen[name] = row, names
        return (True, 1) if name == "appearance" else (False, row)

    monkeypatch.setattr(imgui, "combo", combo)
    assert edits(view_panel, LOOKS) == [SetAppearance({"plain": 0.0, "beard": 1.0})]
    assert seen["appearance"] == (2, ["plain", "beard", "mix"])


def test_a_slider_of_a_recording_changes_the_mix_with_a_sum_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    original = imgui.slider_float

    def slider(name: str, value: float, *rest: Any) -> tuple[bool, float]:
        return (True, 0.5) if name == "beard###appearance 1" else original(name, value, *rest)

    monkeypatch.setattr(imgui, "slider_float", slider)
    assert edits(view_panel, LOOKS) == [SetAppearance({"plain": 0.5, "beard": 0.5})]


def test_without_recordings_there_are_no_sliders_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    original = imgui.slider_float
    monkeypatch.setattr(imgui, "slider_float", lambda name, *rest: (names.append(name), original(name, *rest))[1])
    assert edits(view_panel, REST) == [] and "size" in names
    assert not any("appearance" in name for name in names)


def opens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Open every group of sliders."""
    monkeypatch.setattr(imgui, "collapsing_header", lambda *_: True)


def words(monkeypatch: pytest.MonkeyPatch, panel: Panel, state: State) -> list[str]:
    """All texts of a panel."""
    found: list[str] = []

    def noted(kind: str) -> None:
        original = getattr(imgui, kind)

        def show(*given: Any) -> Any:
            found.append(next(part for part in given[::-1] if isinstance(part, str)))
            return original(*given)

        monkeypatch.setattr(imgui, kind, show)

    for kind in ("text", "text_colored", "text_disabled", "text_wrapped", "separator_text", "progress_bar"):
        noted(kind)
    edits(panel, state)
    return found


def test_open_groups_without_input_have_no_edits(monkeypatch: pytest.MonkeyPatch) -> None:
    opens(monkeypatch)
    assert [edits(face_panel, state) for state in STATES.values()] == [[]] * len(STATES)


def test_a_slider_of_an_action_unit_sets_its_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    opens(monkeypatch)
    drags(monkeypatch, "AU4L", 0.5)
    expected = Sliders({"browDownLeft": 0.5, "browDownRight": 0.5})
    assert edits(face_panel, REST) == [Change("sliders", expected)]


def test_a_slider_of_an_action_unit_shows_what_is_read_with_its_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    opens(monkeypatch)
    shown: dict[str, tuple[float, str]] = {}

    def slider(text: str, before: float, low: float, high: float, form: str, *_: Any) -> tuple[bool, float]:
        shown[text] = before, form
        return False, before

    monkeypatch.setattr(imgui, "slider_float", slider)
    edits(face_panel, replace(REST, sliders=Sliders({"mouthSmileLeft": 0.7, "browInnerUp": 0.1})))
    assert (shown["##AU12L"], shown["##AU12R"]) == ((0.7, "L %.2f D"), (0.0, "R %.2f"))
    assert shown["##AU1"] == (0.1, "%.2f A")


def test_the_slider_of_valence_sets_a_face_and_keeps_the_arousal(monkeypatch: pytest.MonkeyPatch) -> None:
    opens(monkeypatch)
    drags(monkeypatch, "valence", -0.5)
    state = replace(REST, sliders=Sliders(face_at(0.3, 0.4), affect=(0.3, 0.4)))
    assert edits(face_panel, state) == [Change("sliders", Sliders(face_at(-0.5, 0.4), affect=(-0.5, 0.4)))]


def test_a_point_of_the_pad_is_no_longer_set_once_another_slider_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    opens(monkeypatch)
    drags(monkeypatch, "arousal", 0.5)
    state = replace(REST, sliders=Sliders({}, affect=(0.3, 0.4)))
    assert edits(face_panel, state) == [Change("sliders", Sliders(face_at(0.0, 0.5), affect=(0.0, 0.5)))]


@pytest.mark.parametrize(
    ("text", "weights", "note"),
    [
        ("wink left", {"eyeBlinkLeft": 1.0}, "understood: wink left 1"),
        ("hapy", POSED.weights, '"hapy": the word "hapy" is not known; did you mean happy or unhappy?'),
    ],
)
def test_a_text_sets_the_face_on_enter(
    monkeypatch: pytest.MonkeyPatch, text: str, weights: dict[str, float], note: str
) -> None:
    opens(monkeypatch)
    original = imgui.input_text_with_hint

    def entered(name: str, *rest: Any) -> tuple[bool, str]:
        return (True, text) if name == "##describe" else original(name, *rest)

    monkeypatch.setattr(imgui, "input_text_with_hint", entered)
    found = {edit.part: edit.value for edit in edits(face_panel, STATES["posed"]) if isinstance(edit, Change)}
    assert found["panels"] == Panels(phrase=Phrase(text, note, failed="not known" in note))
    assert found.get("sliders", POSED) == replace(POSED, weights=weights)


def test_the_reading_is_in_words_and_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    found = words(monkeypatch, reading_panel, STATES["reading"])
    assert found[0] == "describes movements, not feelings"
    assert {"reads as happiness", "90 %", "left (20, 0 deg)", "blink", "nod, 3, -2, 0 deg", "70 %"} <= set(found)
    assert {"12 lip corner puller", "L 0.70 D", "R 0.00"} <= set(found)
    assert "happiness, because of: mouthSmileLeft +0.41, at rest -0.02" in found


def test_without_a_reading_the_panel_has_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    assert words(monkeypatch, reading_panel, STATES["no reading"]) == ["describes movements, not feelings", "no face"]
