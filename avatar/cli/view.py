"""`headsplat view`: an avatar in a window, posed by hand or driven by a motion."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from avatar.cli.interrupt import stopped_by_interrupt
from avatar.cli.progress import printed
from avatar.cli.window import finish
from avatar.jobs.live_window import LiveOptions, view
from avatar.jobs.option_types import OptionalPath


@dataclass(frozen=True)
class ViewCommand:
    """Show an avatar in a window: pose it by hand, play a motion file, orbit the camera, inspect its Gaussians."""

    avatar: Annotated[Positional[Path], arg(metavar="AVATAR")]
    """the avatar"""
    motion: OptionalPath = None
    """play this motion: any file or folder that `headsplat render --motion` accepts"""
    options: Annotated[LiveOptions, arg(name="")] = field(default_factory=LiveOptions)

    def run(self) -> int:
        """Open the window; returns the exit code once it is closed."""
        with printed() as notify:
            run = view(self.avatar, self.motion, self.options, notify=notify, stop=stopped_by_interrupt)
        return finish(run)
