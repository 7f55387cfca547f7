"""`headsplat join`: pieces of one rendering to the whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from avatar.cli.arguments import OptionalPath, Out
from avatar.cli.progress import say, stage
from avatar.common.files import check_output, check_replaceable_folder
from avatar.common.jsonable import counted
from avatar.errors import HeadsplatError


@dataclass(frozen=True)
class JoinCommand:
    """Join the pieces that `headsplat render --frames A:B` wrote, in any order; nothing is encoded again."""

    pieces: Annotated[Positional[tuple[Path, ...]], arg(metavar="PIECE...", help_behavior_hint="(required)")]
    """videos, or folders of pictures"""
    out: Out
    """the whole, with the suffix of the pieces"""
    audio: OptionalPath = None
    """a sound file, or a video with sound, for the whole"""
    partial: bool = False
    """the pieces need not begin with frame 0 and end with the last of the motion (which folders of pictures do not
    tell: only their beginning and gaps are checked)"""
    overwrite: bool = False
    """replace an output that exists"""

    def run(self) -> int:
        """Write the whole; returns the exit code."""
        if not self.pieces:
            raise HeadsplatError("join: no pieces; give the files that `headsplat render --frames A:B` wrote")
        folder = self.pieces[0].is_dir()
        check_output(self.out, self.overwrite, folder=folder)
        from avatar.video.joining import join
        from avatar.video.sequence import PICTURES

        if folder and self.out.exists():
            check_replaceable_folder(self.out, PICTURES)
        with stage("joining") as update:
            joined = join(
                self.pieces,
                self.out,
                audio=self.audio,
                partial=self.partial,
                progress=lambda done, total: update(done / total, f"frame {done} of {total}"),
            )
        if joined.silenced:
            say(f"{self.out}: the sound of the pieces is left out, it would not meet without gaps; give --audio FILE")
        print(f"{self.out}: {counted(joined.count, 'frame')}, from frame {joined.first} on")
        return 0
