"""The generator of the embedded head: `python -m avatar.head.generate`.

A landmark network runs on drawings of a face (`cartoon`, `base`); its 478 mean points become a head in stages named
after their modules: `topology`, `lids`, `nostrils`, `lips`, `cranium`, `cage`, `parts` (`eyes`, `teeth`, `tongue`,
`ears`), `spread`, the `shapes_*`, `folds`, `jaw`, `expressions`, `joints`, `skinning`, `identity`, `atlas`, `regions`,
`colors`, `assemble`. No third-party mesh is used; the triangles between the landmarks are MediaPipe's tessellation
(Apache-2.0).

Centimeters; +x the subject's left, y up, z forward; the origin between the pupils. The right side is authored, the left
is its mirror image.
"""

from __future__ import annotations

from avatar.head.anatomy.base import Base, LandmarkNetwork

from .assemble import build_head

__all__ = ["Base", "LandmarkNetwork", "build_head"]
