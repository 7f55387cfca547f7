"""The result of a run of the window or the page."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avatar.common.files import write_text
from avatar.errors import HeadsplatError
from avatar.jobs.notices import Notices

if TYPE_CHECKING:
    from avatar.driving.live.samples import LiveStats, SourceStats
    from viewer.stats.report import RunReport


@dataclass(frozen=True)
class PageReport:
    """Statistics of one run of a page."""

    seconds: float  # since the start
    samples: int  # new poses of the source
    pages: int
    streams: int
    sent: int
    refused: int
    source: LiveStats  # of the source's pipeline

    def to_json(self) -> dict[str, Any]:
        """Everything in JSON's types."""
        return asdict(self)

    def to_text(self) -> str:
        """One line for display."""
        return (
            f"{self.seconds:.1f} s, {self.samples} poses, sent {self.sent} times to {self.streams} pages, "
            f"{self.refused} refused"
        )


@dataclass(frozen=True)
class TrackReport:
    """Statistics of one run of the tracker."""

    seconds: float  # since the start
    samples: int
    with_face: int  # samples
    sent: dict[str, dict[str, int]]  # receiver -> SendStats
    source: SourceStats

    def to_json(self) -> dict[str, Any]:
        """Everything in JSON's types."""
        return asdict(self)

    def to_text(self) -> str:
        """One line for display."""
        rate = self.samples / self.seconds if self.seconds > 0 else 0.0
        return f"{self.seconds:.1f} s, {self.samples} samples ({rate:.1f} a second), {self.with_face} with a face"


@dataclass(frozen=True)
class LiveRun:
    """A run of the window, the page or the tracker that has ended."""

    report: RunReport | PageReport | TrackReport  # statistics
    stopped: bool = False  # whether `stop` or Ctrl-C ended it, not the user or the time
    messages: tuple[str, ...] = ()  # on the recorded files, and errors of them; on what was sent
    failed: int = 0  # recorded files that could not be written

    def save(self, path: Path, notices: Notices) -> None:
        """Write the statistics as JSON; where that fails, `notices` receives them and the messages.

        Raises:
            HeadsplatError: the file cannot be written.
        """
        try:
            write_text(path, json.dumps(self.report.to_json(), indent=1))
        except (HeadsplatError, OSError):
            notices.show(self.report.to_text())
            for message in self.messages:
                notices.say(message)
            raise
