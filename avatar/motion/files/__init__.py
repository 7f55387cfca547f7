"""Expression files: read by content, written by suffix."""

from .read import MotionFormat, read_arrays, read_motion, register
from .write import write_motion

__all__ = ["MotionFormat", "read_arrays", "read_motion", "register", "write_motion"]
