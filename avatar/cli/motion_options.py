"""Options of the subcommands that retarget a motion to an avatar."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from avatar.cli.arguments import MAX_WINDOW, Between, Gain, OptionalFps, OptionalHead, parse_gain


@dataclass(frozen=True)
class MotionOptions:
    """how the motion is retargeted; any of these also retargets an avatar's own capture"""

    motion_head: OptionalHead = None
    """the head model (FLAME's file) that the motion's expressions were made for"""
    motion_fps: OptionalFps = None
    """frame rate of a motion file without times"""
    neutral: Literal["resting", "as-is", "zero"] = "resting"
    """resting: the neutral expression of the recorded person maps to that of the avatar; as-is: weights are not
    changed; zero: zero weights map to the avatar's, as in a motion that was made (a .motion.npz of `motion speak` or
    `motion mix`: by itself)"""
    pose: Literal["relative", "absolute", "still"] = "relative"
    """head rotation. relative: from the mean pose of the recording, applied to the mean pose of the avatar; absolute:
    as recorded; still: no rotation"""
    travel: Annotated[float, Between(0, 10)] = 0.5
    """fraction of the head's travel about its mean position"""
    soft_clamp: Annotated[bool, arg(help_behavior_hint="(default: soft-clamped)")] = True
    """do not limit expressions and poses to the range the avatar was trained on"""
    gain: Gain = ()
    """scale the weights of expressions, or of the groups brows, eyes, mouth, jaw or head"""
    smooth: Annotated[float, arg(metavar="SECONDS"), Between(0, MAX_WINDOW)] = 0.0
    """width of the window that smooths the motion"""

    def check(self) -> None:
        """Raise HeadsplatError for values that are not valid, before any file is read."""
        parse_gain(self.gain)


def made_notes(path: Path) -> tuple[str, ...]:
    """What to tell about a made motion written to `path`, in a format that cannot say that it was made."""
    from avatar.motion.made import MADE

    return () if path.name.lower().endswith(".npz") else (f"{path}: {MADE}; render it with --neutral zero",)
