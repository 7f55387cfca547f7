"""The lock files of `make demo` and `make test`, written by `make lock`: exact versions with the SHA-256 of every file.

    python -m tests.support.lock torch==2.13.0

resolves pyproject.toml with its extra `dev` for every system and every Python from 3.10, by uv from PyPI, and writes

    requirements/packages.lock   all but PyTorch and the CUDA libraries it needs
    requirements/torch.lock      PyTorch as PyPI has it, on Linux with those libraries
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
PACKAGES, TORCH, TORCH_CPU = (FOLDER / f"{name}.lock" for name in ("packages", "torch", "torch-cpu"))
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
LEAST_AGE = "1 week"
#: What uv cannot know: it does not read the upper end of Requires-Python.
CONSTRAINTS = ("backports-strenum<1.3",)
_CUDA = re.compile(r"(torch|triton|(nvidia|cuda)-[a-z0-9-]+)==")
_WHEEL = re.compile(r'href="[^"]*/(torch-[^"/#]+\.whl)#sha256=([0-9a-f]{64})"')
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def resolved(torch: str) -> str:
    """The lock of everything for every system and Python, as uv prints it.

    Args:
        torch: the version of PyTorch, such as `torch==2.13.0`.
    """
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("\n".join((torch, *CONSTRAINTS)))
        options = ("--extra=dev", "--universal", "--python-version=3.10", "--generate-hashes", "--quiet")
        command = (
            sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", *options, "--no-annotate", "--no-header",
            f"--exclude-newer={LEAST_AGE}", f"--constraints={constraints}",
        )  # fmt: skip
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout


def split(lock: str) -> tuple[str, str]:
    """A lock as uv prints it, parted into PyTorch with its CUDA libraries, and everything else."""
    entries = re.split(r"\n(?=\S)", lock.strip())
    parts = [[entry for entry in entries if bool(_CUDA.match(entry)) is cuda] for cuda in (True, False)]
    return "\n".join(parts[0]) + "\n", "\n".join(parts[1]) + "\n"


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
    """Write the three files."""
    cuda, others = split(resolved(torch))
    cpu = torch_cpu(torch)
    write(PACKAGES, others, "What headsplat and its development need, without PyTorch.")
    write(TORCH, cuda, "PyTorch from PyPI; on Linux the build for NVIDIA, with its libraries.")
    write(TORCH_CPU, cpu, f"PyTorch without CUDA for Linux, from {CPU_INDEX}.")


if __name__ == "__main__":
    main(*sys.argv[1:])
