"""The self-check of another package: its adapter on a GPU, compared with the reference of our op in float64.

`python -m avatar.ops.package_check NAME DEVICE` runs it in a process of its own; the last line that it prints is what
is wrong, empty for nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from avatar.types import LayerMesh

from .check_cases import Case, Tensors
from .hash_grid import hash_features, hash_lattice, leaky_network
from .layer import layer
from .mesh import mesh
from .packages import PACKAGES, failure_of, forced, load_adapter
from .self_check import Row, check_case
from .weights import Layers, WeightInputs, mixed_weights, mixed_weights_backward

WIDTH, HEIGHT = 36, 28  # not multiples of 8
_FOCAL = 64.0
_CELLS = 4  # of the sheet, along an axis
_PLACES, _ENTRIES, _LEVELS, _FEATURES = 300, 1 << 13, (8, 16, 32, 64), 2
#: A pixel on the edge of two faces may be of either: nvdiffrast rounds corners to a sixteenth of a pixel.
_EDGES, _EDGES_OF_TEXELS = 0.03, 0.1
#: Of numbers with 16 bits after three layers; units near zero may fall to the other side.
_HALF, _FLIPS = 1e-2, 0.02
#: The gradients of a training are small: those of the networks are checked at this size.
_SMALL = 2.0**-20

Made = Callable[..., Tensor]


def check(name: str, device: torch.device) -> list[Row]:
    """Run the cases of a package on `device` with its adapter; no exception for one that fails."""
    with forced(name, load_adapter(name)):
        return [check_case(case, device) for case in cases(name)]


def cases(name: str) -> list[Case]:
    """The cases of a package."""
    random = torch.Generator().manual_seed(48)

    def made(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=random).double() - 0.5

    return _mesh_cases(made) if name == "nvdiffrast" else _network_cases(made)


def _mesh_cases(made: Made) -> list[Case]:
    vertices, faces = _sheet(made, 0.6)
    behind = _Behind(len(vertices[0]))
    texel_ids = torch.randint(60, (len(faces), 15), generator=torch.Generator().manual_seed(3))
    fades = torch.tensor([0.0078125, 0.015625]).double().expand(len(faces), 2).contiguous()
    # The layer is a sheet behind another one, the skin, which has a hole.
    both = torch.cat([vertices, _sheet(made, 0.4)[0]], 1)
    hole = (torch.arange(len(faces)) // 2) % _CELLS == _CELLS // 2  # a column of the sheet
    layered = (made(60, 3) + 0.5, both, made(2, len(both[0])) + 1, texel_ids, fades, faces, behind(faces[~hole]))
    return [
        Case("mesh", (vertices, faces), 0, _mesh, 1e-3, _EDGES),
        Case("layer", layered, 1, _layer, 1e-3, _EDGES_OF_TEXELS),
    ]


class _Behind:
    """Faces of the vertices after the first `count`."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __call__(self, faces: Tensor) -> Tensor:
        return faces + self.count


def _sheet(made: Made, distance: float) -> tuple[Tensor, Tensor]:
    """Vertices [2,V,3] of a wavy sheet in front of the camera, some of it outside of the image; its faces."""
    line = torch.arange(_CELLS + 1).double() / _CELLS
    y, x = (value.flatten() for value in torch.meshgrid(line, line, indexing="ij"))
    depth = distance + 0.1 * made(2, len(x))
    # Corners on odd sixteenths of a pixel: rounding does not move them, and they are beside the samples.
    pixels = torch.stack([x * 34 - 16, y * 24 - 9], -1) + 4 * made(2, len(x), 2)
    pixels = (pixels * 8).round() / 8 + 1 / 16
    corner = (torch.arange(_CELLS)[:, None] * (_CELLS + 1) + torch.arange(_CELLS)).flatten()
    low = torch.stack([corner, corner + 1, corner + _CELLS + 1], 1)
    high = torch.stack([corner + 1, corner + _CELLS + 2, corner + _CELLS + 1], 1)
    faces = torch.stack([low, high], 1).flatten(0, 1)
    return torch.cat([pixels * depth[..., None] / _FOCAL, depth[..., None]], -1), faces


def _intrinsics(like: Tensor) -> Tensor:
    K = torch.tensor([[_FOCAL, 0, WIDTH / 2], [0, _FOCAL, HEIGHT / 2], [0, 0, 1]])
    return K.to(like).repeat(2, 1, 1)


def _mesh(vertices: Tensor, faces: Tensor) -> Tensors:
    return mesh(vertices, faces, _intrinsics(vertices), WIDTH, HEIGHT)


def _layer(
    texels: Tensor, vertices: Tensor, shade: Tensor, ids: Tensor, fades: Tensor, faces: Tensor, skin: Tensor
) -> Tensors:
    sheet = LayerMesh(faces, ids, fades, skin)
    images = layer(vertices, shade, texels, sheet, _intrinsics(vertices), WIDTH, HEIGHT)
    return images.color, images.coverage, images.depth, images.stencil


def _network_cases(made: Made) -> list[Case]:
    tables = made(2, len(_LEVELS) * _ENTRIES * _FEATURES)
    decoded = made(2, _PLACES, 8), made(32, 8), made(32, 32) / 2, made(11, 32) / 2
    layers = made(40, 24) / 2, made(24), made(24, 20), made(20)
    mixed = *layers, made(9, 40) * 4, made(9, 20), made(20, 20), made(9, 20)
    return [
        Case("hash grid", (tables, made(_PLACES, 3) + 0.5), 1, _features, same_bits=False),
        Case("small network", decoded, 4, _decoded, _HALF, _FLIPS, False),
        Case("network of the weights", mixed, 0, _mixed, _HALF, _FLIPS, False),
    ]


def _features(tables: Tensor, unit: Tensor) -> Tensors:
    return (hash_features(tables, hash_lattice(unit, _LEVELS, _ENTRIES)),)


def _decoded(values: Tensor, *weights: Tensor) -> Tensors:
    return (leaky_network(values, weights, 0.2) * _SMALL,)


def _mixed(*values: Tensor) -> Tensors:
    layers, (standardized, linear, mix, grad) = Layers(*values[:4]), values[4:]
    inputs = WeightInputs(standardized, linear)
    weights, units = mixed_weights(inputs, mix, layers)
    of_mix, of_layers = mixed_weights_backward(grad * _SMALL, inputs, layers, units)
    assert of_layers is not None
    return weights, of_mix, *vars(of_layers).values()


def main(arguments: Sequence[str]) -> str:
    """What is wrong with the package and on the device that `arguments` name, in one sentence; empty for nothing."""
    name, device = arguments
    if name not in PACKAGES:
        raise ValueError(f"{name}: not a package of {', '.join(PACKAGES)}")
    place = torch.device(device)
    rows = check(name, place)
    return failure_of(name, place, [f"{row.op} {row.failure}" for row in rows if row.failure])


if __name__ == "__main__":
    print(main(sys.argv[1:]))
