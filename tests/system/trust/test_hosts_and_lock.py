"""Live sources listen only where the user said; `make` installs only packages whose hashes are in the repository."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from avatar.common.toml_config import toml_reader
from avatar.errors import HeadsplatError
from avatar.jobs.live_sources import LiveSources, SourceOptions
from capture.live.open import open_pose_source
from capture.live.protocols.registry import PROTOCOLS, udp_source
from capture.live.protocols.udp import UdpSource
from tests.support import lock

ROOT = Path(__file__).parents[3]

# Hosts


@pytest.mark.parametrize(
    "host", ["", " ", "::", "::1", "0", "0x7f.1", "127.1", "a b", "<broadcast>", "a\0b", "a" * 300]
)
def test_a_host_that_is_no_address_and_no_name_is_refused(host: str) -> None:
    for make in (
        lambda: UdpSource(PROTOCOLS["vmc"], host),
        lambda: udp_source("vmc", host),
        lambda: open_pose_source(None, "vmc", host=host),
        lambda: list(LiveSources(SourceOptions(listen="vmc"), host, None).choices()),
        lambda: list(LiveSources(SourceOptions(), host, None).choices()),
    ):
        with pytest.raises(HeadsplatError, match=r"^--host .*: expected an IPv4 address of this machine"):
            make()


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost", "my-machine.local"])
def test_addresses_and_names_are_accepted(host: str) -> None:
    assert udp_source("vmc", host).host == host


def test_without_a_host_only_this_machine_can_send() -> None:
    assert udp_source("vmc").host == "127.0.0.1"


def test_a_name_that_does_not_resolve_is_one_sentence() -> None:
    with pytest.raises(
        HeadsplatError, match=r"^no-such-host\.invalid:39539: cannot listen on this address \(.*\); give"
    ):
        udp_source("vmc", "no-such-host.invalid").start()


@pytest.mark.parametrize("port", ["0", "65536", "-1", "00000000080", "00008099999", "9" * 5000, "1e3", "\u0663"])
def test_a_port_that_does_not_exist_is_refused(port: str) -> None:
    with pytest.raises(HeadsplatError, match=r"invalid port .*; give a number from 1 to 65535"):
        udp_source(f"vmc:{port}")


# Lock files

#: Of the systems on which `make test` is run.
SYSTEMS = {
    "linux": {"sys_platform": "linux", "os_name": "posix", "platform_system": "Linux", "platform_machine": "x86_64"},
    "macos": {"sys_platform": "darwin", "os_name": "posix", "platform_system": "Darwin", "platform_machine": "arm64"},
    "windows": {"sys_platform": "win32", "os_name": "nt", "platform_system": "Windows", "platform_machine": "AMD64"},
}
PYTHONS = ("3.10.13", "3.11.7", "3.12.1", "3.13.0")
ENVIRONMENTS = [
    {**system, "python_version": python.rpartition(".")[0], "python_full_version": python}
    for python in PYTHONS
    for system in SYSTEMS.values()
]


def entries(path: Path) -> Iterator[tuple[Requirement, list[str]]]:
    """Requirements of a lock file with their hashes."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    for entry in re.split(r"\n(?=\S)", "\n".join(lines)):
        requirement, *options = (part.strip() for part in entry.split("\\\n"))
        assert all(option.startswith("--hash=sha256:") for option in options), entry
        yield Requirement(requirement), [option.removeprefix("--hash=sha256:") for option in options]


LOCKS = {path.stem: list(entries(path)) for path in (lock.PACKAGES, lock.DEV, lock.TORCH, lock.TORCH_CPU)}


def required(develop: bool) -> list[Requirement]:
    """What pyproject.toml needs to run and to build, and with `develop` to test it."""
    project = toml_reader.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    texts = [*project["project"]["dependencies"], *project["build-system"]["requires"], *lock.BUILD]
    texts += project["project"]["optional-dependencies"]["dev"] if develop else []
    return [Requirement(text) for text in texts]


def locked(name: str, environment: dict[str, str], develop: bool = True) -> list[Version]:
    """The locked versions of a package in an environment; of PyTorch both builds, without their labels."""
    return [
        Version(Version(str(requirement.specifier).removeprefix("==")).public)
        for file, group in LOCKS.items()
        if develop or file != lock.DEV.stem
        for requirement, _ in group
        if canonicalize_name(requirement.name) == canonicalize_name(name)
        and (requirement.marker is None or requirement.marker.evaluate({**environment}))
    ]


def test_every_package_is_exact_and_has_hashes() -> None:
    for group in LOCKS.values():
        assert group
        for requirement, digests in group:
            assert re.fullmatch(r"==[\w.+!]+", str(requirement.specifier)), requirement
            assert digests and all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in digests), requirement


@pytest.mark.parametrize("develop", [True, False], ids=["develop", "run"])
@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda e: f"{e['sys_platform']}-{e['python_version']}")
def test_the_lock_satisfies_the_ranges_of_the_project(environment: dict[str, str], develop: bool) -> None:
    for requirement in required(develop):
        if requirement.marker is None or requirement.marker.evaluate({**environment}):
            versions = locked(requirement.name, environment, develop)
            assert len(set(versions)) == 1, f"{requirement}: {versions}"
            assert requirement.specifier.contains(versions[0]), f"{requirement}: {versions[0]} is locked"


