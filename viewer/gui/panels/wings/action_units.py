"""Sliders of action units, a section of the face panel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from imgui_bundle import imgui

from viewer.gui.panels.widgets import label, slider
from viewer.session.state import Sliders, UnitIntensity
from viewer.session.wings.action_units import matching_units, sides_of, table, units_of, with_unit

_PAIR_WIDTH = 8.0  # of the sliders of a row, in heights of the font


def has_matches(search: str) -> bool:
    """Whether a search finds any unit."""
    return bool(matching_units(search))


def count_active(weights: Mapping[str, float]) -> int:
    """Units with a letter, as they are read from `weights`."""
    return sum(bool(unit.letter) for unit in units_of(weights))


def unit_sliders(sliders: Sliders) -> Sliders:
    """Sliders of the units that the search finds, which show what is read from the weights, and add to them."""
    matches = matching_units(sliders.search)
    width = min(names_width(), imgui.get_content_region_avail().x - _PAIR_WIDTH * imgui.get_font_size())
    for unit in units_of(sliders.weights):
        if unit.key in matches:
            sliders = _row(sliders, unit, width)
    return sliders


def unit_name(unit: UnitIntensity) -> str:
    """Number and name, as in the FACS."""
    return f"{unit.key.removeprefix('AU')} {unit.name}"


def names_width() -> float:
    """Pixels that the longest name of a unit takes."""
    names = [f"{unit.key.removeprefix('AU')} {unit.name}" for unit in table().units]
    return max(imgui.calc_text_size(name).x for name in names) + imgui.get_style().item_inner_spacing.x


def _row(sliders: Sliders, unit: UnitIntensity, label_width: float) -> Sliders:
    label(unit_name(unit), bool(unit.letter), label_width)
    gap = imgui.get_style().item_inner_spacing.x
    sides = sides_of(unit)
    width = (imgui.get_content_region_avail().x - gap * (len(sides) - 1)) / len(sides)
    for index, (prefix, side, before) in enumerate(sides):
        if index:
            imgui.same_line(0, gap)
        letter = table().letter(before)
        before = round(before, 3)
        after = slider(f"{unit.key}{prefix.strip()}", before, 0.0, 1.0, f"{prefix}%.2f {letter}".rstrip(), width)
        if after != before:
            weights = with_unit(sliders.weights, unit.key, side, after, sliders.mirrored)
            sliders = replace(sliders, weights=weights)
    return sliders
