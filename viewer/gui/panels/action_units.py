"""Sliders of action units, a part of the face panel."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from imgui_bundle import imgui

from viewer.gui.panels.widgets import label, slider
from viewer.session.action_units import table, units_of, with_unit
from viewer.session.state import Sliders, UnitIntensity

_PAIR_WIDTH = 8.0  # of the sliders of a row, in heights of the font


def unit_sliders(sliders: Sliders, shown: Collection[str]) -> Sliders:
    """Sliders of the units `shown`, which show what is read from the weights, and add to them."""
    width = min(names_width(), imgui.get_content_region_avail().x - _PAIR_WIDTH * imgui.get_font_size())
    for unit in units_of(sliders.weights):
        if unit.key in shown:
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
    sides = unit.sides
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
