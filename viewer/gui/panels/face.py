"""The face panel: presets, text and pad, action units, ARKit sliders in groups, pose, the head model's expressions."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from imgui_bundle import imgui

from avatar.head.arkit import ARKIT_52
from viewer.gui.panels import wings
from viewer.gui.panels.own_presets import own_presets
from viewer.gui.panels.pose import pose_sliders
from viewer.gui.panels.widgets import label, select_button, slider
from viewer.session.edits import Change, Edit
from viewer.session.expressions import as_text, at_rest, groups, matching, rows, with_weight
from viewer.session.state import SLIDERS, Phrase, Sliders, State

_LABEL_WIDTH = 8.2  # of the text before a slider, in heights of the font
Limits = Mapping[str, tuple[float, float]]
_ARKIT_LIMITS: Limits = dict.fromkeys(ARKIT_52, (0.0, 1.0))
_GROUPS = groups(ARKIT_52)


def face_panel(state: State) -> Iterator[Edit]:
    """All sliders while they are the pose source; otherwise they have no effect, and take most of a frame's time."""
    yield from select_button(state, SLIDERS, "use the sliders")
    if state.source != SLIDERS:
        imgui.text_disabled("the sliders keep their values")
        return
    yield from wings.preset_buttons(state.sliders)
    yield from own_presets(state)
    sliders = _options(state.sliders)
    if state.panels.focus_search:
        imgui.set_keyboard_focus_here()
        yield Change("panels", replace(state.panels, focus_search=False))
    sliders = _search(sliders)
    imgui.begin_child("sliders")
    phrase = state.panels.phrase
    if not sliders.search:
        phrase, sliders = _emotion(phrase, sliders)
        sliders = _pose(_units(sliders))
    sliders = _arkit(sliders)
    if sliders.search:
        sliders = _units(sliders)
    sliders = _model(sliders, state)
    imgui.end_child()
    if phrase != state.panels.phrase:
        yield Change("panels", replace(state.panels, phrase=phrase, focus_search=False))
    if sliders != state.sliders:
        yield Change("sliders", sliders)


def _options(sliders: Sliders) -> Sliders:
    """Options of the sliders, and buttons for all of them."""
    _, mirrored = imgui.checkbox("both sides", sliders.mirrored)
    imgui.set_item_tooltip("a slider also moves its counterpart on the other side")
    imgui.same_line()
    _, soft_clamp = imgui.checkbox("trained range", sliders.soft_clamp)
    imgui.set_item_tooltip("soft-clamp to the trained range, as for motions")
    sliders = replace(sliders, mirrored=mirrored, soft_clamp=soft_clamp)
    if imgui.button("reset all"):
        sliders = at_rest(sliders)
    imgui.same_line()
    if imgui.button("copy"):
        imgui.set_clipboard_text(as_text(sliders))
    imgui.set_item_tooltip("copy the face as arguments of `headsplat export`")
    imgui.same_line()
    return sliders


def _search(sliders: Sliders) -> Sliders:
    """The search field, and a button that clears it."""
    width = imgui.calc_text_size("x").x + 2 * imgui.get_style().frame_padding.x
    imgui.set_next_item_width(-width - imgui.get_style().item_inner_spacing.x if sliders.search else -1)
    _, search = imgui.input_text_with_hint("##search", "search sliders (/)", sliders.search)
    if sliders.search:
        imgui.same_line(0, imgui.get_style().item_inner_spacing.x)
        search = "" if imgui.button("x###empty") else search
    return replace(sliders, search=search)


def _emotion(phrase: Phrase, sliders: Sliders) -> tuple[Phrase, Sliders]:
    """A face by a text, or by valence and arousal; closed initially."""
    is_open, _ = _group("emotion", 0, is_open=False)
    if not is_open:
        return phrase, sliders
    phrase, sliders = wings.phrase_field(phrase, sliders)
    return phrase, wings.affect_pad(sliders)


