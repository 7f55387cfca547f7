"""Scenarios of the window's tests for the edit panel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from imgui_bundle import imgui

from tests.support.window_driver import WindowDriver

Result = Mapping[str, Any]


def paint(window: WindowDriver) -> Result:
    """A stroke with the mouse, Ctrl+Z, Ctrl+Shift+Z, and Ctrl+Z again."""
    window.settle()
    before, orbit = window.image(), window.state.camera.orbit
    window.click("Edit", "paint with the mouse")
    _stroke(window)
    painted, count = window.image(), window.state.avatar.gaussians
    window.screen("paint")
    window.context.key_press(imgui.Key.mod_ctrl | imgui.Key.z)
    undone = window.image()
    window.context.key_press(imgui.Key.mod_ctrl | imgui.Key.mod_shift | imgui.Key.z)
    redone = window.image()
    window.context.key_press(imgui.Key.mod_ctrl | imgui.Key.z)
    window.image()
    window.click("Edit", "paint with the mouse")
    return {
        "painted": float(np.abs(painted.astype(float) - before).mean()),
        "gaussians": count - window.state.avatar.gaussians,
        "undone": int(np.abs(undone.astype(int) - before).max()),
        "redone": int(np.abs(redone.astype(int) - painted).max()),
        "orbited": window.state.camera.orbit != orbit,
        "active": window.state.editing.active,
    }


def layers(window: WindowDriver) -> Result:
    """A layer is hidden by its check box, and shown again by undo."""
    window.settle()
    before, count = window.image(), window.state.avatar.gaussians
    window.click("Edit", "find layers")
    window.rest()
    window.click("Edit", "###layer clothes")
    hidden, left = window.state.editing.hidden, window.state.avatar.gaussians
    window.click("Edit", "###undo")
    same = int(np.abs(window.image().astype(int) - before).max())
    return {"hidden": list(hidden), "fewer": count - left, "same": same}


def measure(window: WindowDriver) -> Result:
    """Two clicks on the face measure; a drag orbits and measures nothing."""
    window.settle()
    window.click("View", "click two places")
    orbit = window.state.camera.orbit
    for across in (0.46, 0.54):
        _click(window, across, 0.5)
    found = window.state.measuring
    _drag(window)
    turned = window.state.measuring
    window.click("View", "click two places")
    return {
        "active": found.active,
        "straight": found.straight,
        "text": found.to_text(),
        "orbited": window.state.camera.orbit != orbit,
        "same": turned.straight,
        "followed": turned.ends != found.ends,
    }


def _place(window: WindowDriver, across: float, down: float) -> imgui.ImVec2:
    """A place of the avatar's image, 0..1 from the upper left, on the screen."""
    left, top, right, bottom = window.bounds("//Avatar/image")
    return imgui.ImVec2(left + across * (right - left), top + down * (bottom - top))


def _click(window: WindowDriver, across: float, down: float) -> None:
    window.context.mouse_move_to_pos(_place(window, across, down))
    window.context.mouse_click(imgui.MouseButton_.left)
    window.settle()


def _drag(window: WindowDriver) -> None:
    """Drag the left button over the image."""
    window.context.mouse_move_to_pos(_place(window, 0.5, 0.5))
    window.context.mouse_down(imgui.MouseButton_.left)
    window.context.mouse_move_to_pos(_place(window, 0.55, 0.5))
    window.context.mouse_up(imgui.MouseButton_.left)
    window.settle()


def _stroke(window: WindowDriver) -> None:
    """Drag the left button over the middle of the face."""
    left, top, right, bottom = window.bounds("//Avatar/image")
    middle = imgui.ImVec2((left + right) / 2, top + 0.55 * (bottom - top))
    window.context.mouse_move_to_pos(middle)
    window.context.mouse_down(imgui.MouseButton_.left)
    window.context.mouse_move_to_pos(imgui.ImVec2(middle.x + 12, middle.y))
    window.context.mouse_up(imgui.MouseButton_.left)
    window.settle()
