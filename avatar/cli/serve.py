"""`headsplat serve`: an avatar as the face of agents, in the pages of browsers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from avatar.cli.exit_codes import DONE, INTERRUPTED
from avatar.cli.interrupt import stopped_by_interrupt
from avatar.cli.progress import printed, show
from avatar.jobs.serving import ServeOptions, serve


@dataclass(frozen=True)
class ServeCommand:
    """Serve an avatar as the face of an agent: its voice comes in over a WebSocket, and pages show face and sound in
    step."""

    avatar: Annotated[Positional[Path], arg(metavar="AVATAR")]
    """the avatar"""
    options: Annotated[ServeOptions, arg(name="")] = field(default_factory=ServeOptions)

    def run(self) -> int:
        """Serve until Ctrl-C; returns the exit code."""
        with printed() as notify:
            run = serve(self.avatar, self.options, notify=notify, stop=stopped_by_interrupt)
        show(run.report.to_text())
        return INTERRUPTED if run.stopped else DONE
