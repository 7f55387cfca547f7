"""Principal strains of a mesh at points of its triangles."""

from __future__ import annotations

from torch import Tensor

from avatar import reference
from avatar.reference import TENSOR_SIZE
from avatar.types import check_shape

from .checks import check_floats


def principal_strains(tensors: Tensor, rows: Tensor, triangles: Tensor, bary: Tensor) -> Tensor:
    """The two principal strains of the skin at N points, the smaller first; compression is negative.

    The tensors of `vertex_stretch` are interpolated, so that the strain is continuous across edges. Its two values in
    the surface follow from the invariants of the tensor: trace t and squared norm q give t/2 -+ sqrt(q/2 - t^2/4).
    Exactly zero where the tensors are; finite gradients also where both values are equal. No kernel of its own: the
    sums over the mesh are those of `vertex_stretch`, and this is a few operations for each point.

    Args:
        tensors: [B,M,6] of the vertices that stretch, from `vertex_stretch`.
        rows: [V] int64, row of each vertex in `tensors`, -1 where it does not stretch.
        triangles: [N,3] int64, vertices of the triangle of each point.
        bary: [N,3] barycentric coordinates.

    Returns:
        [B,N,2] strains (stretch minus 1, bounded as in `vertex_stretch`).

    Raises:
        ValueError: a wrong shape, dtype or device; the text names the argument.
    """
    check_shape("tensors", tensors, ("B", "M", TENSOR_SIZE))
    check_shape("triangles", triangles, ("N", 3))
    check_shape("bary", bary, (len(triangles), 3))
    check_floats(tensors, bary=bary)
    return reference.principal_strains(tensors, rows, triangles, bary)
