"""What a run of the window came to, in words and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from avatar import __version__
from avatar.common.jsonable import to_jsonable
from avatar.common.latency import LatencyReport


@dataclass(frozen=True)
class RunReport:
    """One run; plain values throughout.

    Pictures and frames are those of the whole run, `latency` and `stale` those of who drove last since they began.
    Percentiles and the worst are of the frames that `LatencyMeter` keeps, about the last five minutes.
    """

    avatar: str
    gaussians: int
    size: tuple[int, int]  # pixels of the picture, width and height
    driven_by: str
    seconds: float  # from the first picture until the report
    pictures: int  # of the avatar, each another one
    window_frames: int
    latency: LatencyReport  # of live pictures, from camera or socket to the screen
    stale: int  # live pictures that showed what was older than `stale_after`
    stale_after: float  # seconds
    memory: tuple[float, float] | None  # MB of this process a tenth into the run, and at its end
    source: Mapping[str, Any]  # what the input counted

    @property
    def pictures_rate(self) -> float:
        """New pictures of the avatar a second."""
        return self.pictures / self.seconds if self.seconds > 0 else 0.0

    @property
    def window_rate(self) -> float:
        """Frames of the window a second."""
        return self.window_frames / self.seconds if self.seconds > 0 else 0.0

    def to_json(self) -> dict[str, Any]:
        """Everything in JSON's types."""
        rates = {"pictures_a_second": self.pictures_rate, "window_frames_a_second": self.window_rate}
        found: dict[str, Any] = to_jsonable({"headsplat": __version__, **asdict(self), **rates})
        return found

    def to_text(self) -> str:
        """A few lines for a person."""
        width, height = self.size
        lines = [
            f"{self.avatar}, {self.gaussians} Gaussians at {width}x{height}, driven by {self.driven_by}: "
            f"{self.seconds:.1f} s, {self.pictures_rate:.1f} pictures/s, window {self.window_rate:.1f} frames/s"
        ]
        if self.latency.total is not None:
            lines += [self.latency.to_text(), f"older than {1e3 * self.stale_after:.0f} ms when drawn: {self.stale}"]
        if self.memory is not None:
            start, end = self.memory
            tracker = self.source.get("input", {}).get("memory_mb")
            beside = f", its tracker {tracker:.0f} MB" if tracker else ""
            lines.append(f"memory {start:.0f} MB at the start, {end:.0f} MB at the end{beside}")
        if note := self.source.get("calibration", {}).get("note"):
            lines.append(f"calibration: {note}")
        return "\n".join(lines)
