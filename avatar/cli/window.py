"""The options of `headsplat live` and `headsplat view` for their window, and what they print at its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from avatar.cli.exit_codes import DONE, FAILED, INTERRUPTED
from avatar.cli.interrupt import stopped_by_interrupt
from avatar.cli.progress import say, show
from avatar.jobs.live_run import LiveRun
from avatar.jobs.live_window import LiveOptions
from avatar.jobs.option_types import DURATION, OptionalFloat, OptionalPath


@dataclass(frozen=True)
class WindowedOptions(LiveOptions):
    """Options of the window and its outlets."""

    seconds: Annotated[OptionalFloat, DURATION] = None
    """close the window after this time"""
    json: OptionalPath = None
    """write statistics of the run to this file"""
    overwrite: bool = False
    """replace existing files"""

    @property
    def of_run(self) -> dict[str, Any]:
        """The arguments that all runs of a window or a page have."""
        return {
            "seconds": self.seconds,
            "statistics": self.json,
            "overwrite": self.overwrite,
            "options": self,
            "stop": stopped_by_interrupt,
        }


def finish(run: LiveRun) -> int:
    """Print the statistics and the messages on recorded files; returns the exit code."""
    show(run.report.to_text())
    for message in run.messages:
        say(message)
    if run.failed:
        return FAILED
    return INTERRUPTED if run.stopped else DONE
