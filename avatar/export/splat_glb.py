"""Export of posed Gaussians as binary glTF 2.0 with the Khronos extension KHR_gaussian_splatting.

One primitive of points. Attributes as the extension defines them for the kernel `ellipse`: rotation as a unit
quaternion xyzw, scale in meters and opacity 0..1 without activations, spherical harmonics by degree and order with the
same basis as in a .ply. `COLOR_0` is for programs that do not know the extension and show points.
Source: github.com/KhronosGroup/glTF, extensions/2.0/Khronos/KHR_gaussian_splatting (ratified).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avatar import __version__
from avatar.common.files import atomic_path
from avatar.geometry.rotations import SH_C0
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import CONSENT
from avatar.types import Gaussians, HeadParams

from .glb import to_linear
from .gltf import ARRAY_BUFFER, Buffer, glb
from .ply import placed

EXTENSION = "KHR_gaussian_splatting"
_POINTS = 0


def write_splat_glb(path: str | Path, avatar: Avatar, params: HeadParams, consent: str = CONSENT) -> None:
    """Write the Gaussians of one frame as a .glb atomically; an existing file is replaced.

    Meters, y up, the face looks along +z, as glTF requires; the origin is between the eyes in the mean pose. The faces
    of the mesh layer are flat Gaussians.

    Args:
        path: the file to write.
        avatar: the avatar.
        params: [1], from `posed`, a track or a retargeted motion.
        consent: the consent statement stored in the file.
    """
    extras = {"consent": consent, "dilation": avatar.sampling.dilation}
    with atomic_path(path) as part:
        part.write_bytes(splat_glb_bytes(placed(avatar, params), extras))


def splat_glb_bytes(gaussians: Gaussians, extras: Mapping[str, Any] | None = None) -> bytes:
    """The .glb of Gaussians [1,N] whose axes are those of glTF; `extras` are stored in its `asset`."""
    buffer = Buffer()
    splatting = {
        "kernel": "ellipse",
        "colorSpace": "srgb_rec709_display",
        "projection": "perspective",
        "sortingMethod": "cameraDistance",
    }
    primitive = {"mode": _POINTS, "attributes": _attributes(gaussians, buffer), "extensions": {EXTENSION: splatting}}
    document: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": f"headsplat {__version__}", "extras": dict(extras or {})},
        "extensionsUsed": [EXTENSION],
        "scene": 0,
        "scenes": [{"name": "headsplat", "nodes": [0]}],
        "nodes": [{"name": "head", "mesh": 0}],
        "meshes": [{"name": "head", "primitives": [primitive]}],
    }
    return glb(document, buffer)


def _attributes(gaussians: Gaussians, buffer: Buffer) -> dict[str, int]:
    """The accessors of the primitive by their names."""

    def stored(values: Tensor, bounds: bool = False) -> int:
        rows = values.detach().cpu().numpy().astype(np.float32)
        return buffer.add(rows, ARRAY_BUFFER, bounds=bounds)

    sh = gaussians.sh[0]
    opacities = gaussians.opacities[0].clamp(0, 1)
    attributes = {
        "POSITION": stored(gaussians.means[0], bounds=True),
        "COLOR_0": _fallback(sh[:, 0], opacities, buffer),
        f"{EXTENSION}:ROTATION": stored(torch.nn.functional.normalize(gaussians.quats[0], dim=-1)[:, [1, 2, 3, 0]]),
        f"{EXTENSION}:SCALE": stored(gaussians.scales[0]),
        f"{EXTENSION}:OPACITY": stored(opacities),
    }
    for term in range(sh.shape[1]):
        degree = int(term**0.5)
        attributes[f"{EXTENSION}:SH_DEGREE_{degree}_COEF_{term - degree**2}"] = stored(sh[:, term])
    return attributes


def _fallback(constant: Tensor, opacities: Tensor, buffer: Buffer) -> int:
    """Colors [N,4] of points from the constant coefficients [N,3]; linear, as glTF defines `COLOR_0`."""
    linear = to_linear((0.5 + SH_C0 * constant).clamp(0, 1))
    colors = torch.cat([linear, opacities[:, None]], 1).detach().cpu().numpy()
    largest = np.iinfo(np.uint16).max
    return buffer.add((colors * largest).round().astype(np.uint16), ARRAY_BUFFER, normalized=True)
