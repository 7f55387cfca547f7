"""The native kernels built for double, so that their gradients can be compared with finite differences."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode != 0:
        pytest.fail(f"{' '.join(command)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}", pytrace=False)


@cache
def load_double() -> ModuleType:
    """`_C` with 64-bit numbers, built into build/ (half a minute the first time) and loaded beside the ordinary one.

    Skips the test where there is nothing to build it with; sources that do not compile fail it.
    """
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("cl")
    if shutil.which("cmake") is None or compiler is None:
        pytest.skip("building the kernels for double needs cmake and a C++ compiler")
    if importlib.util.find_spec("nanobind") is None:
        pytest.skip("building the kernels for double needs nanobind")
    folder = ROOT / "build" / f"double-{sys.implementation.cache_tag}"
    fresh = not (folder / "CMakeCache.txt").exists()
    generator = ("-G", "Ninja") if fresh and shutil.which("ninja") else ()
    options = (f"-DPython_EXECUTABLE={sys.executable}", "-DCMAKE_BUILD_TYPE=Release", "-DHEADSPLAT_DOUBLE=ON")
    _run("cmake", "-S", str(ROOT / "cuda_ext"), "-B", str(folder), *generator, *options)
    _run("cmake", "--build", str(folder), "--config", "Release", "--parallel", "2")
    built = [path for path in folder.rglob("_C*") if path.suffix in (".so", ".pyd")]
    spec = importlib.util.spec_from_file_location("headsplat_double._C", built[0])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
