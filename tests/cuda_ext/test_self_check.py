"""The self-check of a GPU, on one and in the emulator: it passes, finds injected faults, and keeps its result."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

import cuda_ext
from avatar import cli
from avatar.errors import HeadsplatError
from avatar.ops import device_proof, devices, self_check
from avatar.ops.backend import wrapped_native
from avatar.ops.check_cases import Case, cases
from avatar.ops.devices import chosen_device

Outputs = list[Tensor]


class Faulty:
    """Native functions of which one spoils the tensors that it writes."""

    def __init__(self, native: Any, name: str, spoil: Callable[[Outputs], None]) -> None:
        self._native, self._name, self._spoil = native, name, spoil
        self._outputs: set[int] = set()  # arguments that a call has changed

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._native, name)
        if name != self._name:
            return function

        def spoiled(*arguments: Any) -> Any:
            before = [value.clone() for value in _tensors(arguments)]
            result = function(*arguments)
            after = _tensors(arguments)
            # New memory may hold the result of an earlier call: what was written once is an output in every call.
            self._outputs |= {at for at, then in enumerate(before) if not _equal(after[at], then)}
            self._spoil([after[at] for at in sorted(self._outputs)])
            return result

        return spoiled


def _tensors(arguments: tuple[Any, ...]) -> Outputs:
    found: Outputs = []
    for value in arguments:
        if isinstance(value, tuple):
            found += _tensors(value)
        elif isinstance(value, Tensor) and value.dtype == torch.float32:
            found.append(value)
    return found


def _equal(one: Tensor, other: Tensor) -> bool:
    return torch.equal(one.nan_to_num(), other.nan_to_num())


def off_by_a_thousandth(written: Outputs) -> None:
    for value in written:
        value.mul_(1.001)


class Random:
    """Adds a rounding error of another size at each call, as a sum in another order does."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, written: Outputs) -> None:
        self.calls += 1
        for value in written:
            value.mul_(1 + self.calls * 2e-7)


class Late:
    """Shows what the call before has written: the result of this one is not there yet."""

    def __init__(self) -> None:
        self.before: list[Tensor] = []

    def __call__(self, written: Outputs) -> None:
        now = [value.clone() for value in written]
        for value, stale in zip(written, self.before, strict=False):
            if value.shape == stale.shape:
                value.copy_(stale)
        self.before = now


class Machine:
    """A machine with one GPU, whose kernels are those of the tests' device."""

    def __init__(self) -> None:
        self.checks = 0
        self.state = {"name": "Test GPU", "driver": "13000", "kernels": "1"}


