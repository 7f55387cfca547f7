"""What happens in a fleet, as JSON lines for programs, and the table of what failed."""

from __future__ import annotations

import csv
import io
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from avatar.common.files import write_error
from avatar.common.printable import printable
from avatar.fleet.runner import Event


class MetricsFile:
    """A file of JSON lines, one an event, to which each run appends; use it as a context manager.

    Raises:
        HeadsplatError: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._stream = path.open("a+b", buffering=0)
            self._stream.seek(0, os.SEEK_END)
            if self._stream.tell():
                self._stream.seek(-1, os.SEEK_END)
                if self._stream.read(1) != b"\n":  # a line that a killed run has not finished
                    self._stream.write(b"\n")
        except OSError as error:
            raise write_error(path, error) from error

    def __enter__(self) -> MetricsFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def write(self, event: Event) -> None:
        """Append an event: its time in seconds since 1970, what it is, and how the job ended."""
        entry: dict[str, Any] = {"time": round(time.time(), 3), "event": event.kind, "row": event.row}
        if event.job:
            entry["job"] = event.job
        if event.reason:
            entry["reason"] = event.reason
        if (outcome := event.outcome) is not None:
            entry |= {
                "seconds": round(outcome.seconds, 3),
                "cpu_seconds": round(outcome.cpu_seconds, 3),
                "memory": outcome.memory,
                "node": outcome.node,
            }
            if event.reason and outcome.log:
                entry["log"] = outcome.log
        try:
            self._stream.write((json.dumps(entry, ensure_ascii=True) + "\n").encode())
        except OSError as error:
            raise write_error(self._path, error) from error


def failure_table(failed: Mapping[str, str]) -> str:
    """The rows that failed and why, as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", "reason"])
    writer.writerows([name, printable(reason)] for name, reason in sorted(failed.items()))
    return text.getvalue()
