"""Expression files: read by content, written by suffix."""

from .read import read_arrays, read_motion
from .write import write_motion

__all__ = ["read_arrays", "read_motion", "write_motion"]
