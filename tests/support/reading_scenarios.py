"""Scenarios of the window's tests for texts, the pad, action units and the reading panel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from imgui_bundle import imgui

from tests.support.window_driver import WindowDriver
from viewer.session.wings.action_units import face_described

Result = Mapping[str, Any]
_SLIDERS = "Face/sliders"


def describe(window: WindowDriver) -> Result:
    """A text that is understood, then one that is not."""
    before = window.image()
    window.click(_SLIDERS, "###emotion")
    window.set(_SLIDERS, "##describe", "wink left")
    after, panels = window.image(), window.state.panels
    weights = dict(window.state.sliders.weights)
    window.set(_SLIDERS, "##describe", "winkk left")
    window.rest()
    failed = window.state.panels.phrase
    window.screen("describe")
    window.click(_SLIDERS, "###emotion")
    return {
        "weights": weights,
        "change": _difference(before, after),
        "note": panels.phrase.note,
        "failed": failed.failed,
        "error note": failed.note,
        "after": dict(window.state.sliders.weights),
    }


def affect(window: WindowDriver) -> Result:
    """A drag on the pad to the upper right, an arrow key, and a double click."""
    before = window.image()
    window.click(_SLIDERS, "###emotion")
    window.drag(_SLIDERS, "affect", 50, -25)
    after, dragged = window.image(), window.state.sliders
    window.context.key_press(imgui.Key.left_arrow)
    window.rest()
    key = window.state.sliders.affect
    window.screen("affect")
    window.double_click(_SLIDERS, "affect")
    reset = window.image()
    window.click(_SLIDERS, "###emotion")
    return {
        "dragged": dragged.affect,
        "smile": dragged.weights.get("mouthSmileLeft", 0.0),
        "change": _difference(before, after),
        "key": key,
        "weights": dict(window.state.sliders.weights),
        "reset": _difference(before, reset),
    }


def units(window: WindowDriver) -> Result:
    """The slider of an action unit, found by the search."""
    before = window.image()
    window.set("Face", "##search", "corrugator")
    window.rest()
    window.set(_SLIDERS, "##AU4R", 0.7)
    after = window.image()
    window.screen("units")
    return {
        "weights": dict(window.state.sliders.weights),
        "change": _difference(before, after),
        "lowerer": window.has(_SLIDERS, "##AU4R"),
        "puller": window.has(_SLIDERS, "##AU12R"),
    }


def reading(window: WindowDriver) -> Result:
    """The reading panel in front of its dock, then behind it again."""
    before = window.session.reader.wanted
    window.context.window_focus("//Reading")
    window.change("sliders", weights=face_described("extremely surprised")[0])
    window.until(lambda: window.state.reading.label == "surprise", 3)
    visible, label = window.session.reader.wanted, window.state.reading.label
    window.screen("reading")
    window.context.window_focus("//Latency")
    window.rest()
    hidden = window.session.reader.wanted
    window.change("sliders", weights={})
    window.rest(6)
    return {
        "before": before,
        "visible": visible,
        "hidden": hidden,
        "label": label,
        "kept": window.state.reading.label,
    }


def _difference(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(first.astype(np.float32) - second).mean())
