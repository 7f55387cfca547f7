"""Panels and sections of the face panel that need a wing of `avatar` (editing, performance): imported when first drawn.

Use `wings.edit_panel(...)`: a `from` import of the name would load its module at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from avatar.common.lazy import on_first_use

if TYPE_CHECKING:
    from viewer.gui.panels.wings.action_units import count_active, has_matches, unit_sliders
    from viewer.gui.panels.wings.affect import affect_pad, phrase_field
    from viewer.gui.panels.wings.edit import edit_panel
    from viewer.gui.panels.wings.presets import preset_buttons
    from viewer.gui.panels.wings.reading import reading_panel

__all__ = [
    "affect_pad",
    "count_active",
    "edit_panel",
    "has_matches",
    "phrase_field",
    "preset_buttons",
    "reading_panel",
    "unit_sliders",
]
__getattr__ = on_first_use(
    __name__,
    {
        "affect_pad": "affect",
        "count_active": "action_units",
        "edit_panel": "edit",
        "has_matches": "action_units",
        "phrase_field": "affect",
        "preset_buttons": "presets",
        "reading_panel": "reading",
        "unit_sliders": "action_units",
    },
)
