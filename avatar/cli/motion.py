"""`headsplat motion`: what an expression file or a capture holds, and other files made of it."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg, subcommand

from avatar.cli.arguments import Gain, OptionalFloat, OptionalHead, OptionalPath, Out, parse_gain
from avatar.cli.progress import say
from avatar.common.files import check_output
from avatar.common.frame_rate import check_fps
from avatar.common.jsonable import counted
from avatar.errors import HeadsplatError

if TYPE_CHECKING:
    from avatar.head import HeadModel
    from avatar.types import Motion

Input = Annotated[Positional[Path], arg(metavar="FILE|CAPTURE")]
OptionalSeconds = Annotated[float | None, arg(metavar="SECONDS")]


@dataclass(frozen=True)
class MotionInfo:
    """Say what a motion holds: frames, gaps, expressions in use, how far the head turns."""

    file: Input
    """an expression file (Live Link CSV, ARKit or Audio2Face, FLAME, .motion.npz) or a capture folder"""
    avatar: OptionalPath = None
    """an .avatar file: say how the motion would come out on it"""
    motion_head: OptionalHead = None
    """the head model (FLAME's file) that the motion's expressions were made for"""
    motion_fps: OptionalFloat = None
    """frame rate of a motion file that states no times"""
    json: bool = False
    """as JSON, for programs"""

    def run(self) -> int:
        """Print the facts; returns the exit code."""
        from avatar.cli.driven_motion import read_source
        from avatar.motion.summary import MotionSummary

        check_fps(self.motion_fps, "--motion-fps")
        motion, head, _ = read_source(self.file, self.motion_head, self.motion_fps)
        found = MotionSummary.of(motion, str(self.file))
        report = None
        if self.avatar is not None:
            from avatar.driving.driver import DriveOptions, drive
            from avatar.model.avatar_file import load_avatar

            report = drive(load_avatar(self.avatar), motion, DriveOptions(motion_head=head)).report
        if self.json:
            facts = found.to_dict() | ({} if report is None else {"drive": report.to_dict()})
            print(json.dumps(facts, indent=1, allow_nan=False))
            return 0
        print(found.to_text())
        if report is not None:
            print(f"\non {self.avatar}: {dataclasses.replace(report, notes=()).to_text()}")  # notes stand above
        return 0


@dataclass(frozen=True)
class MotionConvert:
    """Write a motion as another file: another format, rate, part, strength or head."""

    file: Input
    """an expression file or a capture folder"""
    out: Out
    """a Live Link .csv, an ARKit .json or our own .motion.npz"""
    fps: OptionalFloat = None
    """constant frame rate; default: the times it has"""
    trim: Annotated[str | None, arg(metavar="A:B")] = None
    """only from A to B seconds after the first frame, B left out"""
    smooth: OptionalSeconds = None
    """take jitter away with a window this wide; a blink lasts about 0.15"""
    gain: Gain = ()
    """make expressions, or brows, eyes, mouth, jaw or head, stronger or weaker"""
    motion_head: OptionalHead = None
    """the head model (FLAME's file) that the motion's expressions were made for"""
    motion_fps: OptionalFloat = None
    """frame rate of a motion file that states no times"""
    to_head: OptionalHead = None
    """carry the expressions to this head: embedded (ARKit's names), or a head file"""
    overwrite: bool = False
    """replace an output that exists"""

    def run(self) -> int:
        """Read, edit and write; returns the exit code."""
        from avatar.motion import write_motion

        factors, span = parse_gain(self.gain), parse_trim(self.trim or ":")
        check_fps(self.fps, "--fps")
        check_fps(self.motion_fps, "--motion-fps")
        check_output(self.out, self.overwrite)
        from avatar.cli.driven_motion import read_source

        motion, head, _ = read_source(self.file, self.motion_head, self.motion_fps)
        motion = edited(motion, span, self.smooth, self.fps, factors)
        if self.to_head is not None:
            motion = carried(motion, head, self.to_head)
        missing = write_motion(self.out, motion)
        for note in (*motion.notes, *missing):
            say(note)
        print(f"{self.out}: {counted(len(motion), 'frame')}, {motion.rate:.3f} frames/s, {motion.space}")
        return 0


@dataclass(frozen=True)
class MotionCommand:
    """Look at an expression file or a capture's motion, or write it as another file."""

    action: OmitArgPrefixes[
        Annotated[MotionInfo, subcommand("info", prefix_name=False)]
        | Annotated[MotionConvert, subcommand("convert", prefix_name=False)]
    ]

    def run(self) -> int:
        """Do it; returns the exit code."""
        return self.action.run()


def edited(
    motion: Motion,
    span: tuple[float | None, float | None],
    smooth: float | None,
    fps: float | None,
    factors: dict[str, float],
) -> Motion:
    """The motion smoothed, the part of `span` at another rate where one is given, and with other strengths.

    The span comes last of the three, so that its ends know their neighbors and its first frame lies where it begins.
    """
    from avatar.motion import edit

    if smooth is not None:
        motion = edit.smooth(motion, smooth)
    motion = edit.trim(motion, *span) if fps is None else edit.resample(motion, fps, *span)
    return edit.gain(motion, factors)


def carried(motion: Motion, source: HeadModel | None, target: str) -> Motion:
    """The motion in the expressions of the head that `target` names."""
    from avatar.head import load_head
    from avatar.motion import load_bridge
    from avatar.motion.from_capture import space_of

    if source is None and motion.space != "arkit52":
        raise HeadsplatError(
            f"--to-head: the motion is in {motion.space}, which its file does not describe; give the head model it was "
            "made for with --motion-head FILE"
        )
    source, head = source or load_head(), load_head(target, told=say)
    return load_bridge(source, head).motion(motion, space_of(head))


def parse_trim(text: str) -> tuple[float | None, float | None]:
    """Seconds of `A:B`, either side may be left out; raises HeadsplatError."""
    match = re.fullmatch(r"(\d+\.?\d*|\.\d+)?:(\d+\.?\d*|\.\d+)?", text)
    if not match:
        raise HeadsplatError(f"--trim: {text!r} is no span; give FROM:TO in seconds, such as 1.5:20 or 3:")
    start, end = (float(side) if side else None for side in match.groups())
    if end is not None and end <= (start or 0.0):
        raise HeadsplatError(f"--trim: {text}: the end does not lie after the start; give FROM:TO in seconds")
    return start, end
