"""The cases of the self-check of a GPU: every native op with its gradients, and one small training step.

Inputs are float64 tensors on the CPU, which the check first rounds to float32. In float64 an op is `avatar.reference`,
the specification; in float32 on a device it is the native kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from avatar.reference import LayerImages, SplatLayer, StretchMesh, stretch_mesh
from avatar.types import Binding, Bones, Camera, DeformedGaussians, LayerMesh, LocalGaussians, VertexStretch

from .bind import bind
from .blend import DEFORM_CHANNELS, blend, deform
from .images import photometric, ssim
from .layer import layer
from .mesh import mesh
from .optimize import adam_outer_step, adam_step
from .sh import rotate_sh
from .splat import splat, splat_features
from .strain import principal_strains
from .stretch import vertex_stretch

# ragged in tiles and blocks
BATCH = 2
COUNT = 150
BASES = 5
SIZE = 35
GRID = 6
TOLERANCE = 3e-4  #: largest difference, relative to the largest value of the same tensor

Tensors = tuple[Tensor, ...]


@dataclass(frozen=True)
class Case:
    """One op on fixed inputs."""

    op: str
    inputs: Tensors
    learned: int  # the first of the inputs get gradients
    run: Callable[..., Tensors]  # of the inputs, to the outputs
    tolerance: float = TOLERANCE
    strays: float = 0.0  # share of the values of each output that may differ by more
    same_bits: bool = True  # whether two runs must give the same bits


def cases() -> list[Case]:
    """All cases; building them takes a few milliseconds."""
    random = torch.Generator().manual_seed(18)

    def made(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=random).double()

    return [*_small_cases(made), *_rig_cases(made), *_image_cases(made), *_adam_cases(made), _step_case(made)]


Made = Callable[..., Tensor]


def _small_cases(made: Made) -> list[Case]:
    basis = made(BASES, COUNT, DEFORM_CHANNELS) - 0.5
    weights = made(BATCH, BASES) - 0.5
    return [
        Case("blend", (made(COUNT, DEFORM_CHANNELS), basis, weights), 3, lambda *values: (blend(*values),)),
        Case("blend of float16", (weights, basis), 0, _blend_halves),
        Case("deform", (*_local(made), made(BATCH, COUNT, DEFORM_CHANNELS) - 0.5, _units()), 6, _deform),
        Case("rotate_sh", (made(BATCH, COUNT, 16, 3), made(BATCH, COUNT, 4) - 0.5), 2, lambda *v: (rotate_sh(*v),)),
    ]


def _deform(*values: Tensor) -> Tensors:
    *local, extra, units = values
    return tuple(vars(deform(LocalGaussians(*local), extra, units)).values())


def _blend_halves(weights: Tensor, basis: Tensor) -> Tensors:
    halves = basis.half()
    return (blend(None, halves if weights.dtype == torch.float32 else halves.to(weights), weights),)


def _units() -> Tensor:
    return torch.tensor([0.0078125] * 3 + [0.125] * 4 + [0.25] * 4).double()


def _local(made: Made) -> Tensors:
    """Local offsets, quaternions, log scales, opacity logits and colors of the Gaussians."""
    sizes = made(COUNT, 3) - 4.5
    return (made(COUNT, 3) - 0.5) / 64, made(COUNT, 4) - 0.5, sizes, made(COUNT) * 4 - 2, made(COUNT, 3)


def _surface(made: Made) -> tuple[Tensor, Tensor]:
    """Vertices [B,V,3] of a wavy sheet around the origin, half a meter wide, and its faces [F,3]."""
    line = torch.linspace(-0.25, 0.25, GRID)
    y, x = (value.flatten().double() for value in torch.meshgrid(line, line, indexing="ij"))
    flat = torch.stack([x, y, torch.zeros_like(x)], -1)
    vertices = flat + (made(BATCH, GRID * GRID, 3) - 0.5) / 32
    corner = (torch.arange(GRID - 1)[:, None] * GRID + torch.arange(GRID - 1)).flatten()
    first = torch.stack([corner, corner + 1, corner + GRID], 1)
    second = torch.stack([corner + 1, corner + GRID + 1, corner + GRID], 1)
    return vertices, torch.cat([first, second])


def _rig(made: Made) -> tuple[Tensors, Tensors]:
    """What of `bind` is learned, except offsets and quaternions: vertices and bones; and triangles, bary, skin."""
    vertices, faces = _surface(made)
    bary = made(COUNT, 3) + 0.1
    turns = torch.tensor([1.0, 0, 0, 0]).double() + (made(BATCH, 2, 4) - 0.5) / 4
    rotations = turns / turns.norm(dim=-1, keepdim=True)
    triangles = faces[torch.arange(COUNT) % len(faces)]
    fixed = triangles, (bary / bary.sum(1, keepdim=True)), made(COUNT)
    return (vertices, rotations, (made(BATCH, 2, 3) - 0.5) / 16), fixed


def _stretch_there(whole: StretchMesh, like: Tensor) -> StretchMesh:
    parts = (value.to(like.device, like.dtype if value.is_floating_point() else None) for value in whole.tensors())
    return StretchMesh(*parts)


def _bind_inputs(offsets: Tensor, quats: Tensor, scales: Tensor) -> DeformedGaussians:
    """Gaussians for `bind`, which does not read their opacities and colors."""
    unread = offsets.new_empty(0)
    return DeformedGaussians(offsets, quats, scales, unread, unread)


def _rig_cases(made: Made) -> list[Case]:
    (vertices, rotations, shifts), (triangles, bary, skin) = _rig(made)
    local = (made(BATCH, COUNT, 3) - 0.5) / 16, made(BATCH, COUNT, 4) - 0.5
    neutral, faces = _surface(made)
    stretching = stretch_mesh(neutral[0], faces, torch.arange(GRID * GRID) % 3 > 0)
    single = replace(stretching, inverse=stretching.inverse.float(), weights=stretching.weights.float())
    tensors = (made(BATCH, len(single.vertices), 6) - 0.5) / 4

    def bound(
        vertices: Tensor, offsets: Tensor, quats: Tensor, turns: Tensor, shifts: Tensor, triangles: Tensor,
        bary: Tensor, skin: Tensor,
    ) -> Tensors:  # fmt: skip
        local = _bind_inputs(offsets, quats, torch.ones_like(offsets))
        return bind(vertices, Binding(triangles, bary, skin), local, Bones(turns, shifts))[:2]

    def stretched(
        vertices: Tensor, offsets: Tensor, quats: Tensor, turns: Tensor, shifts: Tensor, scales: Tensor,
        tensors: Tensor, triangles: Tensor, bary: Tensor, skin: Tensor, rows: Tensor,
    ) -> Tensors:  # fmt: skip
        local = _bind_inputs(offsets, quats, scales)
        stretch = VertexStretch(tensors, rows)
        return bind(vertices, Binding(triangles, bary, skin), local, Bones(turns, shifts), stretch)

    def strains(tensors: Tensor, triangles: Tensor, bary: Tensor, rows: Tensor) -> Tensors:
        return (principal_strains(tensors, rows, triangles, bary),)

    learned = (vertices, *local, rotations, shifts)
    fixed = (triangles, bary, skin)
    scales = made(BATCH, COUNT, 3) / 8 + 0.0078125
    return [
        Case("bind", (*learned, *fixed), 5, bound),
        Case("bind with stretch", (*learned, scales, tensors, *fixed, single.rows), 7, stretched),
        Case("vertex_stretch", (vertices,), 1, lambda value: (vertex_stretch(value, _stretch_there(single, value)),)),
        Case("principal_strains", (tensors, triangles, bary, single.rows), 1, strains),
    ]


def _camera(like: Tensor) -> Camera:
    """Cameras half a meter in front of the origin, which look along -z."""
    camera = Camera.facing(SIZE * 0.9, SIZE, SIZE)
    place = camera.world_to_cam.clone()
    place[:, 2, 3] += 0.5
    return replace(camera, K=camera.K.to(like), world_to_cam=place.to(like)).repeated(BATCH)


def _image_cases(made: Made) -> list[Case]:
    means = (made(BATCH, COUNT, 3) - 0.5) / 2
    gaussians = means, made(BATCH, COUNT, 4) - 0.5, made(BATCH, COUNT, 3) / 32 + 0.0078125, made(BATCH, COUNT)
    first = made(BATCH, SIZE, SIZE, 3)
    second = made(BATCH, SIZE, SIZE, 3)
    truth, matte = ((made(*shape) * 255).to(torch.uint8) for shape in (first.shape, first.shape[:3]))
    images = first, made(BATCH, SIZE, SIZE), truth, matte, made(BATCH, 3)
    vertices, faces = _surface(made)
    ahead = vertices + torch.tensor([0, 0, 0.5]).double()
    texel_ids = torch.randint(40, (len(faces), 15), generator=torch.Generator().manual_seed(3))
    fades = torch.tensor([0.0078125, 0.015625]).double().expand(len(faces), 2).contiguous()
    sheet = (made(40, 3), ahead, made(BATCH, GRID * GRID), texel_ids, fades, faces)
    return [
        Case("splat", (*gaussians, made(BATCH, COUNT, 3)), 5, _splat),
        Case("splat with view-dependent colors", (*gaussians, made(BATCH, COUNT, 16, 3) - 0.5), 5, _splat),
        Case("splat_features", (*gaussians, made(BATCH, COUNT, 3)), 0, _features),
        Case("splat over a layer", (*gaussians, made(BATCH, COUNT, 3), *sheet, made(BATCH, COUNT)), 6, _splat_layer),
        Case("layer", sheet, 1, lambda *values: _images_of(_layer(*values))),
        Case("mesh", (ahead, faces), 0, lambda v, f: mesh(v, f, _camera(v).K, SIZE, SIZE)),
        Case("ssim", (first, second), 1, lambda *values: (ssim(*values),)),
        Case("photometric", images, 2, lambda a, b, c, d, e: photometric(a, b, c, d, e, 0.2, 0.3)),
        Case("photometric on every second row", images, 2, _photometric_rows),
    ]


def _photometric_rows(rgb: Tensor, alpha: Tensor, truth: Tensor, matte: Tensor, background: Tensor) -> Tensors:
    return photometric(rgb, alpha, truth, matte, background, 0.2, 0.3, (2, 1))


def _splat(means: Tensor, quats: Tensor, scales: Tensor, opacities: Tensor, colors: Tensor) -> Tensors:
    out = splat(means, quats, scales, opacities, colors, _camera(means), with_weights=True)
    assert out.depth is not None and out.weights is not None
    return out.rgb, out.alpha, out.depth, out.weights


def _features(means: Tensor, quats: Tensor, scales: Tensor, opacities: Tensor, colors: Tensor) -> Tensors:
    out = splat(means, quats, scales, opacities, colors, _camera(means))
    return (splat_features(out.prepared, means),)


def _layer(texels: Tensor, vertices: Tensor, shade: Tensor, ids: Tensor, fades: Tensor, faces: Tensor) -> LayerImages:
    faces_seen, texels_seen, fades_seen = (value[::5].contiguous() for value in (faces, ids, fades))
    sheet = LayerMesh(faces_seen, texels_seen, fades_seen, faces[1::10].contiguous())
    return layer(vertices, shade, texels, sheet, _camera(vertices).K, SIZE, SIZE)


def _images_of(images: LayerImages) -> Tensors:
    return images.color, images.coverage, images.depth, images.stencil


def _splat_layer(*values: Tensor) -> Tensors:
    means, quats, scales, opacities, colors = values[:5]
    out = splat(
        means, quats, scales, opacities, colors, _camera(means), layer=SplatLayer(_layer(*values[5:11]), values[11])
    )
    return out.rgb, out.alpha


def _adam_cases(made: Made) -> list[Case]:
    rows = (COUNT, DEFORM_CHANNELS)
    touched = torch.arange(COUNT) % 3 > 0
    grads = (made(BATCH, *rows) - 0.5) * touched[:, None]
    basis = tuple(made(BASES, *rows) for _ in range(3))
    plain = (made(*rows) - 0.5, *(made(*rows) for _ in range(3)), made(COUNT), touched)
    return [
        Case("adam_step", plain, 0, _adam),
        Case("adam_outer_step", (made(BATCH, BASES) - 0.5, grads, *basis, touched, made(COUNT)), 0, _adam_outer),
    ]


def _own(*values: Tensor) -> list[Tensor]:
    """Contiguous copies, to be changed in place."""
    return [value.detach().clone(memory_format=torch.contiguous_format) for value in values]


def _adam(grad: Tensor, *state: Tensor) -> Tensors:
    param, m, v = _own(*state[:3])
    adam_step(param, grad, m, v, state[3], 0.9, 0.99, 1e-2, 3, state[4].contiguous())
    return param, m, v


def _adam_outer(weights: Tensor, grad: Tensor, *state: Tensor) -> Tensors:
    param, m, v = _own(*state[:3])
    touched = state[3].contiguous()
    anchors = state[4].contiguous()
    weight_grads = adam_outer_step(param, weights, grad, m, v, 0.1, 0.9, 0.99, 1e-2, 3, touched, anchors)
    return param, m, v, weight_grads


def _step_case(made: Made) -> Case:
    (vertices, *bones), fixed = _rig(made)
    truth = (made(BATCH, SIZE, SIZE, 3) * 255).to(torch.uint8), (made(BATCH, SIZE, SIZE) * 255).to(torch.uint8)
    parameters = (*_local(made), made(BASES, COUNT, DEFORM_CHANNELS) - 0.5, made(BATCH, BASES) - 0.5)
    return Case("training step", (*parameters, vertices, *bones, *fixed, *truth, made(BATCH, 3)), 0, _training_step)


def _training_step(*values: Tensor) -> Tensors:
    """Loss, gradients and parameters after a step of Adam."""
    leaves = [value.detach().requires_grad_() for value in values[:7]]
    vertices, turns, shifts, triangles, bary, skin, truth, matte, background = values[7:]
    extra = blend(None, leaves[5], leaves[6])
    local = deform(LocalGaussians(*leaves[:5]), extra, _units().to(extra))
    means, quats, scales = bind(vertices, Binding(triangles, bary, skin), local, Bones(turns, shifts))
    out = splat(means, quats, scales, local.opacities, local.sh, _camera(means), with_depth=False)
    loss, _ = photometric(out.rgb, out.alpha, truth, matte, background, 0.2, 0.3)
    grads = torch.autograd.grad(loss.sum(), leaves)
    after = _own(*leaves)
    for leaf, grad in zip(after, grads, strict=True):
        adam_step(leaf, grad, torch.zeros_like(leaf), torch.zeros_like(leaf), 1.0, 0.9, 0.99, 1e-2, 1)
    return loss.detach(), *grads, *after
