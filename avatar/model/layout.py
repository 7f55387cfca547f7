"""Tables of tensors: what a file stores, how it is checked, and which tensors have one row a Gaussian."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from avatar.model.avatar_header import PREFIXES, StoredTensor, stored_checksum
from avatar.types import check_shape

#: The dtypes of the format by their names in safetensors.
DTYPES = {
    "F32": torch.float32,
    "F16": torch.float16,
    "I32": torch.int32,
    "I64": torch.int64,
    "U8": torch.uint8,
}
_DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}
#: Dtypes in memory, where they differ: halves are floats, indices are int64, and bytes are masks.
_IN_MEMORY = {torch.float16: torch.float32, torch.int32: torch.int64, torch.uint8: torch.bool}


class TensorLayout(NamedTuple):
    """How a tensor is stored."""

    dtype: str  # of DTYPES
    #: Lengths and letters of the axes, as in docs/formats/avatar.md: N Gaussians, M those of them with blendshapes, V
    #: vertices, ...; the first tensor of a table with a letter sets its length.
    axes: str
    low: float = -1e6
    high: float | str = 1e6  # largest value; a letter: below the length of that axis
    required: bool = True
    since: int = 1  # version of the format; earlier files lack the tensor
    fill: float = 0.0  # of rows that nothing is known of: Gaussians which an edit adds

    @property
    def has_rows(self) -> bool:
        """Whether it has one row a Gaussian, or a Gaussian with blendshapes."""
        return not {"N", "M"}.isdisjoint(self.axes.split())

    @property
    def row_axis(self) -> int:
        """The axis of these rows."""
        return self.axes.split().index("M" if self.of_moving else "N")

    @property
    def of_moving(self) -> bool:
        """Whether only the Gaussians with blendshapes, the first M, have a row."""
        return "M" in self.axes.split()


Layout = Mapping[str, TensorLayout]


def pack(value: Tensor, layout: TensorLayout) -> Tensor:
    """A tensor as it is stored: on the host, in the dtype of `layout`."""
    return value.detach().cpu().to(DTYPES[layout.dtype]).contiguous()


def unpack(value: Tensor) -> Tensor:
    """A stored tensor as it is in memory: halves as floats, indices as int64, bytes as masks."""
    return value.to(_IN_MEMORY.get(value.dtype, value.dtype))


def checksum(tensors: Mapping[str, Tensor], prefixes: str | tuple[str, ...] = PREFIXES) -> str:
    """The checksum (`stored_checksum`) of tensors with one of `prefixes`."""
    chosen = {name: value.contiguous() for name, value in tensors.items() if name.startswith(prefixes)}
    return stored_checksum(
        {
            name: StoredTensor(str(_DTYPE_NAMES.get(value.dtype)), tuple(value.shape), value.numpy().data)
            for name, value in chosen.items()
        },
        prefixes,
    )


def check_layout(layout: Layout, tensors: Mapping[str, Tensor], sizes: dict[str, int], prefix: str = "") -> None:
    """Raise ValueError unless `tensors` has the required tensors of a table, each of its dtype, shape and range.

    Args:
        layout: by name.
        tensors: as stored, by `prefix` and name.
        sizes: known lengths of axes by their letters; those of axes that a tensor is the first to have are added.
        prefix: of the names in `tensors`.
    """
    for name, expected in layout.items():
        full = prefix + name
        if full in tensors:
            _check_tensor(full, tensors[full], expected, sizes)
        elif expected.required:
            raise ValueError(f"{full}: this tensor is missing")


def _check_tensor(name: str, value: Tensor, expected: TensorLayout, sizes: dict[str, int]) -> None:
    """Check one tensor; axes that it is the first to have are added to `sizes`."""
    if value.dtype != DTYPES[expected.dtype]:
        raise ValueError(f"{name}: expected {DTYPES[expected.dtype]}, got {value.dtype}")
    axes = expected.axes.split()
    check_shape(name, value, tuple(int(axis) if axis.isdigit() else sizes.get(axis, axis) for axis in axes))
    sizes |= dict(zip(axes, value.shape, strict=True))
    if not value.numel():
        return
    low, high = (float(bound) for bound in torch.aminmax(value))  # NaN if any value is
    if isinstance(expected.high, str):
        size = sizes[expected.high]
        if not (low >= 0 and high < size):
            raise ValueError(f"{name}: expected indices in 0..{size - 1}, got {low:.0f}..{high:.0f}")
    elif not (low >= expected.low and high <= expected.high):
        raise ValueError(f"{name}: expected numbers in {expected.low:g}..{expected.high:g}, got {low:g}..{high:g}")


@dataclass(frozen=True)
class Rows:
    """The rows that an optional part has for N Gaussians, the first M of them with blendshapes."""

    layout: Layout  # of the tensors with one row a Gaussian, by name
    tensors: Mapping[str, Tensor]  # by the same names
    known: Tensor  # [N] bool: false for Gaussians that are new to the part; their rows are `TensorLayout.fill`

    def select(self, mask: Tensor) -> Rows:
        """The rows of a mask [N] bool."""
        tensors = {}
        for name, layout in self.layout.items():
            value = self.tensors[name]
            axis = layout.row_axis
            tensors[name] = value.index_select(axis, mask[: value.shape[axis]].nonzero()[:, 0])
        return Rows(self.layout, tensors, self.known[mask])

    def blank(self, count: int, moving: int) -> Rows:
        """Rows of the same tensors for `count` new Gaussians, `moving` of them with blendshapes."""
        tensors = {}
        for name, layout in self.layout.items():
            shape = list(self.tensors[name].shape)
            shape[layout.row_axis] = moving if layout.of_moving else count
            tensors[name] = self.tensors[name].new_full(shape, layout.fill)
        return Rows(self.layout, tensors, self.known.new_zeros(count))

    def still(self) -> Rows:
        """The rows for the same Gaussians without blendshapes."""
        tensors = {
            name: self.tensors[name].narrow(layout.row_axis, 0, 0) if layout.of_moving else self.tensors[name]
            for name, layout in self.layout.items()
        }
        return Rows(self.layout, tensors, self.known)

    @staticmethod
    def joined(sets: Sequence[Rows], moving: Sequence[int]) -> Rows:
        """The rows of several sets of Gaussians: first of those with blendshapes in each set, then of the others.

        Args:
            sets: rows of one part.
            moving: number of Gaussians with blendshapes in each set, which are its first ones.
        """
        layout = sets[0].layout

        def join(values: Sequence[Tensor], axis: int) -> Tensor:
            first = [value.narrow(axis, 0, count) for value, count in zip(values, moving, strict=True)]
            others = [
                value.narrow(axis, count, value.shape[axis] - count)
                for value, count in zip(values, moving, strict=True)
            ]
            return torch.cat([*first, *others], axis).contiguous()

        tensors = {name: join([each.tensors[name] for each in sets], layout[name].row_axis) for name in layout}
        return Rows(layout, tensors, join([each.known for each in sets], 0))
