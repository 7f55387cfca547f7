"""How poses and expressions are refined; light, so that the command line starts fast."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class RefineOptions:
    """Refinement of tracked frames against an avatar."""

    size: int = 128  # longer side of the compared pictures, pixels
    sigma: float = 0.7  # of the robust cost, color (0..1) summed in square over channels
    iterations: int = 8  # at most, a frame
    tolerance: float = 2e-3  # relative decrease of the cost that ends a frame
    torso: bool = True  # let the torso have a pose of its own in each frame
    torso_pull: float = 300.0  # of its turn (rad) and travel (dm) to the rig's map, in pixels
    expressions: bool = True  # refine lips, lids, brows and gaze of held-out frames too
    training_expressions: bool = False  # and of training frames: it takes long and held-out frames gain nothing
    expression_size: int = 128  # longer side of the whole picture where faces are compared, pixels
    expression_iterations: int = 3
    pull: float = 3.0  # of a control to the landmarks' value, in pixels of the poses' pictures
    trust_turn: float = math.radians(12)  # a frame that turns farther from the landmarks' pose ran away
    trust_depth: float = 0.08  # meters, the same for its distance from the camera
    trust_shift: float = 0.03  # meters, the same along the picture
    smooth_data: float = 10.0  # weight of the pictures against smooth motion; sigma is no measure of their noise
    smooth_turn: float = math.radians(0.25)  # second difference at 30 frames/s, standard deviation
    smooth_shift: float = 3e-4  # meters
    smooth_depth: float = 1e-3  # meters

    def __post_init__(self) -> None:
        if min(self.size, self.expression_size) < 16:
            raise ValueError(f"size: expected 16 pixels or more, got {min(self.size, self.expression_size)}")
        if min(self.iterations, self.expression_iterations) < 0:
            raise ValueError("iterations: expected 0 or more")
        for name in ("sigma", "smooth_data", "smooth_turn", "smooth_shift", "smooth_depth"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: expected more than 0, got {getattr(self, name):g}")
        for name in ("tolerance", "torso_pull", "pull", "trust_turn", "trust_depth", "trust_shift"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}: expected 0 or more, got {getattr(self, name):g}")
