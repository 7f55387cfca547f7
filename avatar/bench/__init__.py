"""`headsplat bench`: scenes, timing, the measured render path and training step, and the report."""

from .report import Report, Row
from .run import Grid, run_bench
from .scene import Scene, avatar_scene, head_scene

__all__ = ["Grid", "Report", "Row", "Scene", "avatar_scene", "head_scene", "run_bench"]
