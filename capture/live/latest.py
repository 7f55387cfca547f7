"""The newest value between two threads, without a queue."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Slot(Generic[Value]):
    """Stores the newest value until it is taken; a value that is overwritten before counts as dropped."""

    def __init__(self, lossless: bool = False) -> None:
        """Args: lossless: `put` waits until the value before was taken (for files, not for cameras)."""
        self._lossless = lossless
        self._changed = threading.Condition()
        self._value: Value | None = None
        self._closed = False
        self.put_count = self.dropped = 0

    def put(self, value: Value) -> None:
        """Store a value."""
        with self._changed:
            if self._lossless:
                self._changed.wait_for(lambda: self._value is None or self._closed)
            self.dropped += self._value is not None
            self.put_count += 1
            self._value = value
            self._changed.notify_all()

    def take(self, timeout: float = 0.0) -> Value | None:
        """Remove and return the newest value; None when there is none within `timeout` seconds."""
        with self._changed:
            if timeout > 0:
                self._changed.wait_for(lambda: self._value is not None or self._closed, timeout)
            value = self._value
            self._value = None
            self._changed.notify_all()
            return value

    def close(self) -> None:
        """End all waits; a stored value can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def waiting(self) -> bool:
        """Whether a value is stored that was not taken."""
        with self._changed:
            return self._value is not None

    @property
    def finished(self) -> bool:
        """Closed, and the last value taken."""
        with self._changed:
            return self._closed and self._value is None
