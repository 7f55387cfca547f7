"""Export: Gaussians for splat viewers (.ply, .spz, .glb) and the head mesh for other programs (.obj, .glb)."""

from .glb import write_glb
from .obj import write_obj
from .ply import YAxis, write_ply, write_plys
from .posed import posed
from .rigged_ply import write_rigged_ply
from .splat_glb import write_splat_glb
from .spz import SpzVersion, write_spz

__all__ = [
    "SpzVersion",
    "YAxis",
    "posed",
    "write_glb",
    "write_obj",
    "write_ply",
    "write_plys",
    "write_rigged_ply",
    "write_splat_glb",
    "write_spz",
]
