"""What a frame shows of a face, as the coach reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class FaceState:
    """One frame."""

    time: float  # seconds
    found: bool = True  # whether a face was found
    faces: int = 1  # in the whole frame
    yaw: float = 0.0  # degrees to the person's left
    pitch: float = 0.0  # degrees up
    roll: float = 0.0  # degrees to the person's left shoulder
    #: ARKit's names to weights as of `measured_expression`, whose value at rest depends on the person; empty before the
    #: person's face is known
    expression: Mapping[str, float] = field(default_factory=dict)
    gaze: tuple[float, float] = (0.0, 0.0)  # degrees of the eyes to the person's left and up, relative to the skull
    box: tuple[float, float, float, float] = (0.35, 0.3, 0.65, 0.7)  # left, top, right, bottom: fractions of the frame
    eye_pixels: float = 150.0  # between the outer eye corners
    brightness: float = 0.5  # 0..1, mean of the face
    clipped: float = 0.0  # overexposed fraction of the face
    side_light: float = 1.0  # brightness of the person's left half of the face over the right half
    blur: float = 0.4  # 0 (sharp) .. 1, of the face

    @property
    def measured(self) -> bool:
        """Whether pose and expressions are those of the person's head."""
        return self.found and bool(self.expression)
