"""What jobs need, measured, as the first guess of a fleet; it learns from its own jobs after that."""

from __future__ import annotations

#: Largest resident set of each command in bytes, rounded up: a video of 1920x1080 with defaults, on a CPU.
_MEMORY = {"train": 2_500_000_000, "render": 1_500_000_000, "eval": 2_000_000_000}


def measured(command: str) -> int:
    """Bytes of memory that a job of `headsplat COMMAND` needs."""
    return _MEMORY[command]
