"""Options of the refinement; imports little, so that the command line starts fast."""

from __future__ import annotations

import math
from dataclasses import dataclass

from avatar.common.jsonable import shortened

_TRUSTS = ("trust_turn", "trust_depth", "trust_shift")
#: No weight, angle or distance is larger.
_LARGEST = 1e12


@dataclass(frozen=True)
class RefineOptions:
    """Refinement of tracked frames against an avatar."""

    size: int = 128  # longer side of the compared images, pixels
    sigma: float = 0.7  # scale of the robust cost: norm of a pixel's color difference (0..1)
    iterations: int = 8  # limit per frame
    tolerance: float = 5e-3  # relative decrease of the cost by a step below which the step is the last of its frame
    head_iterations: int = 3  # limit of the fit of the skull to a crop of the head, after the expressions; 0: none
    face_weight: float = 2.0  # weight of the pixels round eyes and mouth in that fit, beside those of the head
    torso: bool = True  # fit a separate pose of the torso in each frame
    torso_pull: float = 300.0  # weight that holds the torso's rotation (rad) and position (dm) to its prior, in pixels
    expressions: bool = True  # refine lips, lids, brows and gaze of held-out frames too
    training_expressions: bool = False  # and of training frames: slow, and held-out frames do not improve
    expression_size: int = 128  # longer side of the crop of the head where faces are compared, pixels
    expression_iterations: int = 2
    pull: float = 3.0  # weight that holds a control to the landmarks' value, in pixels of images of `size`
    trust_turn: float = math.radians(12)  # larger rotations from the landmarks' pose mark a frame as failed
    trust_depth: float = 0.08  # meters, the same for the distance from the camera
    trust_shift: float = 0.03  # meters, the same parallel to the image
    accept_loss: float = 1.0  # dB; a change that makes a region of the head worse by more is not accepted in a frame
    smooth_data: float = 10.0  # weight of the images against smoothness; sigma does not measure their noise
    smooth_turn: float = math.radians(0.25)  # standard deviation of the second difference at 30 fps
    smooth_shift: float = 3e-4  # meters
    smooth_depth: float = 1e-3  # meters

    def __post_init__(self) -> None:
        for name in ("size", "expression_size"):
            if not 16 <= getattr(self, name) <= 4096:
                raise ValueError(f"{name}: expected 16 to 4096 pixels, got {shortened(getattr(self, name))}")
        for name in ("iterations", "head_iterations", "expression_iterations"):
            if not 0 <= getattr(self, name) <= 1000:
                raise ValueError(f"{name}: expected 0 to 1000, got {shortened(getattr(self, name))}")
        for name in ("sigma", "smooth_data", "smooth_turn", "smooth_shift", "smooth_depth"):
            if not 0 < getattr(self, name) <= _LARGEST:
                raise ValueError(f"{name}: expected more than 0 and at most {_LARGEST:g}, got {getattr(self, name):g}")
        for name in ("tolerance", "accept_loss", "face_weight", "torso_pull", "pull", *_TRUSTS):
            if not 0 <= getattr(self, name) <= _LARGEST:
                raise ValueError(f"{name}: expected 0 to {_LARGEST:g}, got {getattr(self, name):g}")
