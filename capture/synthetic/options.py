"""Options of a synthetic capture."""

from __future__ import annotations

import math
from dataclasses import dataclass

from avatar.common.jsonable import shortened
from avatar.errors import HeadsplatError
from capture.synthetic.rooms import LIGHTS

MAX_CAMERAS = 32


@dataclass(frozen=True)
class SyntheticOptions:
    """A procedural person in front of a hand-held phone, or of calibrated static cameras."""

    seed: int = 7
    person: str = "noor"  # a name in capture.synthetic.appearance.APPEARANCES, or random: drawn by the seed
    glasses: bool = False  # add glasses to a person without
    width: int = 540  # pixels, even
    height: int = 720  # pixels, even
    frames: int = 240
    fps: float = 30.0
    focal: float = 1.35  # focal length over image width, unknown to the tracker
    noise: float = 0.009  # of the sensor, standard deviation at mid-gray, display units
    exposure_drift: float = 0.04  # relative, peak
    handheld: float = 1.0  # strength of the camera shake; 0 is a tripod
    crf: int = 18  # of the H.264 encoder
    cameras: int = 1  # several are static, on an arc around the head
    performance: str = "demo"  # a name in capture.synthetic.scripts.SCRIPTS
    yaw: float = 35.0  # degrees, maximum yaw of the head
    held_out: bool = False  # some expressions and the wider rotations occur only in the last fifth
    arc: float = 35.0  # degrees from the front of the face to the outermost camera
    light: str = "room"  # a name in capture.synthetic.rooms.LIGHTS
    wrinkles: bool = False  # lines of the face follow the local compression of the skin, not the expression

    def __post_init__(self) -> None:
        for name in ("width", "height"):
            value = getattr(self, name)
            if value < 64 or value % 2:
                raise HeadsplatError(f"SyntheticOptions.{name}: expected an even number of at least 64, found {value}.")
        if not 0 <= self.seed < 2**32:
            raise HeadsplatError(f"SyntheticOptions.seed: expected 0 to {2**32 - 1}, found {shortened(self.seed)}.")
        if self.light not in LIGHTS:
            raise HeadsplatError(
                f"SyntheticOptions.light: expected {', '.join(LIGHTS)}, found {shortened(self.light)}."
            )
        if self.frames < 1:
            raise HeadsplatError(f"SyntheticOptions.frames: expected at least 1, found {self.frames}.")
        if not 1 <= self.cameras <= MAX_CAMERAS:
            raise HeadsplatError(f"SyntheticOptions.cameras: expected 1 to {MAX_CAMERAS}, found {self.cameras}.")
        for name in ("fps", "focal", "noise", "exposure_drift", "handheld", "yaw"):
            value = getattr(self, name)
            positive = name in ("fps", "focal")
            if not 0 <= value < math.inf or (positive and value == 0):
                expected = "a number above 0" if positive else "0 or more"
                raise HeadsplatError(f"SyntheticOptions.{name}: expected {expected}, found {value}.")
        if self.performance == "orbit" and (self.cameras > 1 or self.held_out):
            option = "cameras" if self.cameras > 1 else "held_out"
            raise HeadsplatError(f"SyntheticOptions.{option}: not for the performance orbit, in which nobody moves.")
        if not 0 < self.arc <= 170:
            raise HeadsplatError(f"SyntheticOptions.arc: expected 0 to 170 degrees, found {self.arc}.")
