"""The face's triangles, made symmetric and consistently oriented (stage S2)."""

from __future__ import annotations

import numpy as np

from .base import Base
from .mesh import Ints, face_normals, orient


def symmetric_triangles(base: Base) -> Ints:
    """Triangles [852,3]: those of the right side and their mirror images, counter-clockwise from +z."""
    right = base.triangles[base.points[base.triangles].mean(1)[:, 0] < 0]
    triangles = np.vstack([right, base.mirror[right][:, ::-1]])
    assert len(triangles) == len(base.triangles), "the tessellation has triangles across the middle"
    frontal = int(np.argmax(np.abs(face_normals(base.points, triangles)[:, 2])))
    wound = orient(triangles, frontal)
    return wound if face_normals(base.points, wound)[frontal, 2] > 0 else wound[:, ::-1].copy()
