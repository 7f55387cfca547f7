"""The user's own FLAME: any version from .pkl or .npz, read without running it, made into a complete HeadModel."""

from __future__ import annotations

from .complete import load_flame
from .embedding import Detector

__all__ = ["Detector", "load_flame"]
