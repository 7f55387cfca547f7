"""The head models: one interface (`HeadModel`) for the embedded head, FLAME, SMPL-X and ICT-FaceKit."""

from __future__ import annotations

from .load import is_built_in, load_head, stored_source
from .model import HeadModel

__all__ = ["HeadModel", "is_built_in", "load_head", "stored_source"]
