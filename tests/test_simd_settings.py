"""`make test-simd`: its settings reach the libraries, and its table counts what pytest reports."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import cuda_ext
from tests.support import simd

_USABLE = [setting for setting in simd.settings() if simd.has_level(setting.level)]


def _name(setting: simd.Setting) -> str:
    return setting.name


def _python(setting: simd.Setting, code: str) -> str:
    environment = {**os.environ, **setting.environment}
    done = subprocess.run((sys.executable, "-W", "error", "-c", code), capture_output=True, text=True, env=environment)
    assert done.returncode == 0 and done.stderr == ""
    return done.stdout.strip()


@pytest.mark.parametrize("setting", _USABLE, ids=_name)
def test_numpy_takes_every_setting_without_a_warning(setting: simd.Setting) -> None:
    """A name that NumPy does not know would be ignored with a warning, and the run would prove nothing."""
    disabled = setting.environment.get("NPY_DISABLE_CPU_FEATURES", "").split()
    assert _python(setting, simd.FEATURES).split() == [name for name in simd.numpy_features() if name not in disabled]


@pytest.mark.skipif(not cuda_ext.available("cpu"), reason="the native kernels are not built")
@pytest.mark.parametrize("setting", [item for item in _USABLE if "HEADSPLAT_SIMD" in item.environment], ids=_name)
def test_kernels_run_at_the_level_of_the_setting(setting: simd.Setting) -> None:
    expected = setting.environment["HEADSPLAT_SIMD"]
    assert _python(setting, "import cuda_ext; print(cuda_ext.simd_level())") == expected


def test_the_table_counts_passed_failed_and_skipped_tests(tmp_path: Path) -> None:
    (tmp_path / "test_made_up.py").write_text(
        "import os, pytest\n"
        "def test_passes(): assert os.environ['HEADSPLAT_SIMD'] == 'portable'\n"
        "def test_fails(): assert not os.environ['HEADSPLAT_SIMD']\n"
        "@pytest.fixture\n"
        "def broken(): raise ValueError\n"
        "def test_has_a_broken_fixture(broken): pass\n"
        "def test_skips(): pytest.skip('always')\n"
    )
    setting = simd.Setting("portable", {"HEADSPLAT_SIMD": "portable"})
    outcome = simd.run(setting, [str(tmp_path), "--rootdir", str(tmp_path), "-c", os.devnull])
    assert (outcome.passed, outcome.skipped, outcome.status) == (1, 1, 1)
    assert outcome.failed == ("test_made_up::test_fails", "test_made_up::test_has_a_broken_fixture")
    lines = simd.table([(setting, outcome)]).splitlines()
    assert lines[2].startswith("| portable | HEADSPLAT_SIMD=portable | 1 | 2 | 1 | ")
    assert lines[3:] == ["portable: test_made_up::test_fails", "portable: test_made_up::test_has_a_broken_fixture"]


def test_a_run_without_a_report_counts_as_failed() -> None:
    outcome = simd.run(simd.Setting("default"), ["--no-such-option"])
    assert outcome.status != 0 and outcome.failed == ("pytest wrote no report",)
