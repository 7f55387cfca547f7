"""Names of devices, on machines with and without a GPU; what torch and the driver report is replaced."""

from __future__ import annotations

import pytest
import torch

import cuda_ext
from avatar.errors import HeadsplatError
from avatar.ops import device_proof
from avatar.ops.devices import chosen_device


def machine(monkeypatch: pytest.MonkeyPatch, gpus: int, problem: str = "") -> None:
    """Let torch report `gpus` devices, which pass the self-check, and the kernels `problem`."""
    monkeypatch.setattr(device_proof, "device_failure", lambda device: "")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(cuda_ext, "available", lambda device="cpu": not problem)
    monkeypatch.setattr(cuda_ext, "reason", lambda device="cpu": problem)


@pytest.mark.parametrize(
    ("name", "device"),
    [("auto", "cuda:0"), ("cpu", "cpu"), ("cuda", "cuda:0"), ("cuda:0", "cuda:0"), ("cuda:1", "cuda:1")],
)
def test_names_select_a_device(monkeypatch: pytest.MonkeyPatch, name: str, device: str) -> None:
    machine(monkeypatch, gpus=2)
    assert chosen_device(name) == torch.device(device)


def test_a_torch_device_is_checked_if_it_is_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, gpus=1)
    for device in (torch.device("cpu"), torch.device("cuda", 0), torch.device("meta")):
        assert chosen_device(device) == device
    with pytest.raises(HeadsplatError, match="cuda:1: no CUDA GPU"):
        chosen_device(torch.device("cuda", 1))


@pytest.mark.parametrize(
    ("gpus", "problem", "name", "sentence"),
    [
        (0, "", "cuda", "device cuda: no CUDA GPU: torch finds no CUDA device."),
        (1, "This build has no kernels.", "cuda:0", "device cuda:0: no CUDA GPU: This build has no kernels."),
        (2, "", "cuda:2", "device cuda:2: no CUDA GPU: torch finds 2, counted from cuda:0."),
    ],
)
def test_a_gpu_that_cannot_be_used_is_an_error(
    monkeypatch: pytest.MonkeyPatch, gpus: int, problem: str, name: str, sentence: str
) -> None:
    machine(monkeypatch, gpus, problem)
    with pytest.raises(HeadsplatError) as error:
        chosen_device(name)
    assert str(error.value) == sentence


@pytest.mark.parametrize(("gpus", "problem"), [(0, ""), (1, "The driver is too old.")])
def test_auto_is_the_cpu_without_a_usable_gpu(monkeypatch: pytest.MonkeyPatch, gpus: int, problem: str) -> None:
    machine(monkeypatch, gpus, problem)
    assert chosen_device("auto") == torch.device("cpu")


@pytest.mark.parametrize("name", ["", "gpu", "CUDA", "cuda:", "cuda:-1", "cuda:01", "cuda:1\n", "cuda:²", "meta"])
def test_other_names_are_an_error(name: str) -> None:
    with pytest.raises(HeadsplatError, match="give auto, cpu, cuda or cuda:N"):
        chosen_device(name)
