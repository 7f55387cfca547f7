"""headsplat on a machine that has nothing: in a bare Debian without a compiler, and then without a network.

    python -m tests.support.bare_root wheels --work FOLDER --python /path/to/python3.12 [--python ...]
    python -m tests.support.bare_root dockerfile --work FOLDER --python /path/to/python3.12 -- headsplat doctor

`wheels` makes the wheels of a release (headsplat, headsplat-models, all that they depend on), then installs them in the
bare root, for each Python, without a network, and runs `headsplat demo` there, timed. `dockerfile` runs the steps of
the default target of the Dockerfile in such roots, without a container engine, and then the command without a network.

Both need root, debootstrap, unshare, and a network for Debian's and Python's packages. Each Python is seen in the root
at its own place. `--bind` shows another folder there, `--env` sets a variable for pip in it (an index, certificates).
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: What Python itself is linked with; python:slim images have the same.
LIBRARIES = (
    "ca-certificates,libbz2-1.0,libexpat1,libffi8,liblzma5,libncursesw6,libreadline8,libsqlite3-0,libssl3,zlib1g"
)
SUITE = "bookworm"
COMPILERS = "cc c++ gcc g++ clang cmake"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def missing() -> list[str]:
    """What this machine lacks for it."""
    lacking = [name for name in ("debootstrap", "unshare", "chroot", "ip") if shutil.which(name) is None]
    return lacking if hasattr(os, "geteuid") and os.geteuid() == 0 else ["root", *lacking]


@dataclass(frozen=True)
class BareRoot:
    """A folder with a minimal Debian, and what of this machine is seen in it."""

    folder: Path
    binds: tuple[Path, ...] = ()  # of this machine, read-only, at the same place
    environment: dict[str, str] = field(default_factory=dict)

    @classmethod
    def fresh(cls, work: Path, name: str, binds: tuple[Path, ...], environment: dict[str, str]) -> BareRoot:
        """An unused root in `work`, copied from one that debootstrap makes there once."""
        base, folder = work / "base", work / name
        if not (base / "etc" / "done").is_file():
            shutil.rmtree(base, ignore_errors=True)
            command = ["debootstrap", "--variant=minbase", f"--include={LIBRARIES}", SUITE, str(base)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            (base / "etc" / "done").touch()
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run(["cp", "-a", "--reflink=auto", base, folder], check=True)
        shutil.copy("/etc/resolv.conf", folder / "etc" / "resolv.conf")
        return cls(folder, binds, environment)

    def run(self, script: str, *, network: bool, directory: str = "/") -> None:
        """Run a shell script in the root, with or without a network; raises CalledProcessError where it fails.

        Processes and mounts are in namespaces of their own, which end with it.
        """
        mounts = [f"mount -t proc proc {self.folder}/proc", f"mount --rbind /dev {self.folder}/dev"]
        for path in self.binds:
            target = self.folder / path.relative_to("/")
            target.mkdir(parents=True, exist_ok=True)
            mounts.append(f"mount --bind -o ro {shlex.quote(str(path))} {shlex.quote(str(target))}")
        environment = {"PATH": _PATH, "HOME": "/root", "LANG": "C.UTF-8", **self.environment}
        values = [f"{name}={value}" for name, value in environment.items()]
        inside = f"cd {shlex.quote(directory)}\n{script}"
        enter = shlex.join(["chroot", str(self.folder), "/usr/bin/env", "-i", *values, "/bin/sh", "-ec", inside])
        alone = [] if network else ["--net"]
        lines = [*mounts, *(["ip link set lo up"] if alone else []), f"exec {enter}"]
        subprocess.run(["unshare", "--mount", "--pid", "--fork", *alone, "sh", "-ec", "\n".join(lines)], check=True)


def release_wheels(python: Path, wheels: Path, find_links: list[str]) -> None:
    """Make the wheels of a release for this Python in a folder, with all that they depend on."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        for name in subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0"):
            if name and (ROOT / name).is_file():
                (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, Path(folder) / name)
        tool = [sys.executable, "-m", "tools.models_wheel", "--require", "-o", str(wheels)]
        subprocess.run(tool, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        pip = [str(python), "-m", "pip"]
        options = ["--quiet", "--no-deps", "-w", str(wheels), "--config-settings=cmake.define.HEADSPLAT_CUDA=OFF"]
        subprocess.run([*pip, "wheel", *options, folder], check=True)
    tag = "cp{}{}".format(*python_version(python).split(".")[:2])
    (wheel,) = wheels.glob(f"headsplat-*-{tag}-*.whl")
    links = [f"--find-links={place}" for place in (wheels, *find_links)]
    command = [*pip, "download", "--quiet", "--only-binary=:all:", *links, "-d", str(wheels), str(wheel)]
    subprocess.run(command, check=True)


def python_version(python: Path) -> str:
    """Such as 3.11.7."""
    code = "import platform; print(platform.python_version())"
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def prefix(python: Path) -> Path:
    """The folder in which a Python is installed."""
    command = [python, "-c", "import sys; print(sys.base_prefix)"]
    return Path(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())


def check_wheels(options: argparse.Namespace) -> None:
    """Install the wheels of a release without compiler and network, run the demo, print the seconds of both."""
    for python in options.python:
        version = python_version(python)
        wheels = options.work / f"wheels-{version}"
        wheels.mkdir(parents=True, exist_ok=True)
        release_wheels(python, wheels, options.find_links)
        binds = (prefix(python), wheels, *options.bind)
        root = BareRoot.fresh(options.work, f"root-{version}", binds, {"PIP_DISABLE_PIP_VERSION_CHECK": "1"})
        root.run(f"for name in {COMPILERS}; do ! command -v $name; done", network=False)
        began = time.monotonic()
        home = prefix(python) / "bin" / f"python{'.'.join(version.split('.')[:2])}"
        install = f"/opt/headsplat/bin/pip install --quiet --no-index --find-links {wheels} headsplat"
        root.run(f"{home} -m venv /opt/headsplat\n{install}", network=False)
        installed = time.monotonic()
        root.run("/opt/headsplat/bin/headsplat demo -o /demo --progress json 2>/demo.log", network=False)
        ended = time.monotonic()
        print(
            f"Python {version}: installed in {installed - began:.0f} s, demo in {ended - installed:.0f} s", flush=True
        )
        if not options.keep:
            shutil.rmtree(root.folder)


def dockerfile_stages(text: str) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """(image, name, instructions with their text) of each stage of a Dockerfile; continued lines are joined."""
    stages: list[tuple[str, str, list[tuple[str, str]]]] = []
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        instruction, _, rest = line.partition(" ")
        if instruction == "FROM":
            image, _, name = rest.partition(" AS ")
            stages.append((image.strip(), name.strip(), []))
        elif stages:
            stages[-1][2].append((instruction, rest.strip()))
    return stages


def check_dockerfile(options: argparse.Namespace) -> None:
    """Run the stages that the last one of the Dockerfile needs, in bare roots, then a command without a network."""
    stages = {name: (image, steps) for image, name, steps in dockerfile_stages((ROOT / "Dockerfile").read_text())}
    roots: dict[str, BareRoot] = {}
    for name in _needed(stages):
        image, steps = stages[name]
        if image in roots:
            root = roots[image]
        else:
            if not image.startswith("python:"):
                raise SystemExit(f"{image}: only stages of python images can be run without a container engine")
            (python,) = options.python
            extra = dict(pair.split("=", 1) for pair in options.env)
            root = BareRoot.fresh(options.work, f"root-{name}", (prefix(python), *options.bind), extra)
            for command in ("python", "python3"):  # where the image has it
                (root.folder / "usr" / "local" / "bin" / command).symlink_to(python)
        directory = "/"
        for instruction, text in steps:
            print(f"{name}: {instruction} {text[:100]}", flush=True)
            if instruction == "WORKDIR":
                directory = text
                (root.folder / text.lstrip("/")).mkdir(parents=True, exist_ok=True)
            elif instruction in ("ENV", "ARG"):
                for pair in shlex.split(text):
                    key, _, value = pair.partition("=")
                    root.environment.setdefault(key, value)
            elif instruction == "COPY":
                _copy(text, directory, root, roots)
            elif instruction == "RUN":
                root.run(text, network=True, directory=directory)
        roots[name] = root
    if options.command:
        began = time.monotonic()
        root.run(shlex.join(options.command), network=False, directory=directory)
        print(f"{shlex.join(options.command)}: {time.monotonic() - began:.0f} s without a network")


def _needed(stages: dict[str, tuple[str, list[tuple[str, str]]]]) -> list[str]:
    """The last stage, after those that it starts from or copies from."""
    order: list[str] = []

    def visit(name: str) -> None:
        image, steps = stages[name]
        copied = [found for kind, text in steps if kind == "COPY" for found in re.findall(r"--from=(\S+)", text)]
        for before in [image, *copied]:
            if before in stages and before not in order:
                visit(before)
        order.append(name)

    visit(list(stages)[-1])
    return order


def _copy(text: str, directory: str, root: BareRoot, roots: dict[str, BareRoot]) -> None:
    """COPY SOURCE... TARGET: from the files of this checkout that git knows, or from another stage."""
    words = shlex.split(text)
    origin = next((word.removeprefix("--from=") for word in words if word.startswith("--from=")), None)
    *sources, target = [word for word in words if not word.startswith("--")]
    place = root.folder / os.path.join(directory, target).lstrip("/")
    place.mkdir(parents=True, exist_ok=True)
    for source in sources:
        if origin is not None:
            subprocess.run(["cp", "-a", f"{roots[origin].folder}{source}/.", place], check=True)
            continue
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", source]
        for name in subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0"):
            if not name or not (ROOT / name).is_file() or not in_build_context(name):
                continue
            # A folder's content is copied, a file by its name.
            below = Path(name).relative_to(source) if (ROOT / source).is_dir() else Path(Path(name).name)
            (place / below).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, place / below)


def in_build_context(name: str) -> bool:
    """Whether a file that git knows is sent to a container engine: .dockerignore excludes all but some names."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    return any(name == line[1:] or name.startswith(f"{line[1:]}/") for line in lines if line.startswith("!"))


def main(arguments: list[str]) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("wheels", "dockerfile"))
    parser.add_argument("--work", type=Path, required=True, help="folder for roots and wheels; kept")
    parser.add_argument("--python", type=Path, action="append", required=True)
    parser.add_argument("--bind", type=Path, action="append", default=[])
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument(
        "--find-links", action="append", default=[], help="wheels that the index lacks, such as PyTorch's"
    )
    parser.add_argument("--keep", action="store_true", help="leave the roots of wheels with what the demo wrote")
    at = arguments.index("--") if "--" in arguments else len(arguments)
    options = parser.parse_args(arguments[:at])
    options.command = arguments[at + 1 :]  # of dockerfile: run in the last stage
    if lacking := missing():
        sys.exit(f"this needs {', '.join(lacking)}")
    options.work = options.work.resolve()
    options.work.mkdir(parents=True, exist_ok=True)
    (check_wheels if options.what == "wheels" else check_dockerfile)(options)


if __name__ == "__main__":
    main(sys.argv[1:])