@pytest.fixture
def machine(device: torch.device, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    there = Machine()

    def check(_: torch.device) -> list[self_check.Row]:
        there.checks += 1
        return self_check.self_check(device)

    monkeypatch.setenv("HEADSPLAT_CACHE", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(device_proof, "describe", lambda _: dict(there.state))
    monkeypatch.setattr(device_proof, "self_check", check)
    monkeypatch.setattr(device_proof, "_known", {})
    monkeypatch.setattr(devices, "_reported", set())
    return there


def only(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let the check have these cases alone."""
    chosen = [case for case in cases() if case.op in names]
    monkeypatch.setattr(self_check, "cases", lambda: chosen)


def test_a_device_whose_kernels_are_right_passes(device: torch.device) -> None:
    rows = self_check.self_check(device)
    assert [(row.op, row.failure) for row in rows if row.failure] == []
    assert all(row.same_bits and row.error < row.tolerance / 2 for row in rows)


FUNCTIONS = {
    "blend": "blend", "bind_backward": "bind", "splat_forward": "splat", "splat_backward": "splat",
    "photometric": "photometric", "adam_step": "adam_step", "deform": "training step",
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(
    ("fault", "words"),
    [(lambda: off_by_a_thousandth, "differs from the reference by"), (Random, "gives other bits on a second run")],
    ids=["off", "random"],
)
def test_a_wrong_kernel_is_named(
    device: torch.device, monkeypatch: pytest.MonkeyPatch, name: str, fault: Callable[[], Any], words: str
) -> None:
    only(monkeypatch, FUNCTIONS[name])
    spoil = fault()
    with wrapped_native(lambda native: Faulty(native, name, spoil)):
        failed = [row for row in self_check.self_check(device) if row.failure]
    assert failed[0].op == FUNCTIONS[name]
    assert words in failed[0].failure


@pytest.mark.parametrize("name", ["blend", "splat_forward"])
def test_a_result_that_comes_late_is_found(device: torch.device, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    only(monkeypatch, FUNCTIONS[name])
    late = Late()
    with wrapped_native(lambda native: Faulty(native, name, late)):
        (row,) = self_check.self_check(device)
    assert "with inputs that were written just before" in row.failure


def test_a_kernel_that_ignores_strides_is_found(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "blend", "photometric")
    contiguous = Tensor.contiguous

    def ignored(value: Tensor, **options: Any) -> Tensor:
        if value.dtype != torch.float32 or value.is_contiguous():
            return contiguous(value, **options)
        steps = torch.empty(value.shape, device="meta").stride()
        return value.as_strided(value.shape, steps)

    monkeypatch.setattr(Tensor, "contiguous", ignored)
    rows = self_check.self_check(device)
    assert [row.op for row in rows if "with strided inputs" in row.failure] == ["blend", "photometric"]


def test_a_kernel_that_raises_is_a_failure_of_its_op(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Tensor) -> tuple[Tensor, ...]:
        raise RuntimeError("CUDA error: an illegal memory access\nmore lines")

    case = next(case for case in cases() if case.op == "blend")
    right = case.run
    on_device = lambda *values: (right if values[0].dtype == torch.float64 else broken)(*values)  # noqa: E731
    monkeypatch.setattr(self_check, "cases", lambda: [Case("blend", case.inputs, case.learned, on_device)])
    (row,) = self_check.self_check(device)
    assert row.failure == "fails: CUDA error: an illegal memory access"


def test_auto_reports_a_failure_once_and_stays_on_the_cpu(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    only(monkeypatch, "blend")
    with wrapped_native(lambda native: Faulty(native, "blend", off_by_a_thousandth)), caplog.at_level(logging.WARNING):
        assert chosen_device("auto") == chosen_device("auto") == torch.device("cpu")
        with pytest.raises(HeadsplatError) as error:
            chosen_device("cuda")
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith("cuda:0 (Test GPU) fails the self-check: blend differs from the reference by 1.0e-03 ")
    assert message.endswith("see `headsplat doctor --device cuda:0`; continuing on the CPU")
    assert str(error.value) == "device " + message.removesuffix("; continuing on the CPU")
    assert machine.checks == 1


def test_a_device_that_passed_is_not_checked_again_until_something_changes(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    only(monkeypatch, "blend")

    def choose() -> int:
        monkeypatch.setattr(device_proof, "_known", {})  # as in another process
        assert chosen_device("auto") == chosen_device("cuda") == torch.device("cuda", 0)
        return machine.checks

    assert choose() == choose() == 1
    for count, key in enumerate(machine.state, start=2):
        machine.state[key] += "x"
        assert choose() == choose() == count
    for path in (tmp_path / "devices").iterdir():
        path.write_text('{"checked": ')
    assert choose() == choose() == len(machine.state) + 2
    assert sum("failure" in path.read_text() for path in (tmp_path / "devices").iterdir()) == 1


def test_the_kernels_file_and_the_driver_are_part_of_what_was_checked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "_C.so"
    driver = [13000]
    module = SimpleNamespace(
        __file__=str(file), cuda=SimpleNamespace(device_state=lambda: (12080, driver[0], [(9, 0)], ""))
    )
    monkeypatch.setattr(cuda_ext, "native", lambda: module)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(name="GPU", uuid="GPU-1"))
    file.write_bytes(b"one")
    first = device_proof.describe(torch.device("cuda", 0))
    file.write_bytes(b"two")
    second = device_proof.describe(torch.device("cuda", 0))
    driver[0] = 13010
    third = device_proof.describe(torch.device("cuda", 0))
    assert {key for key in first if first[key] != second[key]} == {"kernels"}
    assert {key for key in second if second[key] != third[key]} == {"driver"}


@pytest.mark.parametrize("broken", [False, True])
def test_doctor_prints_the_table(
    machine: Machine, device: torch.device, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    broken: bool,
) -> None:  # fmt: skip
    only(monkeypatch, "blend", "adam_step")
    monkeypatch.setattr(devices, "gpu", lambda name: torch.device("cuda", 0))
    right = self_check.self_check
    monkeypatch.setattr(self_check, "self_check", lambda _: right(device))
    spoil = off_by_a_thousandth if broken else lambda written: None
    with wrapped_native(lambda native: Faulty(native, "blend", spoil)):
        assert cli.main(["doctor", "--device", "cuda", "--json"]) == int(broken)
        found = json.loads(capsys.readouterr().out)
        assert cli.main(["doctor", "--device", "cuda"]) == int(broken)
    lines = capsys.readouterr().out.splitlines()
    assert [row["op"] for row in found["ops"]] == ["blend", "adam_step"]
    assert found["passed"] is not broken and found["ops"][1]["result"] == "passed"
    assert lines[1].startswith("blend ") and lines[2].endswith("passed")
    assert ("fails the self-check: blend differs" in lines[-1]) is broken
