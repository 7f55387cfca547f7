"""Rasterization of a triangle mesh with a z-buffer."""

from __future__ import annotations

import torch
from torch import Tensor

from avatar import reference
from avatar.types import check_shape

from .backend import checks_indices, native_for
from .checks import check_floats, check_indices, check_integers
from .packages import attempted


def mesh(
    vertices_cam: Tensor, faces: Tensor, K: Tensor, width: int, height: int, near: float = 0.01
) -> tuple[Tensor, Tensor, Tensor]:
    """Rasterize a triangle mesh at the pixel centers, both sides of every face; no gradient.

    Args:
        vertices_cam: [B,V,3] meters, camera axes (x right, y down, z forward).
        faces: [F,3] int64.
        K: [B,3,3] pixels.
        width: pixels.
        height: pixels.
        near: meters; nearer surfaces are culled.

    Returns:
        face_id [B,H,W] int32 (-1: background), perspective-correct barycentric weights [B,H,W,3], depth [B,H,W] meters
        (0: background). Of faces at equal depth the first is used. On a GPU nvdiffrast may find them (`packages.py`).

    Raises:
        ValueError: a wrong shape, dtype or device; the text names the argument.
    """
    check_shape("vertices_cam", vertices_cam, ("B", "V", 3))
    check_shape("faces", faces, ("F", 3))
    check_shape("K", K, (vertices_cam.shape[0], 3, 3))
    check_integers("faces", faces)
    check_floats(vertices_cam, K=K)
    native = native_for(vertices_cam)
    if not checks_indices(native):
        check_indices("faces", faces, vertices_cam.shape[1])
    if native is None:
        return reference.mesh(vertices_cam.detach(), faces, K, width, height, near)
    points, intrinsics = vertices_cam.detach(), K.detach()
    found = attempted(
        "nvdiffrast", points, lambda package: package.mesh(points, faces, intrinsics, width, height, near)
    )
    if found is not None:
        return found
    shape = (vertices_cam.shape[0], height, width)
    face_id = vertices_cam.new_empty(shape, dtype=torch.int32)
    bary = vertices_cam.new_empty(*shape, 3)
    depth = vertices_cam.new_empty(shape)
    arrays = points.contiguous(), faces.contiguous(), intrinsics.contiguous()
    native.mesh(*arrays, width, height, near, face_id, bary, depth)
    return face_id, bary, depth
