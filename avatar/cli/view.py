"""`headsplat view`: an avatar in a window, posed by hand or driven by a motion."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from avatar.cli.progress import printed
from avatar.cli.window import WindowedOptions, finish
from avatar.jobs.live_window import view
from avatar.jobs.option_types import OptionalPath


@dataclass(frozen=True)
class ViewCommand:
    """Show an avatar in a window: pose it by hand, play a motion file, orbit the camera, inspect its Gaussians."""

    avatar: Annotated[Positional[Path], arg(metavar="AVATAR")]
    """the avatar"""
    motion: OptionalPath = None
    """play this motion: any file or folder that `headsplat render --motion` accepts"""
    window: Annotated[WindowedOptions, arg(name="")] = field(default_factory=WindowedOptions)

    def run(self) -> int:
        """Open the window; returns the exit code once it is closed."""
        with printed() as notify:
            run = view(self.avatar, self.motion, notify=notify, **self.window.of_run)
        return finish(run)
