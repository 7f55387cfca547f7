"""The operations in PyTorch, dense, for any float dtype: the specification of the native kernels and their test oracle.

Every function has the signature of the function of the same name in `avatar.ops`; speed is not a goal.
Letters: B batch, N Gaussians, V vertices, F faces, H, W pixels, K bases, C channels, D SH terms.
"""

from .bind import bind
from .blend import blend, deform
from .images import photometric, ssim, to_bytes
from .layer import TEXEL_NODES, LayerImages, SplatLayer, layer, texel_colors, whole_image
from .light import (
    MOUTH_CONSTANTS,
    EyeSurface,
    MouthSurface,
    add_reflections,
    edge_span,
    layer_shade,
    lid_edges,
    mouth_light,
)
from .limits import BlendExtent, blend_extent, limit_scales, limit_texels, round_rings
from .mesh import mesh
from .motion import rigid_normal, sampled_normal
from .optimize import adam_outer_step, adam_step, add_anchor
from .sh import SH_TERMS, rotate_sh, sh_basis, sh_colors
from .splat import Projected, SplatOutput, SplatSettings, project, rasterize, splat, splat_features
from .strain import principal_strains
from .stretch import TENSOR_SIZE, StretchMesh, stretch_mesh, vertex_stretch
from .widen import widen

__all__ = [
    "MOUTH_CONSTANTS",
    "SH_TERMS",
    "TENSOR_SIZE",
    "TEXEL_NODES",
    "BlendExtent",
    "EyeSurface",
    "LayerImages",
    "MouthSurface",
    "Projected",
    "SplatLayer",
    "SplatOutput",
    "SplatSettings",
    "StretchMesh",
    "adam_outer_step",
    "adam_step",
    "add_anchor",
    "add_reflections",
    "bind",
    "blend",
    "blend_extent",
    "deform",
    "edge_span",
    "layer",
    "layer_shade",
    "lid_edges",
    "limit_scales",
    "limit_texels",
    "mesh",
    "mouth_light",
    "photometric",
    "principal_strains",
    "project",
    "rasterize",
    "rigid_normal",
    "rotate_sh",
    "round_rings",
    "sampled_normal",
    "sh_basis",
    "sh_colors",
    "splat",
    "splat_features",
    "ssim",
    "stretch_mesh",
    "texel_colors",
    "to_bytes",
    "vertex_stretch",
    "whole_image",
    "widen",
]
