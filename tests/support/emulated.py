"""The CUDA half compiled for the processor by the emulator, built once and kept by the hash of what it is made of."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
KERNELS = ROOT / "cuda_ext" / "cuda"
EMULATOR = ROOT / "tests" / "cuda_ext" / "emulator"
FOLDER = ROOT / "build" / "emulator"
NAME = "headsplat_emulated"
DRIVER = "device_bindings.cpp"  # asks the driver, which is not emulated
FLAGS = ("-std=c++17", "-O1", "-fPIC", "-fvisibility=hidden", "-U_FORTIFY_SOURCE", "-DHEADSPLAT_EMULATE")


class CannotBuild(RuntimeError):
    """There is no compiler, or no nanobind to compile with."""


def load_emulated() -> ModuleType:
    """The module `headsplat_emulated`; compiles what changed since the last time.

    Raises:
        CannotBuild: this machine cannot compile it at all.
        RuntimeError: the sources do not compile.
    """
    if NAME in sys.modules:
        return sys.modules[NAME]
    spec = importlib.util.spec_from_file_location(NAME, _build())
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[NAME] = module
    return module


def _compiler() -> str:
    if not sys.platform.startswith("linux"):
        raise CannotBuild("the CUDA emulator is written for Linux")
    compiler = shutil.which(os.environ.get("CXX", "g++")) or shutil.which("clang++")
    if compiler is None:
        raise CannotBuild("no C++ compiler (g++) is here to build the CUDA emulator with")
    return compiler


def _nanobind() -> Path:
    spec = importlib.util.find_spec("nanobind")
    if spec is None or spec.origin is None:
        raise CannotBuild("nanobind is not installed, and the CUDA emulator is built with it")
    return Path(spec.origin).parent


def _build() -> Path:
    nanobind, compiler = _nanobind(), _compiler()
    own = [EMULATOR, KERNELS, nanobind / "include", Path(sysconfig.get_paths()["include"])]
    theirs = [nanobind / "ext" / "robin_map" / "include"]
    flags = [*FLAGS, *(f"-I{folder}" for folder in own + theirs)]
    headers = sorted([*EMULATOR.glob("*.h"), *KERNELS.glob("*.h"), *KERNELS.glob("*.cuh"), *KERNELS.parent.glob("*.h")])
    base = hashlib.sha256("\0".join([compiler, *flags]).encode())
    library = _object(nanobind / "src" / "nb_combined.cpp", base, [])
    kernels = [path for path in (*KERNELS.glob("*.cu"), *KERNELS.glob("*.cpp")) if path.name != DRIVER]
    sources = sorted([*EMULATOR.glob("*.cpp"), *EMULATOR.glob("*.cu"), *kernels])
    objects = {source: _object(source, base, headers) for source in sources}
    FOLDER.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(2) as workers:
        nanobind_flags = [*flags, "-DNDEBUG"]
        jobs = [workers.submit(_compile, compiler, nanobind_flags, nanobind / "src" / "nb_combined.cpp", library)]
        jobs += [workers.submit(_compile, compiler, flags, source, target) for source, target in objects.items()]
        for job in jobs:
            job.result()
    whole = hashlib.sha256("".join(path.name for path in (library, *objects.values())).encode()).hexdigest()[:16]
    target = FOLDER / f"{NAME}-{whole}.so"
    if not target.is_file():
        _run([compiler, "-shared", "-o", f"{target}.{os.getpid()}", *map(str, (library, *objects.values()))])
        os.replace(f"{target}.{os.getpid()}", target)
    return target


def _object(source: Path, base: hashlib._Hash, headers: list[Path]) -> Path:
    """Where the object file of this source, with these headers and flags, is kept."""
    key = base.copy()
    for path in (source, *headers):
        key.update(path.name.encode() + b"\0" + path.read_bytes())
    return FOLDER / f"{source.stem}-{key.hexdigest()[:16]}.o"


def _compile(compiler: str, flags: list[str], source: Path, target: Path) -> None:
    if target.is_file():
        return
    part = f"{target}.{os.getpid()}"
    _run([compiler, *flags, "-x", "c++", "-c", str(source), "-o", part])
    os.replace(part, target)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"the CUDA emulator does not compile:\n{done.stderr[:4000]}")
