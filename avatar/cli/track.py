"""`headsplat track`: a camera becomes the face tracker of another program, without an avatar."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from tyro.conf import arg

from avatar.cli.interrupt import stopped_by_interrupt
from avatar.cli.progress import printed
from avatar.cli.window import finish
from avatar.jobs.live_sources import FaceOptions
from avatar.jobs.tracking import TrackOptions, track


@dataclass(frozen=True)
class TrackCommand:
    """Track a face and send its expressions and pose to other programs, such as VSeeFace, Warudo, Unreal Engine or
    Blender."""

    source: Annotated[FaceOptions, arg(name="")] = field(default_factory=FaceOptions)
    options: Annotated[TrackOptions, arg(name="")] = field(default_factory=TrackOptions)

    def run(self) -> int:
        """Track until the source has ended or Ctrl-C; returns the exit code."""
        with printed() as notify:
            run = track(self.source, self.options, notify=notify, stop=stopped_by_interrupt)
        return finish(run)
