"""The pretended GPU of the tests: it finds what a real one would refuse, in the forward and in the backward pass."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from avatar import ops
from tests.support.pretended import GPU, HOST, Device, MixedDevices


def there() -> Tensor:
    """Three numbers on the device."""
    return torch.arange(3.0, device=GPU)


MADE: dict[str, Callable[[], Tensor]] = {
    "zeros": lambda: torch.zeros(2, device="cuda:0"),
    "tensor": lambda: torch.tensor([1.0], device=GPU),
    "as_tensor of a host's": lambda: torch.as_tensor(torch.ones(2), device=GPU),
    "zeros_like of a host's": lambda: torch.zeros_like(torch.ones(2), device=GPU),
    "to": lambda: torch.ones(2).to(GPU),
    "to another": lambda: torch.ones(2).double().to(there()),
    "new_zeros": lambda: there().new_zeros(2),
    "new_tensor": lambda: there().new_tensor([1.0]),
    "sum": lambda: there() + 1,
    "a number of the host": lambda: there() * torch.tensor(2.0),
    "view": lambda: there()[1:],
    "clone": lambda: there().clone(),
    "copy": lambda: copy.deepcopy(there()),
    "parameter": lambda: nn.Parameter(there()),
    "module": lambda: nn.Linear(2, 2).to(GPU).weight,
    "kernel": lambda: ops.to_bytes(there().expand(1, 2, 2, 3), there().new_ones(1, 2, 2), there()),
}


@pytest.mark.parametrize("name", MADE)
def test_results_are_on_the_device(gpu: Device, name: str) -> None:
    assert MADE[name]().device == GPU


def test_a_module_leaves_the_device_and_others_never_were_there(gpu: Device) -> None:
    source = torch.ones(2)
    assert source.to(GPU).device == GPU and source.device == HOST
    assert there().cpu().device == there().to("cpu", torch.float64).device == HOST
    assert nn.Linear(2, 2).to(GPU).cpu().weight.device == HOST
    assert torch.ones(2).device == (torch.ones(2) + 1).device == HOST


MIXED: dict[str, Callable[[], Any]] = {
    "sum": lambda: there() + torch.ones(3),
    "sum in place": lambda: there().add_(torch.ones(3)),
    "index": lambda: there()[torch.tensor([0])],
    "index of the host's": lambda: torch.ones(3)[there().long()],
    "cat": lambda: torch.cat([there(), torch.ones(1)]),
    "stack of numbers": lambda: torch.stack([there().sum(), torch.tensor(1.0)]),
    "product": lambda: torch.eye(3) @ there(),
    "where": lambda: torch.where(torch.ones(3, dtype=torch.bool), there(), 0.0),
    "numpy": lambda: there().numpy(),
    "array": lambda: __import__("numpy").asarray(there()),
    "kernel": lambda: ops.blend(None, torch.ones(2, 3, 11), there().new_ones(1, 2)),
}


@pytest.mark.parametrize("name", MIXED)
def test_a_mix_is_found(gpu: Device, name: str) -> None:
    with pytest.raises((MixedDevices, ValueError), match="cuda:0"):
        MIXED[name]()


class _MixesInBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return 2 * value

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0] * torch.ones(3)


@pytest.mark.parametrize(
    "run", [lambda value, out: out.backward(), lambda value, out: torch.autograd.grad(out, value)], ids=["all", "grad"]
)
def test_a_mix_in_the_backward_pass_is_found(gpu: Device, run: Callable[[Tensor, Tensor], None]) -> None:
    value = there().requires_grad_()
    with pytest.raises(MixedDevices, match="aten::mul"):
        run(value, _MixesInBackward.apply(value).sum())


def test_gradients_are_on_the_device(gpu: Device) -> None:
    value = there().requires_grad_()
    (value.square() + 1).sum().backward()
    assert value.grad is not None and value.grad.device == GPU
    assert value.grad.cpu().tolist() == [0, 2, 4]


WAITS: dict[str, Callable[[], Any]] = {
    "item": lambda: there().sum().item(),
    "bool": lambda: bool(there().sum() > 0),
    "tolist": lambda: there().tolist(),
    "cpu": lambda: there().cpu(),
    "nonzero": lambda: there().nonzero(),
    "mask": lambda: there()[there() > 0],
    "copy to the host": lambda: torch.zeros(3).copy_(there()),
}


@pytest.mark.parametrize("name", WAITS)
def test_what_waits_for_the_device_is_counted(gpu: Device, name: str) -> None:
    WAITS[name]()
    assert gpu.waits.total() == 1


def test_what_only_queues_work_is_not_counted(gpu: Device) -> None:
    value = there()
    torch.zeros(3, device=GPU).copy_(value)
    (value[torch.zeros(1, dtype=torch.int64, device=GPU)] + value.sum()).clone().to(GPU)
    assert gpu.waits.total() == 0


def test_memory_that_is_used_again_is_not_taken_for_the_devices(gpu: Device) -> None:
    for _ in range(200):
        there()
        assert torch.arange(3.0).device == HOST
