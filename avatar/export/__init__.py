"""Export: Gaussians for splat viewers (.ply, .spz, .glb) and LAM (.zip), the mesh for others (.obj, .glb, .vrm)."""

from .glb import write_glb
from .lam import write_lam
from .obj import write_obj
from .ply import YAxis, write_ply, write_plys
from .posed import posed
from .rigged_ply import write_rigged_ply
from .splat_glb import write_splat_glb
from .spz import SpzVersion, write_spz
from .vrm import write_vrm

__all__ = [
    "SpzVersion",
    "YAxis",
    "posed",
    "write_glb",
    "write_lam",
    "write_obj",
    "write_ply",
    "write_plys",
    "write_rigged_ply",
    "write_splat_glb",
    "write_spz",
    "write_vrm",
]
