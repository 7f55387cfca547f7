"""The generator of the embedded head: `python -m tools.head` writes `avatar/head/embedded.npz`.

A landmark network runs on drawings of a face (`cartoon`, `mean_face`); its 478 mean points become a head in stages
named after their modules: `lids`, `lips`, `folds`, `cranium`, `cage`, the parts (`eyes`, `ears`), `spread`, the
`shapes_*`, `jaw`, `expressions`, `skinning`, `identity`, `atlas`, `regions`, `colors`, `assemble`. What heads of other
makers need too, teeth and tongue among it, is in `avatar/head/anatomy`. No third-party mesh is used; the triangles
between the landmarks are MediaPipe's tessellation (Apache-2.0).

Centimeters; +x the subject's left, y up, z forward; the origin between the pupils. The right side is authored, the left
is its mirror image.
"""
