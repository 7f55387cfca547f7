"""`headsplat convert`: a capture in, a folder of another tool's layout out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from avatar.cli.arguments import Out
from avatar.cli.progress import say
from avatar.files import check_output


@dataclass(frozen=True)
class ConvertCommand:
    """Write a capture in the layout of another tool: NeRF, VHAP / GaussianAvatars or INSTA."""

    source: Annotated[Positional[Path], arg(metavar="CAPTURE")]
    """a folder made by `headsplat capture`"""
    out: Out
    """the folder to write"""
    layout: str = "nerf"
    """nerf, vhap or insta (one camera)"""
    overwrite: bool = False
    """replace what is there"""

    def run(self) -> int:
        """Write the folder; returns the exit code."""
        from avatar.captured import Capture
        from capture.layouts.write import write_layout

        capture = Capture.load(self.source)
        check_output(self.out, self.overwrite, folder=True)
        for note in write_layout(capture, self.layout, self.out):
            say(note)
        print(f"{self.out}: {len(capture)} pictures in the layout {self.layout}")
        return 0
