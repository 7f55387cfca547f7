"""`headsplat convert`: write a capture in the folder layout of another tool."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from avatar.cli.arguments import Out
from avatar.cli.progress import say
from avatar.common.files import check_output, check_replaceable_folder
from avatar.errors import HeadsplatError


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
        from capture.layouts.transforms import ALL_FILE
        from capture.layouts.write import REPLACEABLE, write_layout

        capture = Capture.load(self.source)
        out, source = self.out.resolve(), self.source.resolve()
        if out == source or out in source.parents:
            raise HeadsplatError(f"{self.out}: contains the capture itself; choose another folder with -o")
        check_output(self.out, self.overwrite, folder=True)
        if self.out.exists():
            check_replaceable_folder(self.out, REPLACEABLE, sign=ALL_FILE)
        for note in write_layout(capture, self.layout, self.out):
            say(note)
        print(f"{self.out}: {len(capture)} images in the layout {self.layout}")
        return 0
