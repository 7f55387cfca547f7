"""Export: Gaussians for splat viewers (.ply) and the head mesh for other programs (.obj, .glb)."""

from .glb import write_glb
from .obj import write_obj
from .ply import YAxis, write_ply, write_plys
from .posed import posed
from .rigged_ply import write_rigged_ply

__all__ = ["YAxis", "posed", "write_glb", "write_obj", "write_ply", "write_plys", "write_rigged_ply"]
