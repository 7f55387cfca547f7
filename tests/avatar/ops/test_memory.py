from __future__ import annotations

import subprocess
import sys

import pytest

from avatar.common.processes import memory_mb

#: Frees 160 MB in pieces below a last one that stays, so that the C library cannot return them by itself.
_PROGRAM = """
import numpy as np
from avatar import ops
from avatar.common.processes import memory_mb
pieces = [np.ones(10_000) for _ in range(2_000)]
last = np.ones(10_000)
del pieces
before = memory_mb()
ops.keep_memory()
print(before - memory_mb())
"""


@pytest.mark.skipif(sys.platform != "linux" or memory_mb() is None, reason="needs glibc and /proc")
def test_memory_that_an_earlier_stage_freed_goes_back_to_the_system() -> None:
    found = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    assert float(found.stdout) > 120
