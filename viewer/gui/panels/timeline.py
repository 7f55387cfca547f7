"""The timeline panel: playback of a motion, and notes on what the avatar cannot show of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from imgui_bundle import imgui

from viewer.gui.panels.widgets import select_button
from viewer.session.edits import Change, Edit, SelectSource
from viewer.session.state import TIMELINE, State, Timeline

_MIN_SPEED = 0.1
_MAX_SPEED = 4.0
# heights of the font
_SPEED_WIDTH = 9.0
_NOTES_WIDTH = 40.0


def timeline_panel(state: State) -> Iterator[Edit]:
    """The scrub bar, playback controls, and notes."""
    timeline = state.timeline
    if not timeline.times:
        imgui.text_disabled("no motion: drop one on the window, or File > Open")
        return
    changed, toggled = _buttons(_scrub_bar(timeline), _is_playing(state))
    if changed != timeline:
        yield Change("timeline", changed)
    if toggled:
        yield from toggle_playback(state)
    if state.source != TIMELINE:
        imgui.same_line()
        yield from select_button(state, TIMELINE, "use this motion")
    _notes(timeline)


def toggle_playback(state: State) -> Iterator[Edit]:
    """Pause, or play and make the motion the pose source."""
    if not state.timeline.times:
        return
    playing = _is_playing(state)
    yield Change("timeline", replace(state.timeline, playing=not playing))
    if not playing:
        yield SelectSource(TIMELINE)


def _is_playing(state: State) -> bool:
    return state.timeline.playing and state.source == TIMELINE


def step_frames(timeline: Timeline, frames: int) -> Timeline:
    """The timeline paused, `frames` frames later."""
    return replace(timeline.at_frame(timeline.frame + frames), playing=False)


def time_text(seconds: float) -> str:
    """Minutes, seconds and milliseconds."""
    milliseconds = round(1000 * seconds)
    return f"{milliseconds // 60000}:{milliseconds // 1000 % 60:02}.{milliseconds % 1000:03}"


def _scrub_bar(timeline: Timeline) -> Timeline:
    """The scrub bar; while it is dragged the motion does not play."""
    imgui.set_next_item_width(-1)
    last = len(timeline.times) - 1
    moved, frame = imgui.slider_int("##scrub", timeline.frame, 0, last, "", imgui.SliderFlags_.always_clamp)
    timeline = replace(timeline, scrubbing=imgui.is_item_active())
    return timeline.at_frame(frame) if moved else timeline


def _buttons(timeline: Timeline, playing: bool) -> tuple[Timeline, bool]:
    """The timeline after the user's input, and whether play or pause was clicked."""
    last = len(timeline.times) - 1
    if _button("|<", "first frame (Ctrl+Left)"):
        timeline = timeline.at_frame(0)
    if _button("<", "previous frame (Left)"):
        timeline = step_frames(timeline, -1)
    toggled = _button("pause" if playing else "play", "play or pause (Space)")
    if _button(">", "next frame (Right)"):
        timeline = step_frames(timeline, 1)
    if _button(">|", "last frame (Ctrl+Right)"):
        timeline = step_frames(timeline, last)
    _, loop = imgui.checkbox("loop", timeline.loop)
    timeline = _speed(replace(timeline, loop=loop))
    imgui.same_line()
    time = time_text(timeline.times[timeline.frame])
    duration = time_text(timeline.duration)
    imgui.text(f"{time} / {duration}   frame {timeline.frame}/{last}   {timeline.name}")
    return timeline, toggled


def _button(text: str, tip: str) -> bool:
    width = imgui.calc_text_size("pause").x + 2 * imgui.get_style().frame_padding.x
    clicked = imgui.button(f"{text}###{tip}", imgui.ImVec2(width, 0))
    imgui.set_item_tooltip(tip)
    imgui.same_line()
    return clicked


def _speed(timeline: Timeline) -> Timeline:
    imgui.same_line()
    imgui.set_next_item_width(_SPEED_WIDTH * imgui.get_font_size())
    flags = imgui.SliderFlags_.logarithmic | imgui.SliderFlags_.always_clamp
    _, speed = imgui.slider_float("##speed", timeline.speed, _MIN_SPEED, _MAX_SPEED, "speed %.2f", flags)
    imgui.set_item_tooltip("right click: 1, ctrl+click: type a number")
    if imgui.is_item_clicked(imgui.MouseButton_.right):
        speed = 1.0
    return timeline if speed == timeline.speed else replace(timeline, speed=speed)


def _notes(timeline: Timeline) -> None:
    """The first note, and all of them in a popup."""
    if not timeline.notes:
        return
    if imgui.button(f"notes ({len(timeline.notes)})###notes"):
        imgui.open_popup("notes of the motion")
    imgui.same_line()
    imgui.text_disabled(timeline.notes[0])
    if imgui.begin_popup("notes of the motion"):
        imgui.push_text_wrap_pos(_NOTES_WIDTH * imgui.get_font_size())
        for note in timeline.notes:
            imgui.bullet()
            imgui.text(note)
        imgui.pop_text_wrap_pos()
        imgui.end_popup()
