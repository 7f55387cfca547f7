"""Adapters of nvdiffrast and tiny-cuda-nn: with the real packages on a GPU, with stand-ins in the emulator.

Each fault of a package is found by its self-check, and the fall-back is one sentence.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from avatar import ops
from avatar.cli import doctor
from avatar.ops import devices, package_check, packages
from tests.support import nvdiffrast_stand_in, tinycudann_stand_in

CASES = {"nvdiffrast": ["mesh", "layer"], "tinycudann": ["hash grid", "small network", "network of the weights"]}
STAND_INS: dict[str, Callable[..., AbstractContextManager[Any]]] = {
    "nvdiffrast": nvdiffrast_stand_in.installed,
    "tinycudann": tinycudann_stand_in.installed,
}

IN_THE_EMULATOR = pytest.mark.parametrize("device", ["emulated"], indirect=True)


@pytest.fixture(params=["nvdiffrast", "tinycudann"])
def package(request: pytest.FixtureRequest, device: torch.device) -> Iterator[str]:
    """A package: the real one on a GPU, the stand-in in the emulator."""
    name: str = request.param
    if device.type == "cuda" and importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    with nullcontext() if device.type == "cuda" else STAND_INS[name]():
        yield name


def test_the_adapter_of_a_package_gives_the_images_and_gradients_of_our_op(device: torch.device, package: str) -> None:
    rows = package_check.check(package, device)
    assert [row.op for row in rows] == CASES[package]
    assert [(row.op, row.failure) for row in rows if row.failure] == []


FAULTS: dict[str, tuple[str, Any, str, str]] = {
    "rows": ("nvdiffrast", nvdiffrast_stand_in.flipped, "mesh", "differs from the reference"),
    "half a pixel": ("nvdiffrast", nvdiffrast_stand_in.shifted, "mesh", "differs from the reference"),
    "triangle": ("nvdiffrast", nvdiffrast_stand_in.next_triangle, "mesh", "differs from the reference"),
    "corners": ("nvdiffrast", nvdiffrast_stand_in.swapped, "mesh", "differs from the reference"),
    "nan": ("nvdiffrast", nvdiffrast_stand_in.with_nan, "mesh", "differs from the reference by inf"),
    "error": ("nvdiffrast", nvdiffrast_stand_in.raising, "mesh", "fails: Cuda error: 700[cudaLaunchKernel]"),
    "prime": ("tinycudann", {"prime": 2654435763}, "hash grid", "differs from the reference"),
    "offset": ("tinycudann", {"offset": 0.0}, "hash grid", "differs from the reference"),
    "gradient": ("tinycudann", {"gradient": 1.1}, "hash grid", "differs from the reference"),
    "no network": ("tinycudann", {"nan": True}, "hash grid", "differs from the reference by inf"),
    "dtype": ("tinycudann", {"half_encoding": True}, "hash grid", "fails: tinycudann gives torch.float16, not torch."),
    "slope": ("tinycudann", {"slope": 0.2}, "small network", "differs from the reference"),
    "memory": ("tinycudann", {"error": "out of memory"}, "hash grid", "fails: out of memory"),
}


@IN_THE_EMULATOR
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_a_package_is_found(device: torch.device, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    name, injected, op, words = FAULTS[fault]
    chosen = [case for case in package_check.cases(name) if case.op == op]
    monkeypatch.setattr(package_check, "cases", lambda _: chosen)
    options = {"fault": injected} if name == "nvdiffrast" else injected
    with STAND_INS[name](**options):
        (row,) = package_check.check(name, device)
    assert row.failure.startswith(words)


@IN_THE_EMULATOR
def test_a_wrong_scale_of_gradients_fails_in_every_network(device: torch.device) -> None:
    with tinycudann_stand_in.installed(gradient=1.1):
        assert all(row.failure for row in package_check.check("tinycudann", device))


class Machine:
    """A GPU that is not there, on which `run_check` ends as `failure` says."""

    def __init__(self) -> None:
        self.checks: list[str] = []
        self.failure = ""
        self.state = {"name": "Test GPU", "driver": "13000"}
        self.like: Any = SimpleNamespace(device=torch.device("cuda", 0), dtype=torch.float32)

    def check(self, name: str, _: torch.device) -> str:
        self.checks.append(name)
        return self.failure

    def attempt(self, call: Callable[[Any], Any] = lambda adapter: "theirs") -> Any:
        return packages.attempted("nvdiffrast", self.like, call)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Machine]:
    there = Machine()
    monkeypatch.setenv("HEADSPLAT_CACHE", str(tmp_path))
    monkeypatch.setattr(packages, "_proofs", {})
    monkeypatch.setattr(packages, "describe", lambda *_: dict(there.state))
    monkeypatch.setattr(packages, "run_check", there.check)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    with nvdiffrast_stand_in.installed():
        yield there


def test_a_package_is_used_only_where_it_is_wanted(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    on_the_host: Any = SimpleNamespace(device=torch.device("cpu"), dtype=torch.float32)
    assert machine.attempt() is None
    with ops.other_packages(False):
        assert machine.attempt() is None
    with ops.other_packages():
        assert packages.attempted("nvdiffrast", on_the_host, lambda adapter: "theirs") is None
        with packages.own_ops():
            assert machine.attempt() is None
        monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
        assert machine.attempt() is None
        assert not machine.checks
        monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
        assert machine.attempt() == "theirs"
    assert machine.attempt() is None


def test_a_package_is_checked_once_until_a_version_changes(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def checks() -> int:
        monkeypatch.setattr(packages, "_proofs", {})  # as in another process
        with ops.other_packages():
            assert machine.attempt() == machine.attempt() == "theirs"
        return len(machine.checks)

    assert checks() == checks() == 1
    machine.state["driver"] = "13010"
    assert checks() == 2
    monkeypatch.setattr(packages, "version_of", lambda _: "0.4")
    assert checks() == checks() == 3


def test_a_failed_check_is_one_sentence_and_our_op(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    machine.failure = packages.failure_of(
        "nvdiffrast", machine.like.device, ["mesh differs by 1.0e-01", "layer differs"]
    )
    with ops.other_packages(), caplog.at_level(logging.WARNING):
        assert machine.attempt() is machine.attempt() is None
    words = "nvdiffrast fails its self-check on cuda:0: mesh differs by 1.0e-01, and 1 more fail"
    assert [record.getMessage() for record in caplog.records] == [f"{words}; headsplat's own kernels are used"]
    assert machine.checks == ["nvdiffrast"]
    assert packages.state_of("nvdiffrast", machine.like.device) == f"headsplat's own: {words}"


def test_a_package_that_fails_later_is_not_called_again(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    calls: list[int] = []

    def out_of_memory(adapter: Any) -> None:
        calls.append(1)
        raise RuntimeError("out of memory\nmore")

    with ops.other_packages(), caplog.at_level(logging.WARNING):
        assert machine.attempt(out_of_memory) is machine.attempt(out_of_memory) is None
    (message,) = [record.getMessage() for record in caplog.records]
    assert message == "nvdiffrast fails on cuda:0: out of memory; headsplat's own kernels are used"
    assert len(calls) == 1


def test_doctor_says_which_one_is_used_and_why_not(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = machine.like.device
    assert packages.state_of("tinycudann", gpu) == "headsplat's own: tinycudann is not installed"
    assert packages.state_of("nvdiffrast", None) == "headsplat's own: nvdiffrast is for CUDA, and no GPU can be used"
    assert packages.state_of("nvdiffrast", gpu).startswith("headsplat's own until nvdiffrast is checked, on first use")
    assert packages.check_again(gpu)["nvdiffrast"] == "nvdiffrast, unless --rasterizer own"
    assert machine.checks == ["nvdiffrast"]
    monkeypatch.setattr(devices, "gpu", lambda _: gpu)
    used = doctor.examine()["cuda_packages"]
    assert used["nvdiffrast"] == f"{packages.PACKAGES['nvdiffrast']}: nvdiffrast, unless --rasterizer own"
