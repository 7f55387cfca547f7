"""What a synthetic capture may look like."""

from __future__ import annotations

import math
from dataclasses import dataclass

from avatar.errors import HeadsplatError

MOST_CAMERAS = 32


@dataclass(frozen=True)
class SyntheticOptions:
    """A procedural person in front of a hand-held phone, or among calibrated cameras that stand still."""

    seed: int = 7
    person: str = "noor"  # a name in capture.synthetic.appearance.APPEARANCES
    glasses: bool = False  # put some on whoever wears none
    width: int = 540  # pixels, even
    height: int = 720  # pixels, even
    frames: int = 240
    fps: float = 30.0
    focal: float = 1.35  # focal length over the image's width, unknown to the tracker
    noise: float = 0.009  # of the sensor, standard deviation at mid-gray, display units
    exposure_drift: float = 0.04  # relative, peak
    handheld: float = 1.0  # 0 is a tripod, 1 an ordinary hand
    crf: int = 18  # of the H.264 encoder
    cameras: int = 1  # more than one stand still on an arc around the head
    performance: str = "demo"  # a name in capture.synthetic.scripts.SCRIPTS
    yaw: float = 35.0  # degrees, the widest turn of the head to the side
    held_out: bool = False  # whole expressions and the wider turns occur only in the last fifth
    arc: float = 35.0  # degrees from the face's middle to the outermost camera

    def __post_init__(self) -> None:
        for name in ("width", "height"):
            value = getattr(self, name)
            if value < 64 or value % 2:
                raise HeadsplatError(f"SyntheticOptions.{name}: expected an even number of at least 64, found {value}.")
        if self.frames < 1:
            raise HeadsplatError(f"SyntheticOptions.frames: expected at least 1, found {self.frames}.")
        if not 1 <= self.cameras <= MOST_CAMERAS:
            raise HeadsplatError(f"SyntheticOptions.cameras: expected 1 to {MOST_CAMERAS}, found {self.cameras}.")
        for name in ("fps", "focal", "noise", "exposure_drift", "handheld", "yaw"):
            value, positive = getattr(self, name), name in ("fps", "focal")
            if not 0 <= value < math.inf or (positive and value == 0):
                least = "a number above 0" if positive else "0 or more"
                raise HeadsplatError(f"SyntheticOptions.{name}: expected {least}, found {value}.")
        if not 0 < self.arc <= 170:
            raise HeadsplatError(f"SyntheticOptions.arc: expected 0 to 170 degrees, found {self.arc}.")
