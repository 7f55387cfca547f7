"""The partial file of a recorded motion, written on a thread of its own."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import numpy as np

from avatar.common.files import write_error
from avatar.common.partial_files import partial_path
from avatar.errors import HeadsplatError
from avatar.motion.files.journal import header_lines, sample_line

_PERIOD = 0.2  # seconds between two writes
_POLL = 0.1  # seconds; an endless wait blocks Ctrl-C on Windows


class MotionJournal:
    """A file that contains all samples but those of the last fifth of a second, also where the process is killed.

    Attributes:
        path: the file.
        failure: the error after which nothing more is written; what was written stays.
    """

    def __init__(self, output: Path, names: tuple[str, ...], space: str) -> None:
        """
        Args:
            output: the file that the recording becomes; the partial one is beside it.
            names: of the expressions.
            space: of the names.

        Raises:
            HeadsplatError: the file cannot be created.
        """
        self.path = partial_path(output, ".csv")
        self.failure: HeadsplatError | None = None
        self._output = output
        try:
            self._stream = self.path.open("xb", buffering=0)
        except OSError as error:
            raise write_error(output, error) from error
        self._size = 0  # bytes that are written
        self._pending: list[tuple[float, np.ndarray]] = []
        self._changed = threading.Condition()
        self._ending = False
        self._over = threading.Event()
        self._write(header_lines(names, space))
        if self.failure is not None:
            self._stream.close()
            self.path.unlink(missing_ok=True)
            raise self.failure
        threading.Thread(target=self._work, name=f"writing {self.path.name}", daemon=True).start()

    def add(self, time: float, values: np.ndarray) -> None:
        """Add a sample; never waits.

        Args:
            time: seconds after the first sample.
            values: [1+E+18] of `avatar.motion.files.journal.sample_line`.
        """
        with self._changed:
            self._pending.append((time, values))

    def close(self) -> None:
        """Write the rest and close the file; has no effect when repeated."""
        with self._changed:
            self._ending = True
            self._changed.notify()
        while not self._over.wait(_POLL):
            pass

    def _work(self) -> None:
        try:
            ending = False
            while not ending and self.failure is None:
                with self._changed:
                    self._changed.wait_for(lambda: self._ending, _PERIOD)
                    pending = self._pending
                    self._pending = []
                    ending = self._ending
                self._write(b"".join(sample_line(time, values) for time, values in pending))
        finally:
            with contextlib.suppress(OSError):
                self._stream.close()
            self._over.set()

    def _write(self, lines: bytes) -> None:
        """Append complete lines, or nothing."""
        rest = memoryview(lines)
        try:
            while rest:
                rest = rest[self._stream.write(rest) :]
            self._size += len(lines)
        except OSError as error:
            self.failure = write_error(self._output, error)
            with contextlib.suppress(OSError):
                self._stream.truncate(self._size)
