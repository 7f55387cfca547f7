"""Options of the subcommands that retarget a motion to an avatar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import arg

from avatar.common.ranges import Between
from avatar.jobs.option_types import MAX_WINDOW, Gain, OptionalFloat, OptionalFps, OptionalHead
from avatar.jobs.parsing import parse_gain


@dataclass(frozen=True)
class MotionOptions:
    """how the motion is retargeted; any of these also retargets an avatar's own capture"""

    motion_head: OptionalHead = None
    """the head model (FLAME's file) that the motion's expressions were made for"""
    motion_fps: OptionalFps = None
    """frame rate of a motion file without times, or of rows whose timecodes are wrong"""
    neutral: Literal["resting", "as-is", "zero"] = "resting"
    """resting: the resting face of the motion maps to that of the avatar; it is found in the frames, or has zero
    weights where the file says so, as after `motion speak` and `motion mix`; as-is: weights are not changed, but
    that lips touch where those of a made motion do; zero: zero weights map to the resting face of the avatar, whatever
    the file says"""
    pose: Literal["relative", "absolute", "still"] = "relative"
    """head rotation. relative: from the mean pose of the recording, applied to the mean pose of the avatar; absolute:
    as recorded; still: no rotation"""
    travel: Annotated[float, Between(0, 10)] = 0.5
    """fraction of the head's travel about its mean position"""
    soft_clamp: Annotated[bool, arg(help_behavior_hint="(default: soft-clamped)")] = True
    """off: expressions and poses are not limited to the range the avatar was trained on"""
    gain: Gain = ()
    """scale the weights of expressions, or of the groups brows, eyes, mouth, jaw or head"""
    mouth_mm: Annotated[OptionalFloat, Between(1, 45)] = None
    """scale all openings of the mouth so that the widest is this many millimeters between the lips of the avatar's own
    mesh, whatever the motion's head, the resting face and the soft clamp make of it"""
    smooth: Annotated[float, arg(metavar="SECONDS"), Between(0, MAX_WINDOW)] = 0.0
    """width of the window that smooths the motion"""
    self_tracking: Annotated[Literal["auto", "on", "off"], arg(name="self")] = "auto"
    """the avatar tracks its person in the frames of a film or capture, forward and backward, and nothing is retargeted;
    auto: where its render and the frames are alike, but not in the capture it was trained on"""

    def check(self) -> None:
        """Raise HeadsplatError for values that are not valid, before any file is read."""
        parse_gain(self.gain)
