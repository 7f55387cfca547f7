"""`headsplat convert`: write a capture in the folder layout of another tool."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from avatar.cli.progress import say
from avatar.jobs.option_types import Out
from avatar.jobs.outputs import Output, reserved


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
    """replace an output that exists"""

    def run(self) -> int:
        """Write the folder; returns the exit code."""
        from avatar.data.capture_folder import Capture
        from capture.layouts.write import write_layout

        with reserved([Output(self.out, folder=True)], [self.source], overwrite=self.overwrite):
            capture = Capture.load(self.source)
            for note in write_layout(capture, self.layout, self.out):
                say(note)
        print(f"{self.out}: {len(capture)} images in the layout {self.layout}")
        return 0
