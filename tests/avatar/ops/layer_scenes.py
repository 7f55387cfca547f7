"""Small layers behind a skin with a hole, for the tests of `layer` and of `splat` with a layer."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from avatar.ops import TEXEL_NODES
from avatar.types import LayerMesh

#: Width and height in pixels, focal length in pixels.
WIDTH, HEIGHT, FOCAL = 41, 33, 60.0


def intrinsics(batch: int = 1, dtype: torch.dtype = torch.float32) -> Tensor:
    K = torch.tensor([[FOCAL, 0.0, WIDTH / 2 + 0.3], [0.0, FOCAL, HEIGHT / 2 - 0.2], [0.0, 0.0, 1.0]], dtype=dtype)
    return K.repeat(batch, 1, 1)


def grid(size: float, depth: float, cells: int, hole: float = 0.0) -> tuple[Tensor, Tensor]:
    """Vertices [V,3] and faces [F,3] of a square at `depth`, without the cells whose center is in a smaller square."""
    axis = torch.linspace(-size, size, cells + 1, dtype=torch.float64)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    points = torch.stack([x, y, torch.full_like(x, depth)], -1).reshape(-1, 3)
    faces = []
    for row in range(cells):
        for column in range(cells):
            center = (axis[[row, column]] + axis[[row + 1, column + 1]]) / 2
            if bool((center.abs() < hole).all()):
                continue
            a = row * (cells + 1) + column
            faces += [[a, a + 1, a + cells + 1], [a + 1, a + cells + 2, a + cells + 1]]
    return points, torch.tensor(faces)


def layer_scene(
    batch: int = 1, dtype: torch.dtype = torch.float32, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor, LayerMesh]:
    """Vertices, shade, texels and mesh: a bumpy square behind a skin with a hole, moved a little in each image."""
    source = torch.Generator().manual_seed(seed)
    back, faces = grid(0.16, 0.9, 3)
    back[:, 2] += 0.03 * torch.rand(len(back), generator=source, dtype=torch.float64)
    front, skin = grid(0.4, 0.8, 8, hole=0.1)
    vertices = torch.cat([back, front])
    shift = 0.02 * torch.rand(batch, 1, 3, generator=source, dtype=torch.float64)
    nodes = len(TEXEL_NODES) * len(faces)
    texel_ids = torch.randint(0, nodes // 2, (len(faces), len(TEXEL_NODES)), generator=source)
    texels = torch.rand(nodes // 2, 3, generator=source, dtype=torch.float64)
    shade = 0.3 + 0.7 * torch.rand(batch, len(vertices), generator=source, dtype=torch.float64)
    fades = torch.tensor([0.005, 0.025], dtype=dtype) + 0.005 * torch.rand(len(faces), 2, generator=source, dtype=dtype)
    mesh = LayerMesh(faces, texel_ids, fades, skin + len(back))
    return (vertices + shift).to(dtype), shade.to(dtype), texels.to(dtype), mesh


def skin_scene(
    batch: int = 1, dtype: torch.dtype = torch.float32, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor, LayerMesh]:
    """As `layer_scene`, but the skin is textured, too."""
    vertices, shade, texels, mesh = layer_scene(batch, dtype, seed)
    source = torch.Generator().manual_seed(seed + 1)
    ids = torch.randint(0, len(texels), (len(mesh.skin), len(TEXEL_NODES)), generator=source)
    faces, fades = torch.cat([mesh.faces, mesh.skin]), torch.cat([mesh.fades, mesh.fades.new_zeros(len(mesh.skin), 2)])
    return vertices, shade, texels, LayerMesh(faces, torch.cat([mesh.texel_ids, ids]), fades, mesh.skin[:0])


def doubled(mesh: LayerMesh) -> LayerMesh:
    """The mesh in double."""
    return replace(mesh, fades=mesh.fades.double())
