"""`headsplat capture`: from a video to a folder of tracked frames."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import DisallowNone, Positional, arg

from avatar.cli.progress import printed, show
from avatar.jobs.capturing import CaptureOptions, capture
from avatar.jobs.option_types import Out


@dataclass(frozen=True)
class CaptureCommand:
    """Decode, detect the face, matte and track; resumes after an interruption."""

    source: Annotated[Positional[tuple[Path, ...]], arg(metavar="VIDEO|PHOTOS|FOLDER")]
    """a video of one person, 1 to 20 photos, or a folder of several cameras: transforms.json (NeRF, VHAP /
    GaussianAvatars, INSTA), metrical-tracker's output, IMavatar's folder, or synchronized videos"""
    out: Out
    """the capture folder to write"""
    capture: Annotated[CaptureOptions, arg(name=""), DisallowNone] = field(default_factory=CaptureOptions)
    no_overlay: bool = False
    """do not write overlay.mp4, the video with the tracked head as an overlay"""
    json: bool = False
    """print the report as JSON, for programs"""

    def run(self) -> int:
        """Capture the video and report on it; returns the exit code."""
        with printed() as notify:
            done = capture(self.source, self.out, self.capture, overlay=not self.no_overlay, notify=notify)
        show(done.report.to_json() if self.json else f"{done.summary()}\n{done.report.to_text()}")
        return 0
