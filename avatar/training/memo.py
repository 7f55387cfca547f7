"""What a training makes of tensors that hardly ever change, such as triangles: only a relocation changes those."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from torch import Tensor

R = TypeVar("R")


class Memo(Generic[R]):
    """A result that is computed again once a tensor that it depends on is another one, or was changed in place.

    PyTorch counts its changes of a tensor; those of native kernels, as in steps of the optimizer, do not show here.
    """

    def __init__(self) -> None:
        self._made: list[tuple[Tensor, int]] = []  # tensors of the result, and the number of their changes
        self._result: R | None = None

    def __call__(self, compute: Callable[[], R], *tensors: Tensor) -> R:
        """The result of `compute`, which depends on `tensors`, at least one, and nothing else that changes."""
        result = self._result
        same = len(self._made) == len(tensors) and all(
            tensor is made and tensor._version == version
            for tensor, (made, version) in zip(tensors, self._made, strict=True)
        )
        if result is None or not same:
            result = self._result = compute()
            self._made = [(tensor, tensor._version) for tensor in tensors]
        return result
