"""An event that ends a training after a number of steps."""

from __future__ import annotations


class StopAfter:
    """An event that is set after `checks` calls of `is_set`."""

    def __init__(self, checks: int) -> None:
        self.remaining = checks

    def is_set(self) -> bool:
        self.remaining -= 1
        return self.remaining < 0
