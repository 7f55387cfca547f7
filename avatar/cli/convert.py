"""`headsplat convert`: write a capture in the folder layout of another tool."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from avatar.cli.progress import printed
from avatar.jobs.conversion import convert
from avatar.jobs.option_types import Out


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
        with printed() as notify:
            capture = convert(self.source, self.out, self.layout, overwrite=self.overwrite, notify=notify)
        print(f"{self.out}: {len(capture)} images in the layout {self.layout}")
        return 0
