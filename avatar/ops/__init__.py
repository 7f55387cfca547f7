"""The operations: argument checks, autograd, and dispatch to the native kernels or the PyTorch reference.

float32 tensors go to `cuda_ext`; others to `avatar.reference`, which is dense and meant for small inputs.
Letters in shapes: B batch, N Gaussians, V vertices, F faces, H, W pixels, K bases, C channels, D SH terms.
"""

from avatar.reference import (
    TEXEL_NODES,
    BlendExtent,
    EyeSurface,
    LayerImages,
    MouthSurface,
    SplatLayer,
    SplatOutput,
    SplatSettings,
    StretchMesh,
    stretch_mesh,
)

from .backend import keep_memory, kernel_threads, one_thread, one_thread_each
from .bind import bind
from .blend import DEFORM_CHANNELS, batch_invariant_matmul, batch_invariant_matmul_backward, blend, deform
from .buffers import SplatBuffers, splat_buffers, splat_into
from .frames import allow_more
from .hash_grid import HashLattice, hash_features, hash_lattice, leaky_network
from .images import photometric, ssim, to_bytes
from .layer import layer, texel_colors
from .light import add_reflections, layer_shade
from .limits import blend_extent, limit_scales, limit_texels, round_rings
from .mesh import mesh
from .motion import rigid_normal, sampled_normal
from .optimize import (
    AdamStep,
    Anchor,
    adam_outer_step,
    adam_step,
    adam_steps,
    add_anchors,
    schedule_of,
    takes_bfloat16,
    takes_schedule,
)
from .packages import other_packages
from .rendered_loss import (
    LayerLook,
    LayerScene,
    LossGradients,
    LossScene,
    LossTarget,
    fuses_rendered_loss,
    rendered_loss,
)
from .sh import rotate_sh
from .splat import splat, splat_features
from .strain import principal_strains
from .stretch import vertex_stretch
from .weights import Layers, WeightInputs, mixed_weights, mixed_weights_backward
from .widen import widen

__all__ = [
    "DEFORM_CHANNELS",
    "TEXEL_NODES",
    "AdamStep",
    "Anchor",
    "BlendExtent",
    "EyeSurface",
    "HashLattice",
    "LayerImages",
    "LayerLook",
    "LayerScene",
    "Layers",
    "LossGradients",
    "LossScene",
    "LossTarget",
    "MouthSurface",
    "SplatBuffers",
    "SplatLayer",
    "SplatOutput",
    "SplatSettings",
    "StretchMesh",
    "WeightInputs",
    "adam_outer_step",
    "adam_step",
    "adam_steps",
    "add_anchors",
    "add_reflections",
    "allow_more",
    "batch_invariant_matmul",
    "batch_invariant_matmul_backward",
    "bind",
    "blend",
    "blend_extent",
    "deform",
    "fuses_rendered_loss",
    "hash_features",
    "hash_lattice",
    "keep_memory",
    "kernel_threads",
    "layer",
    "layer_shade",
    "leaky_network",
    "limit_scales",
    "limit_texels",
    "mesh",
    "mixed_weights",
    "mixed_weights_backward",
    "one_thread",
    "one_thread_each",
    "other_packages",
    "photometric",
    "principal_strains",
    "rendered_loss",
    "rigid_normal",
    "rotate_sh",
    "round_rings",
    "sampled_normal",
    "schedule_of",
    "splat",
    "splat_buffers",
    "splat_features",
    "splat_into",
    "ssim",
    "stretch_mesh",
    "takes_bfloat16",
    "takes_schedule",
    "texel_colors",
    "to_bytes",
    "vertex_stretch",
    "widen",
]
