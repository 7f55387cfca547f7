"""How the suite is spread over processes, and the processor time that each of its two gates may take.

`make test` runs everything outside `tests/system`, `make test-system` that folder; both run pytest-xdist. All tests of
a file run in one process, so that fixtures of a module are made once; files with tests marked `slow` come first, so
that no process ends long after the others. Each process calculates with its share of the processor's cores.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

#: Seconds of processor time that the tests of each gate may take, on the machine of `REFERENCE_SECONDS`.
BUDGETS = {"unit": 650, "system": 700}
#: A run fails that takes so many times its budget. Machines on which `calibrate` takes the same time differ by 1.4 in
#: the time of the tests, which depends on memory and vector units, too.
TOLERANCE = 1.6
#: Processor time of `calibrate` beside tests on two cores (AMD EPYC with AVX2); the budgets grow with it.
REFERENCE_SECONDS = 0.055
#: Folders whose files share what takes seconds to make, a training or the CUDA emulator: they stay in one process too.
TOGETHER = ("tests/avatar/refine/", "tests/cuda_ext/")
#: Variables that limit the threads of PyTorch and of NumPy's and SciPy's BLAS.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
#: Files are listed from so many seconds of processor time on.
_LISTED = 5.0


def share_cores(workers: int) -> None:
    """Let each of so many processes that are to start, and what they start, calculate with its share of the cores.

    The libraries of linear algebra read the variables as they are loaded; with more threads than cores these wait for
    each other in loops that take processor time.
    """
    for name in THREADS:
        os.environ.setdefault(name, str(max(1, (os.cpu_count() or 1) // workers)))


def take_share() -> None:
    """Limit the threads of PyTorch and of the kernels in this process to what `share_cores` gave it."""
    import torch

    import cuda_ext

    share = int(os.environ["OMP_NUM_THREADS"])
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


def processor_seconds() -> float:
    """Processor time of this process and of those that it started and that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def calibrate() -> float:
    """Processor time of a fixed calculation: how slow this machine is at present, with what else runs on it."""
    start, total = time.process_time(), 0
    for number in range(1_000_000):
        total += number * number % 7
    return time.process_time() - start


class Meter:
    """Plugin of each process that runs tests: measures the processor time of every test and of the whole process."""

    def __init__(self) -> None:
        self.speeds = [calibrate()]
        self.start = 0.0

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Iterator[None]:
        self.start = processor_seconds()
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, call: pytest.CallInfo[None]) -> Iterator[None]:
        report: Any = yield
        if call.when == "teardown":
            report.user_properties.append(("processor_seconds", processor_seconds() - self.start))
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self.speeds.append(calibrate())
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output["processor_seconds"], output["speeds"] = processor_seconds(), self.speeds


class Budget:
    """Plugin that ends the report with the processor time of the run, and fails a run that takes far more than it may.

    Args:
        gate: the budget's name; None: the time is only reported.
        meter: that of this process, if it runs the tests itself.
    """

    def __init__(self, gate: str | None, meter: Meter) -> None:
        self.gate, self.meter, self.start = gate, meter, time.monotonic()
        self.seconds, self.speeds = 0.0, list(meter.speeds)
        self.files: Counter[str] = Counter()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        output = getattr(node, "workeroutput", {})
        self.seconds += output.get("processor_seconds", 0.0)
        self.speeds += output.get("speeds", [])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "teardown":
            seconds = dict(report.user_properties).get("processor_seconds", 0.0)
            self.files[report.nodeid.partition("::")[0]] += float(str(seconds))

    @property
    def limit(self) -> float | None:
        """Seconds that the run may take on this machine; None without a gate."""
        if self.gate is None:
            return None
        slowness = sum(self.speeds) / len(self.speeds) / REFERENCE_SECONDS
        return BUDGETS[self.gate] * TOLERANCE * max(1.0, slowness)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if hasattr(session.config, "workerinput"):
            return
        # The children of this process include its workers only after they have ended: their own figures come instead.
        own = os.times()
        self.seconds = self.seconds + own.user + own.system if self.seconds else processor_seconds()
        if self.limit is not None and self.seconds > self.limit and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        for file, seconds in self.files.most_common():
            if seconds >= _LISTED:
                terminalreporter.write_line(f"{seconds:6.1f} s of processor time: {file}")
        wall = time.monotonic() - self.start
        text = f"processor time: {self.seconds:.0f} s in {wall:.0f} s"
        if self.limit is not None:
            text += f"; the gate {self.gate!r} fails beyond {self.limit:.0f} s on this machine"
            text = f"BUDGET EXCEEDED, {text}" if self.seconds > self.limit else text
        terminalreporter.write_line(text)
