"""Export of Gaussians in the frames of their triangles, with the mesh: for other rigs, not for splat viewers.

A PLY with three elements. `vertex` and `face` are the head's neutral mesh in meters (visible in a mesh viewer; a splat
viewer finds no Gaussians). `rigged_gaussian` has each Gaussian in the frame of its triangle. For any pose with the
corners c0, c1, c2 of the face, the frame is F = [e, n x e, n], e along c1 - c0, n along (c1 - c0) x (c2 - c0), and

    mean = bary_0 c0 + bary_1 c1 + bary_2 c2 + F offset        rotation = F rot

`torso` is the skinning weight of the torso; the weight of the skull is 1 - torso. Offsets and scales are those of the
neutral expression; where expressions move the mesh, headsplat stretches both with it (`avatar.ops.bind`).
The last rows stand for the mesh layer, see `FaceGaussians`: a flat Gaussian in the middle of each of its faces.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from avatar import __version__, ops
from avatar.common.files import atomic_path
from avatar.geometry.rotations import triangle_frames
from avatar.model.avatar import Avatar, assemble
from avatar.model.avatar_file import CONSENT
from avatar.model.blendshapes import expression_features
from avatar.model.parts.mesh_layer import MeshLayer
from avatar.model.parts.weight_network import WeightNetwork
from avatar.types import PosedHead

from .inside_colors import open_shade
from .layer_gaussians import OPACITY, FaceGaussians
from .ply import header
from .posed import posed

_FLOATS = (
    "offset_0", "offset_1", "offset_2", "rot_0", "rot_1", "rot_2", "rot_3", "scale_0", "scale_1", "scale_2", "opacity",
    "f_dc_0", "f_dc_1", "f_dc_2", "bary_0", "bary_1", "bary_2", "torso",
)  # fmt: skip
#: Optional parts of an avatar that the neutral expression has.
RIGGED_PARTS = (MeshLayer, WeightNetwork)
REMARKS = (
    "RIGGED: not a scene. Gaussians are in the frames of their triangles; splat viewers cannot show this file",
    "rigged_gaussian: offset meters, rot wxyz, scale natural log, opacity logit, f_dc spherical harmonics, face row",
    "mean = bary . (c0, c1, c2) + F offset, rotation = F rot, F = [e, n x e, n] with unit e, n along c1 - c0 and "
    "(c1 - c0) x (c2 - c0), c0..c2 the corners of the face",
    "axes: meters, y up, the face looks along +z, origin between the eyes; colors display sRGB",
)


@torch.no_grad()
def write_rigged_ply(path: str | Path, avatar: Avatar, consent: str = CONSENT) -> None:
    """Write the neutral expression of an avatar as local Gaussians with their binding and the mesh.

    Args:
        path: the file to write; an existing one is replaced.
        avatar: the avatar.
        consent: the consent statement stored in the header.
    """
    neutral = posed(avatar)
    vertices = avatar.head.skull_vertices(neutral)[0]
    scale = avatar.true_size.scale
    mesh = np.zeros(len(avatar.head.faces), [("count", "u1"), ("corners", "<i4", 3)])
    mesh["count"] = 3
    mesh["corners"] = avatar.head.faces.numpy()
    gaussians = np.concatenate([_local(avatar), _of_layer(avatar, vertices)])
    for axis in range(3):
        gaussians[f"offset_{axis}"] *= scale
        gaussians[f"scale_{axis}"] += np.log(scale)
    lines = [
        f"element vertex {len(vertices)}",
        *(f"property float {axis}" for axis in "xyz"),
        f"element face {len(mesh)}",
        "property list uchar int vertex_indices",
        f"element rigged_gaussian {len(gaussians)}",
        *(f"property float {name}" for name in _FLOATS),
        "property int face",
    ]
    title = f"Exported from headsplat {__version__}; head model {avatar.head.name}, {avatar.head.license}"
    with atomic_path(path) as part:
        remarks = (
            *REMARKS[1:],
            f"scales contain the low-pass filter; trained with {avatar.sampling.dilation:g} pixels^2 dilation",
            "offsets and scales of the neutral expression; headsplat stretches them with the triangles",
            f"the last {len(gaussians) - len(avatar)} rigged_gaussian stand for the mesh layer (teeth, tongue, eyes)",
        )
        body = (scale * vertices).numpy().astype("<f4").tobytes() + mesh.tobytes() + gaussians.tobytes()
        part.write_bytes(header((REMARKS[0], title, *remarks, consent), lines) + body)


def _local(avatar: Avatar) -> np.ndarray:
    """A row for each Gaussian."""
    shapes = avatar.blendshapes
    extra = shapes(avatar.weights(expression_features(posed(avatar))))
    local = ops.deform(avatar.local, extra, shapes.units)
    offsets = local.offsets
    scales = avatar.sampling.widened(local.scales)
    if avatar.rig.stretch is not None:
        offsets, scales = _stretched(avatar, extra)
    unchanged = avatar.rig.stretch is None and not avatar.sampling.filter_scale
    columns = [
        offsets[0], torch.nn.functional.normalize(local.quats[0], dim=-1),
        avatar.log_scales if unchanged else scales[0].log(),
        _logit(local.opacities[0])[:, None], local.sh[0, :, 0], avatar.rig.bary, avatar.rig.skin[:, None],
    ]  # fmt: skip
    return _rows(avatar, columns, avatar.rig.triangles)


def _of_layer(avatar: Avatar, vertices: Tensor) -> np.ndarray:
    """A row for each face of the mesh layer with vertices [V,3], lit as in an open mouth; none without a layer."""
    layer = avatar.part(MeshLayer)
    if layer is None:
        return _rows(avatar, [torch.zeros(0, len(_FLOATS))], torch.zeros(0, 3))
    flat = FaceGaussians.of(layer.mesh, vertices, open_shade(avatar, layer), layer.texels())
    zeros = torch.zeros(len(flat), 1)
    columns = [
        zeros.expand(-1, 3), torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(len(flat), 4), flat.scales.log(),
        _logit(zeros + OPACITY), flat.sh, (zeros + 1 / 3).expand(-1, 3), zeros,
    ]  # fmt: skip
    return _rows(avatar, columns, flat.faces)


def _logit(opacities: Tensor) -> Tensor:
    return torch.logit(opacities.double().clamp(1e-6, 1 - 1e-6))


def _rows(avatar: Avatar, columns: list[Tensor], triangles: Tensor) -> np.ndarray:
    """Rows of the file from `columns`, the values of _FLOATS [n,...], and the vertices [n,3] of their triangles."""
    rows = np.zeros(len(triangles), [*((name, "<f4") for name in _FLOATS), ("face", "<i4")])
    for name, values in zip(_FLOATS, torch.cat([column.double() for column in columns], 1).numpy().T, strict=True):
        rows[name] = values
    index = {tuple(corners): row for row, corners in enumerate(avatar.head.faces.tolist())}
    rows["face"] = [index[tuple(corners)] for corners in triangles.tolist()]
    return rows


def _stretched(avatar: Avatar, extra: Tensor) -> tuple[Tensor, Tensor]:
    """Local offsets and widened scales [1,N,3] in the neutral expression, which may stretch the mesh a little."""
    vertices = avatar.head.skull_vertices(posed(avatar))
    gaussians = assemble(avatar, PosedHead.in_skull_frame(vertices), extra)
    corners = vertices[:, avatar.rig.triangles]
    points = (avatar.rig.bary[:, :, None] * corners).sum(2)
    return (triangle_frames(corners).mT @ (gaussians.means - points)[..., None])[..., 0], gaussians.scales
