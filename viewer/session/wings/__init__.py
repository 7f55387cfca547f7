"""What of a session needs a wing of `avatar` (editing, performance, scenes): imported when the user first opens it.

Use `wings.Painting(...)`: a `from` import of the name would load its module at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from avatar.common.lazy import on_first_use

if TYPE_CHECKING:
    from viewer.session.wings.action_units import of_units
    from viewer.session.wings.beside import Partner, SceneRenderer
    from viewer.session.wings.painting import Painting
    from viewer.session.wings.reading import SourceReader

__all__ = ["Painting", "Partner", "SceneRenderer", "SourceReader", "of_units"]
__getattr__ = on_first_use(
    __name__,
    {
        "Painting": "painting", "Partner": "beside", "SceneRenderer": "beside", "SourceReader": "reading",
        "of_units": "action_units",
    },
)  # fmt: skip
