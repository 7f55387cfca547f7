"""The native tests under AddressSanitizer and UndefinedBehaviorSanitizer: `make sanitize`.

    python -m tests.support.sanitize [pytest arguments]

builds the CPU kernels, every SIMD level, into build/sanitize and runs the tests with that module in the place of the
installed one: as a pytest plugin (`-p tests.support.sanitize`) this file loads what HEADSPLAT_SANITIZED names.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "sanitize"
VARIABLE = "HEADSPLAT_SANITIZED"
NATIVE_TESTS = (
    "tests/avatar/ops",
    "tests/cuda_ext",
)


def load(path: str) -> None:
    """Make the compiled module at `path` the one that `cuda_ext` finds."""
    if "cuda_ext" in sys.modules:
        raise RuntimeError("cuda_ext is imported already; the sanitized module comes too late")
    spec = importlib.util.spec_from_file_location("cuda_ext._C", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["cuda_ext._C"] = module
    spec.loader.exec_module(module)


def build() -> Path:
    """Configure and compile; returns the module."""
    options = (f"-DPython_EXECUTABLE={sys.executable}", "-DCMAKE_BUILD_TYPE=None", "-DHEADSPLAT_SANITIZE=ON")
    environment = {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    configure = ("cmake", "-S", str(ROOT / "cuda_ext"), "-B", str(BUILD), "-DHEADSPLAT_CUDA=OFF", *options)
    for command in (configure, ("cmake", "--build", str(BUILD), "--parallel")):
        subprocess.run(command, check=True, env=environment)
    (module,) = (path for path in BUILD.glob("_C*") if path.suffix in (".so", ".pyd"))
    return module


def runtime(name: str) -> str:
    """The compiler's own copy of a runtime library."""
    compiler = os.environ.get("CXX", "c++")
    found = subprocess.run([compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    return found.stdout.strip()


def environment_for(module: Path) -> dict[str, str]:
    """The interpreter is not instrumented, so the runtime comes first; it never frees everything: no leak check."""
    return {
        **os.environ,
        VARIABLE: str(module),
        # libstdc++ too: the sanitizer looks for its __cxa_throw before Python has loaded any C++.
        "LD_PRELOAD": " ".join(map(runtime, ("libasan.so", "libstdc++.so"))),
        "ASAN_OPTIONS": "detect_leaks=0:halt_on_error=1:abort_on_error=0",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    }


def main(arguments: list[str]) -> int:
    module = build()
    pytest = (sys.executable, "-m", "pytest", "-q", "-p", "tests.support.sanitize", "-p", "no:cacheprovider", "-s")
    chosen = arguments or list(NATIVE_TESTS)
    return subprocess.run((*pytest, *chosen), cwd=ROOT, env=environment_for(module), check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
elif os.environ.get(VARIABLE):
    load(os.environ[VARIABLE])
