"""The native kernels built for double, so that their gradients can be compared with finite differences."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

from avatar import ops, reference

ROOT = Path(__file__).parents[2]


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode != 0:
        pytest.fail(f"{' '.join(command)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}", pytrace=False)


@pytest.fixture(scope="session")
def double_module() -> ModuleType:
    """`_C` with 64-bit numbers, built into build/ (half a minute the first time) and loaded beside the ordinary one."""
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


@pytest.fixture
def double_kernels(double_module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Sends the float64 tensors of `avatar.ops` to `double_module`; falling back on the reference is an error."""

    def native_for(tensor: Tensor) -> ModuleType | None:
        return double_module if tensor.dtype == torch.float64 and tensor.device.type == "cpu" else None

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the operation went to the reference, not to the native kernel")

    for name, module in list(sys.modules.items()):
        if name.startswith("avatar.ops.") and hasattr(module, "native_for"):
            monkeypatch.setattr(module, "native_for", native_for)
    for name in ops.__all__:
        if hasattr(reference, name) and name.islower():
            monkeypatch.setattr(reference, name, refuse)
    torch.set_default_dtype(torch.float64)
    yield double_module
    torch.set_default_dtype(torch.float32)
