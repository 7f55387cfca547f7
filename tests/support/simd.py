"""The tests under every SIMD path that NumPy, BLAS, PyTorch, libm and our kernels can take here: `make test-simd`.

    python -m tests.support.simd [--list] [--only NAME]... [pytest arguments]

runs pytest once for each setting of the environment variables below, one run after another, and prints a table of
counts and minutes. No result of a test may depend on the setting. Settings that this processor cannot run are left out.
"""

from __future__ import annotations

import argparse
import functools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import cuda_ext

ROOT = Path(__file__).parents[2]
_MAX_LISTED = 20  # failed tests named below the table for each setting


@dataclass(frozen=True)
class Setting:
    """Environment variables of one run."""

    name: str
    environment: dict[str, str] = field(default_factory=dict)
    #: level of our kernels that the processor must have, so that libraries forced to it do not crash
    level: str = "portable"

    def command_line(self) -> str:
        """The variables as a shell takes them."""
        return " ".join(
            f"{key}='{value}'" if " " in value else f"{key}={value}" for key, value in self.environment.items()
        )


@dataclass(frozen=True)
class Outcome:
    """Counts of one run."""

    passed: int
    skipped: int
    failed: tuple[str, ...]  # names of the tests; errors count as failures
    minutes: float
    status: int  # pytest's exit status


FEATURES = "import numpy as np; print(*np.show_config(mode='dicts')['SIMD Extensions'].get('found', []))"


@functools.cache
def numpy_features() -> list[str]:
    """Optional instruction sets for which NumPy has kernels and that this processor has, in NumPy's own names."""
    # Asked of a process of its own: in this one some may be disabled, and NumPy then counts them as not found.
    environment = {name: value for name, value in os.environ.items() if name != "NPY_DISABLE_CPUFEATURES"}
    command = (sys.executable, "-c", FEATURES)
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()


def _is_avx512(feature: str) -> bool:
    return feature.startswith("AVX512") or feature == "X86_V4"


def settings() -> list[Setting]:
    """Every setting, the default one first."""
    found = numpy_features()
    no_avx512 = {"NPY_DISABLE_CPUFEATURES": " ".join(filter(_is_avx512, found))}
    baseline = {"NPY_DISABLE_CPUFEATURES": " ".join(found)}
    torch_v3 = {"ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
    torch_v2 = {"ATEN_CPU_CAPABILITY": "default", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2", "ONEDNN_MAX_CPU_ISA": "SSE41"}
    old = {"OPENBLAS_CORETYPE": "Nehalem", "HEADSPLAT_SIMD": "v2", "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA"}
    return [
        Setting("default"),
        Setting("openblas-haswell", {"OPENBLAS_CORETYPE": "Haswell"}, "v3"),
        Setting("openblas-skylakex", {"OPENBLAS_CORETYPE": "SkylakeX"}, "v4"),
        Setting("numpy-v3", no_avx512, "v4"),
        Setting("numpy-v2", baseline, "v3"),
        *(Setting(f"kernels-{level}", {"HEADSPLAT_SIMD": level}, level) for level in ("v2", "v3", "v4")),
        Setting("torch-v3", torch_v3, "v4"),
        Setting("torch-v2", torch_v2, "v3"),
        Setting("all-v2", baseline | torch_v2 | old, "v3"),
    ]


def has_level(level: str) -> bool:
    """Whether this processor has a level of our kernels."""
    before = cuda_ext.simd_level()
    try:
        cuda_ext.set_simd_level(level)
    except ValueError:
        return False
    cuda_ext.set_simd_level(before)
    return True


def read_counts(report: Path, minutes: float, status: int) -> Outcome:
    """The outcome that a JUnit file of pytest holds; without the file, a run that failed as a whole."""
    if not report.is_file():
        return Outcome(0, 0, ("pytest wrote no report",), minutes, status)
    cases = list(ElementTree.parse(report).iter("testcase"))
    failed = tuple(
        f"{case.get('classname')}::{case.get('name')}"
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    )
    skipped = sum(case.find("skipped") is not None for case in cases)
    return Outcome(len(cases) - skipped - len(failed), skipped, failed, minutes, status)


def run(setting: Setting, arguments: Sequence[str]) -> Outcome:
    """Pytest in a process of its own under one setting."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *arguments)
        start = time.monotonic()
        status = subprocess.run(command, cwd=ROOT, env={**os.environ, **setting.environment}, check=False).returncode
        return read_counts(report, (time.monotonic() - start) / 60, status)


def table(outcomes: Iterable[tuple[Setting, Outcome]]) -> str:
    """A row for each setting (Markdown), then the names of the failed tests."""
    rows = ["| setting | variables | passed | failed | skipped | minutes |", "|---|---|---|---|---|---|"]
    names: list[str] = []
    for setting, outcome in outcomes:
        counts = f"{outcome.passed} | {len(outcome.failed)} | {outcome.skipped} | {outcome.minutes:.1f}"
        rows.append(f"| {setting.name} | {setting.command_line()} | {counts} |")
        names += [f"{setting.name}: {name}" for name in outcome.failed[:_MAX_LISTED]]
    return "\n".join([*rows, *names])


def main(arguments: list[str]) -> int:
    """Run the chosen settings; 0 when every run passed."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.simd", description=__doc__, allow_abbrev=False)
    usable = {setting.name: setting for setting in settings() if has_level(setting.level)}
    parser.add_argument("--list", action="store_true", help="list the settings and end")
    parser.add_argument("--only", action="append", choices=usable, metavar="NAME", help="run only this setting")
    options, pytest_arguments = parser.parse_known_args(arguments)
    chosen = [usable[name] for name in options.only or usable]
    if options.list:
        print(*(f"{setting.name:18} {setting.command_line()}".rstrip() for setting in chosen), sep="\n")
        return 0
    outcomes = []
    for setting in chosen:
        print(f"== {setting.name}: {setting.command_line()}", flush=True)
        outcomes.append((setting, run(setting, pytest_arguments)))
        print(table(outcomes), flush=True)
    return int(any(outcome.status != 0 for _, outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