@pytest.mark.parametrize("files", [("packages", "torch"), ("packages", "dev", "torch", "torch-cpu")], ids="+".join)
def test_what_the_packages_need_themselves_is_locked_too(files: tuple[str, ...]) -> None:
    names = {canonicalize_name(requirement.name) for file in files for requirement, _ in LOCKS[file]}
    missing = set()
    for name in names:
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # for another system or Python
        for requirement in map(Requirement, needs):
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                missing |= {canonicalize_name(requirement.name)} - names
    assert missing == set()


def test_torch_is_the_version_of_the_makefile_in_both_builds() -> None:
    (pinned,) = re.findall(r"^TORCH \?= (\S+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    torch = {name: str(r) for name in ("torch", "torch-cpu") for r, _ in LOCKS[name] if r.name == "torch"}
    assert torch == {"torch": pinned, "torch-cpu": f"{pinned}+cpu"}
    assert "torch" not in {requirement.name for file in ("packages", "dev") for requirement, _ in LOCKS[file]}


def test_the_tools_of_tests_and_style_are_not_among_the_packages() -> None:
    packages, dev = ({requirement.name for requirement, _ in LOCKS[file]} for file in ("packages", "dev"))
    assert {"pytest", "mypy", "ruff", "ray"} <= dev
    assert not packages & dev


@pytest.mark.skipif(shutil.which("make") is None, reason="no make on this machine")
@pytest.mark.parametrize("locked_install", [True, False])
@pytest.mark.parametrize("target, files", [("installed", ["torch", "packages"]), ("dev", ["torch", "packages", "dev"])])
def test_make_installs_nothing_without_its_hash_unless_told_to(
    tmp_path: Path, target: str, files: list[str], locked_install: bool
) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "TORCH", "LOCK")}
    arguments = [f"VENV={tmp_path}", *([] if locked_install else ["LOCK="]), f"{tmp_path}/.{target}"]
    shown = subprocess.run(
        ["make", "-n", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    ).stdout
    installs = [line for line in shown.splitlines() if "pip install" in line]
    kernels = (
        "--quiet --no-deps --no-build-isolation --editable ."  # dev compiles the CUDA kernels, if nothing did before
    )
    if target == "dev" and not locked_install and installs[-1].endswith(kernels):
        installs.pop()
    expected = len(files) + 1 if locked_install else {"installed": 3, "dev": 4}[target]
    assert len({line.removeprefix("HEADSPLAT_CUDA=${HEADSPLAT_CUDA:-OFF} ") for line in installs}) == expected
    hashed = [line for line in installs if "--require-hashes" in line and re.search(r"requirements/\S+\.lock$", line)]
    if locked_install:
        own = [line for line in installs if line not in hashed]
        assert all(line.endswith(f"pip install {kernels}") for line in own)
        headsplat = own[0]
        found = [re.sub(r".*/([a-z]+)(-cpu)?\.lock$", r"\1", line) for line in hashed]
        assert found == files
        assert all("--no-deps" in line for line in hashed)
        assert "--no-deps" in headsplat and "--no-build-isolation" in headsplat and headsplat.endswith(" .")
    else:
        assert hashed == []


def test_cuda_libraries_are_parted_from_the_packages() -> None:
    resolved = (
        "av==1 \\\n    --hash=sha256:aa\nnvidia-cublas==2 ; x \\\n    --hash=sha256:bb\ntorch==3\ntriton==4\ntqdm==5\n"
    )
    assert lock.split(resolved) == (
        "nvidia-cublas==2 ; x \\\n    --hash=sha256:bb\ntorch==3\ntriton==4\n",
        "av==1 \\\n    --hash=sha256:aa\ntqdm==5\n",
    )


def test_what_runs_is_parted_from_what_develops() -> None:
    resolved = "av==1 ; x \\\n    --hash=sha256:aa\nav==2 \\\n    --hash=sha256:bb\nmypy==3 \\\n    --hash=sha256:cc\n"
    assert lock.parted(resolved, {"av"}) == (
        "av==1 ; x \\\n    --hash=sha256:aa\nav==2 \\\n    --hash=sha256:bb\n",
        "mypy==3 \\\n    --hash=sha256:cc\n",
    )


def test_hashes_of_the_cpu_build_are_those_of_its_wheels_for_linux() -> None:
    page = "".join(
        f'<a href="/whl/cpu/{name}#sha256={digit * 64}">x</a><br/>'
        for name, digit in (
            ("torch-2.13.0%2Bcpu-cp311-cp311-manylinux_2_28_x86_64.whl", "a"),
            ("torch-2.13.0%2Bcpu-cp311-cp311-win_amd64.whl", "b"),
            ("torch-2.13.0-cp311-cp311-macosx_14_0_arm64.whl", "c"),
            ("torch-2.12.0%2Bcpu-cp311-cp311-manylinux_2_28_x86_64.whl", "d"),
        )
    )
    assert lock.wheels_of(page, "2.13.0+cpu") == {"torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl": "a" * 64}


def test_a_workflow_keeps_the_locks_fresh() -> None:
    workflow = (ROOT / ".github" / "workflows" / "lock.yml").read_text(encoding="utf-8")
    assert "cron:" in workflow and "run: make lock" in workflow and "gh pr create" in workflow
