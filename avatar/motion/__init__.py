"""Motion: expression files, editing, and bridges between expression spaces."""

from .bridge import Bridge, ExpressionTransfer, load_bridge
from .files import read_motion, write_motion
from .round_trip import RoundTripError, round_trip

__all__ = [
    "Bridge",
    "ExpressionTransfer",
    "RoundTripError",
    "load_bridge",
    "read_motion",
    "round_trip",
    "write_motion",
]
