"""The lock files of `make demo` and `make test`, written by `make lock`: exact versions with the SHA-256 of every file.

    python -m tests.support.lock torch==2.13.0

resolves pyproject.toml with its extra `dev` for every system and every Python from 3.10, by uv from PyPI, and writes

    requirements/packages.lock   what headsplat needs to run and to be built, which is all that `make demo` installs
    requirements/dev.lock        what else its tests and style checks need
    requirements/torch.lock      PyTorch as PyPI has it, on Linux with the CUDA libraries it needs
    requirements/torch-cpu.lock  PyTorch's own small build for Linux without an NVIDIA driver, from PyTorch's index

Releases less than a week old are left out: malicious ones are usually found and removed within days.
"""

from __future__ import annotations

import html
import re
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "requirements"
PACKAGES, DEV, TORCH, TORCH_CPU = (FOLDER / f"{name}.lock" for name in ("packages", "dev", "torch", "torch-cpu"))
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
LEAST_AGE = "1 week"
#: What uv cannot know: it does not read the upper end of Requires-Python.
CONSTRAINTS = ("backports-strenum<1.3",)
#: What compiles the kernels; the extra `dev` has it, too.
BUILD = ("scikit-build-core", "nanobind", "cmake", "ninja")
_CUDA = re.compile(r"(torch|triton|(nvidia|cuda)-[a-z0-9-]+)==")
_WHEEL = re.compile(r'href="[^"]*/(torch-[^"/#]+\.whl)#sha256=([0-9a-f]{64})"')
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def resolved(torch: str) -> str:
    """The lock of everything for every system and Python, as uv prints it.

    Args:
        torch: the version of PyTorch, such as `torch==2.13.0`.
    """
    return _compiled((), (torch, *CONSTRAINTS), "--extra=dev", "--generate-hashes", f"--exclude-newer={LEAST_AGE}")


def needed(lock: str) -> set[str]:
    """The names of the packages of a `lock` of everything that headsplat needs to run and to be built."""
    return set(map(_name, _entries(_compiled(BUILD, [_pinned(entry) for entry in _entries(lock)]))))


def _compiled(requirements: Sequence[str], constraints: Sequence[str], *options: str) -> str:
    """What uv resolves from pyproject.toml and `requirements` for every system and Python."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("requirements.in", "constraints.txt")]
        for path, lines in zip(paths, (requirements, constraints), strict=True):
            path.write_text("\n".join(lines), encoding="utf-8")
        command = (
            sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", str(paths[0]), "--universal", "--quiet",
            "--python-version=3.10", "--no-annotate", "--no-header", f"--constraints={paths[1]}", *options,
        )  # fmt: skip
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout


def _entries(lock: str) -> list[str]:
    """The entries of a lock, each a package with its hashes."""
    return re.split(r"\n(?=\S)", lock.strip())


def _pinned(entry: str) -> str:
    """The first line of an entry: the exact version, and where it is meant for."""
    return entry.split("\\\n")[0].strip()


def _name(entry: str) -> str:
    return entry.split("==")[0]


def parted(lock: str, names: set[str]) -> tuple[str, str]:
    """A lock parted into the packages `names`, and everything else."""
    entries = _entries(lock)
    parts = [[entry for entry in entries if (_name(entry) in names) is chosen] for chosen in (True, False)]
    return "\n".join(parts[0]) + "\n", "\n".join(parts[1]) + "\n"


def split(lock: str) -> tuple[str, str]:
    """A lock as uv prints it, parted into PyTorch with its CUDA libraries, and everything else."""
    return parted(lock, {_name(entry) for entry in _entries(lock) if _CUDA.match(entry)})


def wheels_of(page: str, version: str) -> dict[str, str]:
    """SHA-256 by name of the wheels for Linux of one version on a page of PyTorch's index."""
    found = {urllib.parse.unquote(name): digest for name, digest in _WHEEL.findall(html.unescape(page))}
    return {name: digest for name, digest in found.items() if name.startswith(f"torch-{version}-") and "linux" in name}


def torch_cpu(torch: str) -> str:
    """The lock of the CPU build of `torch` for Linux; where PyTorch's index cannot be reached, the present one."""
    pinned = f"{torch}+cpu"
    try:
        with urllib.request.urlopen(f"{CPU_INDEX}/torch/", timeout=60) as answer:
            found = wheels_of(answer.read().decode(), pinned.removeprefix("torch=="))
    except urllib.error.URLError as error:
        present = TORCH_CPU.read_text(encoding="utf-8")
        if f"\n{pinned} " not in present:
            raise SystemExit(f"{CPU_INDEX}: {error.reason}; {TORCH_CPU} has no hashes of {pinned}") from error
        print(f"{CPU_INDEX}: {error.reason}; {TORCH_CPU} is kept", file=sys.stderr)
        return entry(pinned, sorted(set(_HASH.findall(present))))
    if not found:
        raise SystemExit(f"{CPU_INDEX}: has no {pinned} for Linux")
    return entry(pinned, sorted(found.values()))


def entry(pinned: str, digests: Sequence[str]) -> str:
    """The lines of one package."""
    return " \\\n    ".join((pinned, *(f"--hash=sha256:{digest}" for digest in digests))) + "\n"


def write(path: Path, entries: str, content: str) -> None:
    """Write a lock file with a heading."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"# {content}\n# Written by `make lock`; do not edit.\n{entries}", encoding="utf-8", newline="\n")


def main(torch: str) -> None:
    """Write the four files."""
    everything = resolved(torch)
    cuda, others = split(everything)
    packages, dev = parted(others, needed(everything))
    cpu = torch_cpu(torch)
    write(PACKAGES, packages, "What headsplat needs to run and to be built, without PyTorch.")
    write(DEV, dev, "What else the tests and the style checks need.")
    write(TORCH, cuda, "PyTorch from PyPI; on Linux the build for NVIDIA, with its libraries.")
    write(TORCH_CPU, cpu, f"PyTorch without CUDA for Linux, from {CPU_INDEX}.")


if __name__ == "__main__":
    main(*sys.argv[1:])
