"""Which texels or Gaussians of an avatar are its irises, as soft weights."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from avatar.head.hair_regions import smoothstep
from avatar.model.avatar import Avatar
from avatar.model.parts.mesh_layer import EYES, MeshLayer, Part
from avatar.model.segmentation import Floats, texel_values

#: Place on the iris in radii, from the pupil to the limbus.
_PUPIL = (0.24, 0.42)
_LIMBUS = (1.08, 0.94)


@torch.no_grad()
def iris_texels(avatar: Avatar) -> Floats:
    """Weights [T] of the texels of the irises, without pupil and limbus; the layer must have irises."""
    layer = avatar.part(MeshLayer)
    assert layer is not None
    head = avatar.head
    weight = np.zeros(len(layer.start))
    points = texel_values(avatar, head.v_template).double().numpy()
    eye = texel_values(avatar, head.mask(*EYES).float()[:, None])[:, 0].numpy() > 0.5
    for name in EYES:
        rows = head.mask(name).numpy() & head.mask("iris").numpy()
        if rows.any():
            weight = np.maximum(weight, _iris_ring(points, head.v_template.numpy()[rows].astype(float)) * eye)
    part: NDArray[np.int64] = layer.part.numpy()
    return weight * ((part == Part.IRIS) | (part == Part.SCLERA))


@torch.no_grad()
def iris_gaussians(avatar: Avatar) -> Floats:
    """Weights [N] of the Gaussians on the irises of an avatar whose eyes are Gaussians."""
    head = avatar.head
    rig = avatar.rig
    points = (head.v_template[rig.triangles] * rig.bary[..., None]).sum(1).double().numpy()
    weight = np.zeros(len(points))
    for name in EYES:
        eye = head.mask(name).numpy()
        rows = eye & head.mask("iris").numpy()
        if rows.any():
            ring = _iris_ring(points, head.v_template.numpy()[rows].astype(float))
            weight = np.maximum(weight, ring * eye[rig.triangles[:, 0].numpy()])
    return weight


def _iris_ring(points: Floats, iris: Floats) -> Floats:
    """Weights [P] of points [P,3] between the pupil and the edge of an iris with the vertices `iris` [n,3]."""
    center = iris.mean(0)
    radius = 0.5 * (iris.max(0) - iris.min(0))[:2].mean()
    at = np.linalg.norm((points - center)[:, :2], axis=1) / radius
    ring = smoothstep(*_PUPIL, at) * smoothstep(*_LIMBUS, at) * (np.abs(points - center)[:, 2] < 2 * radius)
    return ring.astype(float)
