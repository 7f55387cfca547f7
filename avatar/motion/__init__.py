"""Motion: expression files, editing, and bridges between expression spaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from avatar.common.lazy import on_first_use

if TYPE_CHECKING:
    from .bridge import Bridge, ExpressionTransfer, load_bridge
    from .conversion_error import RoundTripError, round_trip
    from .files import read_motion, write_motion

__all__ = [
    "Bridge",
    "ExpressionTransfer",
    "RoundTripError",
    "load_bridge",
    "read_motion",
    "round_trip",
    "write_motion",
]
__getattr__ = on_first_use(
    __name__,
    {
        "Bridge": "bridge",
        "ExpressionTransfer": "bridge",
        "RoundTripError": "conversion_error",
        "load_bridge": "bridge",
        "read_motion": "files",
        "round_trip": "conversion_error",
        "write_motion": "files",
    },
)
