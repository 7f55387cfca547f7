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


def shortened(value: Any, most: int = 20) -> str:
    """A value from outside as text for a message, cut after `most` characters."""
    try:
        text = f"{value:g}" if isinstance(value, float) else str(value)
    except ValueError:  # an integer of thousands of digits
        text = f"{value:#x}"
    return text if len(text) <= most else f"{text[: most - 3]}..."


def counted(count: int, noun: str) -> str:
    """A count with its noun in singular or plural: `1 frame`, `2 frames`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
