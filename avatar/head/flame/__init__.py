"""FLAME files of the user: any version, .pkl (never unpickled) or .npz, completed to a HeadModel."""

from __future__ import annotations

from .complete import load_flame
from .embedding import Detector

__all__ = ["Detector", "load_flame"]
