"""What `headsplat live`, `headsplat view` and `headsplat track` print at the end."""

from __future__ import annotations

from avatar.cli.exit_codes import DONE, FAILED, INTERRUPTED
from avatar.cli.progress import say, show
from avatar.jobs.live_run import LiveRun


def finish(run: LiveRun) -> int:
    """Print the statistics and the messages on recorded files; returns the exit code."""
    show(run.report.to_text())
    for message in run.messages:
        say(message)
    if run.failed:
        return FAILED
    return INTERRUPTED if run.stopped else DONE