def _units(sliders: Sliders) -> Sliders:
    """Action units, closed except during a search; of a resting face none is active, and their table is not loaded."""
    if sliders.search and not wings.has_matches(sliders.search):
        return sliders
    count = wings.count_active(sliders.weights) if sliders.weights else 0
    is_open, reset = _group("action units", count, bool(sliders.search), is_open=False)
    if reset:
        return replace(sliders, weights={})
    return wings.unit_sliders(sliders) if is_open else sliders


def _pose(sliders: Sliders) -> Sliders:
    values = *sliders.head, *sliders.gaze, *sliders.jaw
    is_open, reset = _group("head, gaze, jaw joint", sum(value != 0 for value in values))
    if reset:
        return replace(sliders, head=(0.0, 0.0, 0.0), gaze=(0.0, 0.0), jaw=(0.0, 0.0))
    return pose_sliders(sliders) if is_open else sliders


def _arkit(sliders: Sliders) -> Sliders:
    """ARKit expressions in groups; only matching ones during a search."""
    weights = sliders.weights
    for title, names in _GROUPS.items():
        matches = matching(names, sliders.search)
        if not matches:
            continue
        is_open, reset = _group(title, sum(name in weights for name in names), bool(sliders.search))
        if reset:
            weights = {name: weight for name, weight in weights.items() if name not in names}
        elif is_open:
            weights = _sliders(matches, weights, _ARKIT_LIMITS, sliders.mirrored)
    return replace(sliders, weights=weights)


def _model(sliders: Sliders, state: State) -> Sliders:
    """The head model's expressions, closed except during a search."""
    avatar = state.avatar
    weights = sliders.model_weights
    matches = matching(avatar.expressions, sliders.search)
    if not matches:
        return sliders
    is_open, reset = _group("head model, added to these", len(weights), bool(sliders.search), is_open=False)
    if reset:
        return replace(sliders, model_weights={})
    if not is_open:
        return sliders
    limits = {
        name: (min(low, -high), high) for name, (low, high) in zip(avatar.expressions, avatar.limits, strict=True)
    }
    imgui.push_id("model")
    weights = _sliders(matches, weights, limits, sliders.mirrored)
    imgui.pop_id()
    return replace(sliders, model_weights=weights)


def _group(title: str, count: int, searching: bool = False, is_open: bool = True) -> tuple[bool, bool]:
    """The header of a group with `count` sliders not at 0; returns whether it is open, and whether to reset it."""
    if searching:
        imgui.separator_text(title)
        return True, False
    right = imgui.get_cursor_pos_x() + imgui.get_content_region_avail().x
    imgui.set_next_item_allow_overlap()
    text = f"{title} ({count})" if count else title
    opened = imgui.collapsing_header(f"{text}###{title}", imgui.TreeNodeFlags_.default_open if is_open else 0)
    if not count:
        return opened, False
    width = imgui.calc_text_size("reset").x + 2 * imgui.get_style().frame_padding.x
    imgui.same_line(right - width)
    return opened, imgui.small_button(f"reset##{title}")


def _sliders(names: Collection[str], weights: Mapping[str, float], limits: Limits, mirrored: bool) -> dict[str, float]:
    """The `weights` after edits of the sliders of `names`."""
    changed = dict(weights)
    for row in rows(names):
        stem = row[0] if len(row) == 1 else row[0].removesuffix("Right")
        label(stem, any(name in weights for name in row), _LABEL_WIDTH * imgui.get_font_size())
        gap = imgui.get_style().item_inner_spacing.x
        width = (imgui.get_content_region_avail().x - gap * (len(row) - 1)) / len(row)
        for index, name in enumerate(row):
            if index:
                imgui.same_line(0, gap)
            before = weights.get(name, 0.0)
            side = f"{name.removeprefix(stem)[:1]} " if len(row) > 1 else ""
            after = slider(name, before, *limits[name], f"{side}%.2f", width)
            if after != before:
                changed = with_weight(changed, name, after, mirrored)
    return changed
