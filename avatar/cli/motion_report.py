"""`headsplat motion report`: what a face does in a take, as text, JSON and a table."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, UseAppendAction, arg

from avatar.cli.progress import printed, say, show
from avatar.common.files import atomic_path, path_text
from avatar.common.frame_rate import MAX_FPS
from avatar.common.ranges import Between
from avatar.jobs.capturing import track_video
from avatar.jobs.notices import Notices
from avatar.jobs.option_types import PASSES, OptionalFps, OptionalHead, OptionalPath
from avatar.jobs.outputs import Output, reserved

if TYPE_CHECKING:
    from avatar.performance.facs.table import FacsTable
    from avatar.performance.readout.points import FacePoints
    from avatar.performance.readout.report import TakeReport
    from avatar.performance.readout.take import Loudness
    from avatar.types import Motion

#: Files that are read as motions; any other file is a video.
_MOTIONS = (".csv", ".json", ".npz", ".npy", ".txt", ".pkl")
LandmarksName = Literal["named", "all", "none"]  # equal to avatar.performance.readout.points.Choice, which needs torch
CONSENT = "A reading describes a person's face: make it only of someone who has agreed (docs/guides/reading.md)."


@dataclass(frozen=True)
class MotionReport:
    """Report what a face does: action units, emotions, gaze, blinks, gestures, speech, as text, JSON or a table."""

    file: Annotated[Positional[Path], arg(metavar="FILE|CAPTURE|VIDEO")]
    """an expression file, a capture folder, or a video, which is tracked first"""
    out: Annotated[UseAppendAction[tuple[Path, ...]], arg(aliases=["-o"], metavar="PATH")] = ()
    """also write the report: .json, .txt, or .csv with a line for every frame; several are possible"""
    json: bool = False
    """print JSON; with --text the text goes to stderr"""
    text: bool = False
    """print the text, which is the default"""
    table: OptionalPath = None
    """a TOML file with another table of action units and emotions"""
    resting: Annotated[bool, arg(help_behavior_hint="(default: removed)")] = True
    """do not remove the resting face that the take shows"""
    own_range: bool = False
    """scale every expression by how far it goes in this take, so that people compare; the take must show wide ones"""
    rate: Annotated[float, Between(0.01, MAX_FPS)] = 10.0
    """frames a second in the JSON; events are found in all frames"""
    contributions: bool = False
    """write what each weight adds to every label, in every frame of the JSON"""
    landmarks: LandmarksName = "named"
    """points of the face in every frame of the JSON: 33 named ones, all 478 of MediaPipe, or none"""
    passes: Annotated[int, PASSES] = 5
    """landmark passes of a video, as for `headsplat capture`"""
    motion_head: OptionalHead = None
    """the head model (FLAME's file) that the motion's expressions were made for"""
    motion_fps: OptionalFps = None
    """frame rate of a motion file without times, or of rows whose timecodes are wrong"""
    overwrite: bool = False
    """replace outputs that exist"""

    def run(self) -> int:
        """Read and report; returns the exit code."""
        from avatar.performance.facs.table import FacsTable

        outputs = [Output(path, suffixes=(".json", ".txt", ".csv")) for path in self.out]
        with reserved(outputs, (self.file, self.table, self.motion_head), overwrite=self.overwrite):
            report = self._report(FacsTable.load(self.table))
            for path in self.out:
                write_report(report, path)
            if self.json:
                for part in report.json_parts():
                    print(part, end="")
            if self.text and self.json:
                say(report.to_text())
            elif not self.json:
                show(report.to_text())
        return 0

    def _report(self, table: FacsTable) -> TakeReport:
        from avatar.performance.readout.report import TakeReport
        from avatar.performance.readout.take import ReadOptions, read_take

        with ExitStack() as stack:
            motion, loudness, points = self._motion(stack)
        take = read_take(motion, table, ReadOptions(self.resting, self.own_range), loudness)
        return TakeReport(take, path_text(self.file.name), self.rate, self.contributions, points)

    def _motion(self, stack: ExitStack) -> tuple[Motion, Loudness | None, FacePoints | None]:
        """The motion with ARKit's names, the sound of a video, and the landmarks."""
        from avatar.driving.motion_source import load_motion_source
        from avatar.head import load_head
        from avatar.motion import load_bridge
        from avatar.motion.from_capture import motion_of, space_of
        from avatar.performance.readout.points import FacePoints

        path = self.file
        loudness = None
        if path.is_file() and path.suffix.lower() not in _MOTIONS:
            from avatar.performance.readout.sound import read_loudness

            say(CONSENT)
            loudness = read_loudness(path)
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            with printed() as notify:
                path = track_video(path, Path(folder) / "track.capture", self.passes, Notices(notify))
        source = load_motion_source(path, self.motion_head, self.motion_fps, log=say)
        motion = source.motion
        if source.capture is not None and source.head is not None:
            motion = motion_of(source.capture, source.head, pixels=True)
        if motion.space != "arkit52" and source.head is not None:
            embedded = load_head()
            motion = load_bridge(source.head, embedded).motion(motion, space_of(embedded))
        return motion, loudness, FacePoints.of(motion, self.landmarks, source.capture, source.head)


def write_report(report: TakeReport, path: Path) -> None:
    """Write the report as its suffix says, whole or not at all."""
    kinds = {".json": report.json_parts, ".csv": report.csv_lines, ".txt": lambda: [report.to_text() + "\n"]}
    lines = kinds[path.suffix.lower()]()
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", errors="backslashreplace") as stream:
        stream.writelines(lines)
