"""Values of a report as JSON types and as text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def to_jsonable(value: Any) -> Any:
    """`value` as JSON types: floats rounded to six significant digits, None for those that are not finite."""
    if isinstance(value, Mapping):
        return {str(name): to_jsonable(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_jsonable(entry) for entry in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def counted(count: int, noun: str) -> str:
    """A count with its noun in singular or plural: `1 frame`, `2 frames`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
