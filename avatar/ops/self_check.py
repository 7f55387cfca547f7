"""The self-check of a GPU: every native op and a small training step, compared with the reference in float64."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from .check_cases import Case, Tensors, cases
from .packages import own_ops

_WAIT_CYCLES = 5_000_000  # some milliseconds, by which inputs come late
_DECOY = 0.75  # times the inputs: what is in their memory before


@dataclass(frozen=True)
class Row:
    """How one op did."""

    op: str
    error: float  # largest difference of values and gradients, relative to the largest value; inf: not finite
    tolerance: float
    same_bits: bool  # of two runs
    failure: str  # what is wrong, as in "blend ..."; empty: nothing

    @property
    def result(self) -> str:
        return self.failure or "passed"


def self_check(device: torch.device) -> list[Row]:
    """Run every case on `device`; a few seconds, no exception for a kernel that fails.

    Each runs twice with the same inputs, then with strided ones, and then with inputs that another stream has only
    just written over other values. On the CPU it checks the kernels that `native_for` gives for CPU tensors.
    """
    with own_ops():
        return [check_case(case, device) for case in cases()]


def check_case(case: Case, device: torch.device) -> Row:
    """Run one case on `device`, in all ways of `self_check`."""
    rounded = tuple(value.float().double() if value.is_floating_point() else value for value in case.inputs)
    expected = _run(case, rounded)
    inputs = tuple((value.float() if value.is_floating_point() else value).to(device) for value in rounded)
    try:
        first = _run(case, inputs)
        second = _run(case, inputs)
        strided = _run(case, [_with_strides(value) for value in inputs])
        late = _run_late(case, inputs, device)
        same = all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
        errors = [largest_error(outputs, expected, case.strays) for outputs in (first, second, strided, late)]
    except Exception as error:  # whatever a broken driver or kernel raises
        words = str(error).strip().splitlines()
        return Row(
            case.op, float("inf"), case.tolerance, False, f"fails: {words[0] if words else type(error).__name__}"
        )
    return Row(case.op, max(errors), case.tolerance, same, _failure(errors, case.tolerance, same or not case.same_bits))


def _failure(errors: Sequence[float], tolerance: float, same: bool) -> str:
    kinds = ("", "", " with strided inputs", " with inputs that were written just before")
    for error, kind in zip(errors, kinds, strict=True):
        if not error <= tolerance:
            return f"differs from the reference by {error:.1e}{kind} (allowed: {tolerance:.0e})"
    return "" if same else "gives other bits on a second run"


def _run(case: Case, inputs: Sequence[Tensor]) -> Tensors:
    """Outputs and the gradients of a fixed weighted sum of them."""
    if not case.learned:
        return tuple(value.detach() for value in case.run(*inputs))
    leaves = [value.detach().requires_grad_() for value in inputs[: case.learned]]
    outputs = case.run(*leaves, *inputs[case.learned :])
    used = [value for value in outputs if value.requires_grad]
    grads = torch.autograd.grad(used, leaves, [_weights(value) for value in used], allow_unused=True)
    return *(value.detach() for value in outputs), *(grad for grad in grads if grad is not None)


def _weights(like: Tensor) -> Tensor:
    """Weights of the values of an output, between -1 and 1, the same in every dtype and on every device."""
    return torch.arange(like.numel()).double().mul(0.7).sin().float().to(like).view(like.shape)


def _with_strides(value: Tensor) -> Tensor:
    """The same values, not contiguous: every second one of a larger tensor."""
    whole = value.new_zeros(*value.shape, 2)
    whole[..., 0] = value
    return whole[..., 0]


def _run_late(case: Case, inputs: Sequence[Tensor], device: torch.device) -> Tensors:
    """Run on a stream on which the inputs are still being written when the kernels are launched.

    A kernel on another stream, or one whose results come late, sees the decoys, or memory that holds their results.
    """
    buffers = [value * _DECOY if value.is_floating_point() else value.clone() for value in inputs]
    _run(case, buffers)
    with _side_stream(device):
        for buffer, value in zip(buffers, inputs, strict=True):
            buffer.copy_(value)
        return _run(case, buffers)


@contextmanager
def _side_stream(device: torch.device) -> Iterator[None]:
    """A new stream of the device that is busy for some milliseconds; the device is idle after the block."""
    if device.type != "cuda":
        yield
        return
    torch.cuda.synchronize(device)
    with torch.cuda.stream(torch.cuda.Stream(device)):
        torch.cuda._sleep(_WAIT_CYCLES)
        yield
    torch.cuda.synchronize(device)


def largest_error(outputs: Sequence[Tensor], expected: Sequence[Tensor], strays: float = 0.0) -> float:
    """Largest difference of two lists of tensors, relative to the largest value of each; inf where not comparable.

    Of each tensor the share `strays` of the values that differ most is left out.
    """
    if len(outputs) != len(expected):
        return float("inf")
    pairs = zip(outputs, expected, strict=True)
    return max((_error(one.cpu().double(), other.double(), strays) for one, other in pairs))


def _error(output: Tensor, expected: Tensor, strays: float) -> float:
    if output.shape != expected.shape or not bool(output.isfinite().all()):
        return float("inf")
    differences = (output - expected).abs().flatten()
    left_out = int(strays * len(differences))
    difference = differences.kthvalue(len(differences) - left_out).values if left_out else differences.max()
    scale = expected.abs().max()
    return float(difference / scale.clamp_min(1e-12))
