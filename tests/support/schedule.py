"""How the suite is spread over processes, and the time that it may take.

`make test` runs pytest-xdist. All tests of a file run in one process, so that fixtures of a module are made once; files
with tests marked `slow` come first, so that no process ends long after the others. Each process calculates with its
share of the processor's cores.
"""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

#: Seconds that the whole suite may take on two cores that do nothing else.
BUDGET = 420
#: Folders whose files share what takes seconds to make, a training or the CUDA emulator: they stay in one process too.
TOGETHER = ("tests/avatar/refine/", "tests/cuda_ext/")


def share_cores() -> None:
    """Limit this worker process to its share of the cores; a process that is no worker keeps all of them."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers == 1:
        return
    import torch

    import cuda_ext

    share = max(1, torch.get_num_threads() // workers)
    os.environ["OMP_NUM_THREADS"] = str(share)  # of processes that tests start
    torch.set_num_threads(share)
    if cuda_ext.available("cpu"):
        cuda_ext.set_threads(share)


def slow_files_first(items: list[pytest.Item]) -> None:
    """Order `items` by file: those with slow tests first, otherwise as they were."""
    slow = {group_of(item.nodeid) for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: group_of(item.nodeid) not in slow)


def group_of(nodeid: str) -> str:
    """The file or folder whose tests run in one process."""
    return next((folder for folder in TOGETHER if nodeid.startswith(folder)), nodeid.partition("::")[0])


def make_scheduler(config: pytest.Config, log: Any) -> Any:
    """The scheduler of pytest-xdist that hands out groups in the order of collection."""
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    config.option.loadscopereorder = False
    return ByGroup(config, log)


class Budget:
    """Plugin that ends the report with the time the run took, as a part of what the whole suite may take."""

    def __init__(self) -> None:
        self.start = time.monotonic()

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        seconds = time.monotonic() - self.start
        terminalreporter.write_line(f"time: {seconds:.0f} s; all tests may take {BUDGET} s on two idle cores")
