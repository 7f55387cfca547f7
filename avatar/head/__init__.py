"""The head models: one interface (`HeadModel`) for the embedded head, FLAME, SMPL-X and ICT-FaceKit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from avatar.common.lazy import on_first_use

if TYPE_CHECKING:
    from .load import is_built_in, load_head, stored_source
    from .model import HeadModel

__all__ = ["HeadModel", "is_built_in", "load_head", "stored_source"]
__getattr__ = on_first_use(
    __name__, {"HeadModel": "model", "is_built_in": "load", "load_head": "load", "stored_source": "load"}
)
