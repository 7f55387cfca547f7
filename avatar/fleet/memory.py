"""Memory of jobs as measured, the first guess of a fleet; it learns from its own jobs after that."""

from __future__ import annotations

#: Bytes of each command: the largest resident set on two real videos (10 s and 20 s of 1080x1920) with defaults on a
#: CPU (1.5 GB, 0.5 GB and 1.0 GB), and a third more.
_MEMORY = {"train": 2_000_000_000, "render": 700_000_000, "eval": 1_400_000_000}


def expected_memory(command: str) -> int:
    """Bytes of memory of a job of `headsplat COMMAND`."""
    return _MEMORY[command]
