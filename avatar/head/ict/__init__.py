"""ICT-FaceKit (MIT) from the user's copy of its FaceXModel folder."""

from __future__ import annotations

from .load import load_ict

__all__ = ["load_ict"]
