"""Motion between heads: bridges from one space of expressions to another."""

from .bridge import Bridge, Share, load_bridge
from .round_trip import Return, round_trip

__all__ = ["Bridge", "Return", "Share", "load_bridge", "round_trip"]
