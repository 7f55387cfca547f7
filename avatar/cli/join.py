"""`headsplat join`: join the segments of a rendering."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from avatar.cli.progress import say, stage
from avatar.common.jsonable import counted
from avatar.errors import HeadsplatError
from avatar.jobs.option_types import OptionalPath, Out
from avatar.jobs.outputs import Output, reserved


@dataclass(frozen=True)
class JoinCommand:
    """Join segments that `headsplat render --frames A:B` wrote, given in any order, without re-encoding."""

    segments: Annotated[Positional[tuple[Path, ...]], arg(metavar="SEGMENT...", help_behavior_hint="(required)")]
    """videos, or folders of images"""
    out: Out
    """the output, with the suffix of the segments"""
    audio: OptionalPath = None
    """an audio file, or a video with audio, for the output"""
    partial: bool = False
    """allow segments that do not start with frame 0 or do not end with the last frame of the motion (folders of images
    do not store the last frame: only start and gaps are checked)"""
    overwrite: bool = False
    """replace an output that exists"""

    def run(self) -> int:
        """Write the output; returns the exit code."""
        if not self.segments:
            raise HeadsplatError("join: no segments; give the files that `headsplat render --frames A:B` wrote")
        folder = self.segments[0].is_dir()
        output = Output(self.out, suffixes=() if folder else (".mp4", ".mov", ".webm"), folder=folder)
        with reserved([output], (*self.segments, self.audio), overwrite=self.overwrite):
            return self._join()

    def _join(self) -> int:
        from avatar.video.joining import join

        with stage("joining") as update:
            joined = join(
                self.segments,
                self.out,
                audio=self.audio,
                partial=self.partial,
                progress=lambda done, total: update(done / total, f"frame {done} of {total}"),
            )
        if joined.audio_dropped:
            say(f"{self.out}: the audio of the segments is dropped: joined, it would have gaps; give --audio FILE")
        print(f"{self.out}: {counted(joined.count, 'frame')}, starting with frame {joined.first}")
        return 0
