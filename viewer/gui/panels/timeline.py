"""A motion that is played: scrub, play, step, loop, speed, and what the avatar cannot show of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from imgui_bundle import imgui

from viewer.gui.panels.widgets import who_drives
from viewer.session.edits import Change, Edit
from viewer.session.state import TIMELINE, State, Timeline

_SLOWEST, _FASTEST = 0.1, 4.0
_SPEED_WIDTH, _NOTES_WIDTH = 9.0, 40.0  # heights of the font


def timeline_panel(state: State) -> Iterator[Edit]:
    """The scrub bar over the whole width, what plays it, and the notes."""
    timeline = state.timeline
    if not timeline.times:
        imgui.text_disabled("no motion: drop one on the window, or File > Open")
        return
    changed, asked = _buttons(_scrubbed(timeline), _runs(state))
    if changed != timeline:
        yield Change("timeline", changed)
    if asked:
        yield from play_or_hold(state)
    if state.driving != TIMELINE:
        imgui.same_line()
        yield from who_drives(state, TIMELINE, "drive by this motion")
    _notes(timeline)


def play_or_hold(state: State) -> Iterator[Edit]:
    """The other of the two; who asks to play a motion wants it to drive."""
    if not state.timeline.times:
        return
    runs = _runs(state)
    yield Change("timeline", replace(state.timeline, playing=not runs))
    if not runs:
        yield Change("driving", TIMELINE)


def _runs(state: State) -> bool:
    return state.timeline.playing and state.driving == TIMELINE


def stepped(timeline: Timeline, frames: int) -> Timeline:
    """Held, so many frames on."""
    return replace(timeline.at(timeline.frame + frames), playing=False)


def clock(seconds: float) -> str:
    """Minutes, seconds and milliseconds."""
    milliseconds = round(1000 * seconds)
    return f"{milliseconds // 60000}:{milliseconds // 1000 % 60:02}.{milliseconds % 1000:03}"


def _scrubbed(timeline: Timeline) -> Timeline:
    """The bar; while it is dragged the motion is held there."""
    imgui.set_next_item_width(-1)
    last = len(timeline.times) - 1
    moved, frame = imgui.slider_int("##scrub", timeline.frame, 0, last, "", imgui.SliderFlags_.always_clamp)
    timeline = replace(timeline, held=imgui.is_item_active())
    return timeline.at(frame) if moved else timeline


def _buttons(timeline: Timeline, runs: bool) -> tuple[Timeline, bool]:
    """The timeline after what was done, and whether it is to be played or held instead of what it does."""
    last = len(timeline.times) - 1
    if _button("|<", "to the first frame (Ctrl+Left)"):
        timeline = timeline.at(0)
    if _button("<", "a frame back (Left)"):
        timeline = stepped(timeline, -1)
    asked = _button("hold" if runs else "play", "play or hold (Space)")
    if _button(">", "a frame on (Right)"):
        timeline = stepped(timeline, 1)
    if _button(">|", "to the last frame (Ctrl+Right)"):
        timeline = stepped(timeline, last)
    _, loop = imgui.checkbox("loop", timeline.loop)
    timeline = _speed(replace(timeline, loop=loop))
    imgui.same_line()
    time, whole = clock(timeline.times[timeline.frame]), clock(timeline.duration)
    imgui.text(f"{time} / {whole}   frame {timeline.frame}/{last}   {timeline.name}")
    return timeline, asked


def _button(words: str, tip: str) -> bool:
    width = imgui.calc_text_size("hold").x + 2 * imgui.get_style().frame_padding.x
    clicked = imgui.button(f"{words}###{tip}", imgui.ImVec2(width, 0))
    imgui.set_item_tooltip(tip)
    imgui.same_line()
    return clicked


def _speed(timeline: Timeline) -> Timeline:
    imgui.same_line()
    imgui.set_next_item_width(_SPEED_WIDTH * imgui.get_font_size())
    flags = imgui.SliderFlags_.logarithmic | imgui.SliderFlags_.always_clamp
    _, speed = imgui.slider_float("##speed", timeline.speed, _SLOWEST, _FASTEST, "speed %.2f", flags)
    imgui.set_item_tooltip("right click: 1, ctrl+click: type a number")
    if imgui.is_item_clicked(imgui.MouseButton_.right):
        speed = 1.0
    return timeline if speed == timeline.speed else replace(timeline, speed=speed)


def _notes(timeline: Timeline) -> None:
    """The first of them, and all of them over the panel once they are asked for."""
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
