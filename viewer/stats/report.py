"""Statistics of a run of the window, as text and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from avatar import __version__
from avatar.common.jsonable import to_jsonable
from avatar.common.latency import LatencyReport
from avatar.driving.live.samples import LiveStats


@dataclass(frozen=True)
class RunReport:
    """One run; plain values throughout.

    Images and frames are counted over the whole run, `latency` and `stale` since the last source became active.
    Percentiles and the maximum are of the frames that `LatencyMeter` keeps, about the last five minutes.
    """

    avatar: str
    gaussians: int
    size: tuple[int, int]  # pixels of the image, width and height
    driven_by: str
    seconds: float  # from the first image to the report
    images: int  # rendered
    window_frames: int
    latency: LatencyReport  # of live images, from camera or socket to the screen
    stale: int  # live images whose sample was older than `stale_after`
    stale_after: float  # seconds
    memory: tuple[float, float] | None  # MB of this process after a tenth of the run, and at its end
    source: LiveStats  # of the active source

    @property
    def render_fps(self) -> float:
        """Images of the avatar per second."""
        return self.images / self.seconds if self.seconds > 0 else 0.0

    @property
    def window_fps(self) -> float:
        """Frames of the window per second."""
        return self.window_frames / self.seconds if self.seconds > 0 else 0.0

    def to_json(self) -> dict[str, Any]:
        """Everything in JSON's types."""
        values = asdict(self)
        values["pictures"] = values.pop("images")  # the key of earlier versions
        rates = {"pictures_a_second": self.render_fps, "window_frames_a_second": self.window_fps}
        report: dict[str, Any] = to_jsonable({"headsplat": __version__, **values, **rates})
        return report

    def to_text(self) -> str:
        """A few lines for display."""
        width, height = self.size
        lines = [
            f"{self.avatar}, {self.gaussians} Gaussians at {width}x{height}, driven by {self.driven_by}: "
            f"{self.seconds:.1f} s, {self.render_fps:.1f} fps, window {self.window_fps:.1f} fps"
        ]
        if self.latency.total is not None:
            stale = f"samples older than {1e3 * self.stale_after:.0f} ms when rendered: {self.stale}"
            lines += [self.latency.to_text(), stale]
        if self.memory is not None:
            start, end = self.memory
            tracker = self.source.get("input", {}).get("memory_mb")
            worker = f", tracker process {tracker:.0f} MB" if tracker else ""
            lines.append(f"memory {start:.0f} MB at the start, {end:.0f} MB at the end{worker}")
        if note := self.source.get("calibration", {}).get("note"):
            lines.append(f"calibration: {note}")
        return "\n".join(lines)
