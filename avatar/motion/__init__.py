"""Motion: files of expressions, and bridges from one space of expressions to another."""

from .bridge import Bridge, Share, load_bridge
from .files import read_motion, write_motion
from .round_trip import Return, round_trip

__all__ = ["Bridge", "Return", "Share", "load_bridge", "read_motion", "round_trip", "write_motion"]
