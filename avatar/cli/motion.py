"""`headsplat motion`: show, convert, make, mix or read the motion of a face."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg, subcommand

from avatar.cli.motion_bridge import MotionBridge
from avatar.cli.motion_mix import MotionMix
from avatar.cli.motion_report import MotionReport
from avatar.cli.motion_speak import MotionSpeak
from avatar.cli.progress import SENTENCES, say, show
from avatar.common.jsonable import counted
from avatar.common.ranges import Between
from avatar.errors import HeadsplatError
from avatar.jobs.option_types import MAX_WINDOW, Gain, OptionalFps, OptionalHead, OptionalPath, Out
from avatar.jobs.outputs import Output, reserved
from avatar.jobs.parsing import parse_gain

if TYPE_CHECKING:
    from avatar.driving.motion_source import MotionSource
    from avatar.driving.report import DriveReport
    from avatar.head import HeadModel
    from avatar.motion.arrays import MotionArrays
    from avatar.types import Motion

Input = Annotated[Positional[Path], arg(metavar="FILE|CAPTURE")]
OptionalSeconds = Annotated[float | None, arg(metavar="SECONDS"), Between(0, MAX_WINDOW)]


@dataclass(frozen=True)
class MotionInfo:
    """Show frames, gaps, used expressions and head rotation of a motion."""

    file: Input
    """an expression file (Live Link CSV, ARKit or Audio2Face, FLAME, .motion.npz) or a capture folder"""
    avatar: OptionalPath = None
    """an .avatar file: also report how the motion is retargeted to it"""
    motion_head: OptionalHead = None
    """the head model (FLAME's file) that the motion's expressions were made for"""
    motion_fps: OptionalFps = None
    """frame rate of a motion file without times, or of rows whose timecodes are wrong"""
    json: bool = False
    """print JSON"""

    def run(self) -> int:
        """Print the summary; returns the exit code."""
        from avatar.motion.summary import MotionSummary

        motion, report = self._motion()
        found = MotionSummary.of(motion, str(self.file))
        if self.json:
            content = found.to_dict() | ({} if report is None else {"drive": report.to_dict()})
            print(json.dumps(content, indent=1, allow_nan=False))
            return 0
        show(found.to_text())
        if report is not None:
            show(f"\non {self.avatar}: {dataclasses.replace(report, notes=()).to_text()}")  # the summary has the notes
        return 0

    def _motion(self) -> tuple[Motion | MotionArrays, DriveReport | None]:
        """The motion, and how it is retargeted to --avatar; an expression file alone is read without PyTorch."""
        from avatar.jobs.motion_sources import is_expression_file, load_source

        if self.avatar is None and self.motion_head is None and is_expression_file(self.file):
            from avatar.motion.files import read_arrays

            return read_arrays(self.file, self.motion_fps), None
        source = load_source(self.file, self.motion_head, self.motion_fps, notices=SENTENCES)
        if self.avatar is None:
            return source.motion, None
        from avatar.driving.driver import DriveOptions, drive
        from avatar.model.avatar_file import load_avatar

        driven = drive(load_avatar(self.avatar), source.motion, DriveOptions(motion_head=source.head))
        return source.motion, driven.report


@dataclass(frozen=True)
class MotionConvert:
    """Write a motion in another format, frame rate or expression space, trimmed, smoothed or scaled."""

    file: Input
    """an expression file or a capture folder"""
    out: Out
    """a Live Link .csv, an ARKit .json, our own .motion.npz, or FLAME's: flame_param[.npz], .deca|emoca|smirk.npz"""
    fps: OptionalFps = None
    """constant frame rate; default: the times of the motion"""
    trim: Annotated[str | None, arg(metavar="A:B")] = None
    """only frames from A to B seconds after the first frame, B excluded"""
    smooth: OptionalSeconds = None
    """width of the smoothing window against jitter; a blink lasts about 0.15"""
    gain: Gain = ()
    """scale the weights of expressions, or of the groups brows, eyes, mouth, jaw or head"""
    motion_head: OptionalHead = None
    """the head model (FLAME's file) that the motion's expressions were made for"""
    motion_fps: OptionalFps = None
    """frame rate of a motion file without times, or of rows whose timecodes are wrong"""
    to_head: OptionalHead = None
    """retarget the expressions to this head: embedded (ARKit's names), or a head file"""
    bridge: OptionalPath = None
    """the file has coefficients of another program: convert them by this bridge of `headsplat motion bridge`"""
    overwrite: bool = False
    """replace an output that exists"""

    def run(self) -> int:
        """Read, edit and write; returns the exit code."""
        factors = parse_gain(self.gain)
        span = parse_trim(self.trim or ":")
        inputs = (self.file, self.motion_head, self.to_head, self.bridge)
        with reserved([self._output()], inputs, overwrite=self.overwrite):
            return self._convert(factors, span)

    def _source(self) -> MotionSource:
        """The motion of the file, and the head model that it was made for where it is known."""
        if self.bridge is None:
            from avatar.jobs.motion_sources import load_source

            return load_source(self.file, self.motion_head, self.motion_fps, notices=SENTENCES)
        from avatar.driving.motion_source import MotionSource
        from avatar.head import load_head
        from avatar.performance.coefficients.learned_bridge import load_learned_bridge

        motion = load_learned_bridge(self.bridge).read(self.file, self.motion_fps)
        head = None if self.motion_head is None else load_head(self.motion_head, on_message=say)
        return MotionSource(self.file.name, motion, head, None)

    def _output(self) -> Output:
        from avatar.motion.files.write import FLAME_FILES, FLAME_FOLDER

        if self.out.name.lower().endswith(FLAME_FOLDER):
            return Output(self.out, folder=True)
        return Output(self.out, suffixes=(".csv", ".json", ".motion.npz", *FLAME_FILES))

    def _convert(self, factors: dict[str, float], span: tuple[float | None, float | None]) -> int:
        from avatar.motion import write_motion

        source = self._source()
        motion = edit_motion(source.motion, span, self.smooth, self.fps, factors)
        if self.to_head is not None:
            motion = retarget_motion(motion, source.head, self.to_head, self.out)
        missing = write_motion(self.out, motion)
        for note in (*motion.notes, *missing):
            say(note)
        print(f"{self.out}: {counted(len(motion), 'frame')}, {motion.rate:.3f} fps, {motion.space}")
        return 0


@dataclass(frozen=True)
class MotionCommand:
    """Show, convert, make, mix or read the motion of a face."""

    action: OmitArgPrefixes[
        Annotated[MotionInfo, subcommand("info", prefix_name=False)]
        | Annotated[MotionConvert, subcommand("convert", prefix_name=False)]
        | Annotated[MotionMix, subcommand("mix", prefix_name=False)]
        | Annotated[MotionSpeak, subcommand("speak", prefix_name=False)]
        | Annotated[MotionReport, subcommand("report", prefix_name=False)]
        | Annotated[MotionBridge, subcommand("bridge", prefix_name=False)]
    ]

    def run(self) -> int:
        """Run the action; returns the exit code."""
        return self.action.run()


def edit_motion(
    motion: Motion,
    span: tuple[float | None, float | None],
    smooth: float | None,
    fps: float | None,
    factors: dict[str, float],
) -> Motion:
    """Smooth, trim or resample, and scale a motion.

    The motion is trimmed after smoothing, so that smoothing sees the neighbors of the ends. With `fps` the first frame
    is exactly at the start of the span.

    Args:
        motion: T frames.
        span: start and end in seconds after the first frame; None: not trimmed on that side.
        smooth: width of the window in seconds; None: not smoothed.
        fps: constant frame rate; None: the times of the motion.
        factors: scale by name of an expression or group.
    """
    from avatar.motion import edit

    if smooth is not None:
        motion = edit.smooth(motion, smooth)
    motion = edit.trim(motion, *span) if fps is None else edit.resample(motion, fps, *span)
    return edit.gain(motion, factors)


def retarget_motion(motion: Motion, source: HeadModel | None, target: str, out: Path) -> Motion:
    """The motion in the expressions of the head named `target` that `out` can store; `source` is its own head."""
    from avatar.head import load_head
    from avatar.motion import load_bridge
    from avatar.motion.bridge import without_expressions
    from avatar.motion.files.write import is_flame_name
    from avatar.motion.from_capture import space_of

    if source is None and motion.space != "arkit52":
        raise HeadsplatError(
            f"--to-head: the motion is in {motion.space}, and its file does not contain the head model; give the "
            "one it was made for with --motion-head FILE"
        )
    source = source or load_head()
    head = load_head(target, on_message=say)
    if is_flame_name(out):
        from avatar.motion.files.flame_write import LIDS, layout_of_name

        # Lids that the file has no parameters for are closed by FLAME's expressions, as far as these can.
        if "lids" not in layout_of_name(out).parts:
            head = without_expressions(head, LIDS)
    return load_bridge(source, head).motion(motion, space_of(head))


def parse_trim(text: str) -> tuple[float | None, float | None]:
    """Parse `A:B` in seconds, both optional; raises HeadsplatError."""
    match = re.fullmatch(r"(\d+\.?\d*|\.\d+)?:(\d+\.?\d*|\.\d+)?", text)
    if not match:
        raise HeadsplatError(f"--trim: {text!r} is not a time span; give FROM:TO in seconds, such as 1.5:20 or 3:")
    start, end = (float(side) if side else None for side in match.groups())
    if end is not None and end <= (start or 0.0):
        raise HeadsplatError(f"--trim: {text}: the end is not after the start; give FROM:TO in seconds")
    return start, end
