"""Report of a rendering, as JSON beside the output and as one line of text."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatar import __version__
from avatar.common.files import atomic_path
from avatar.common.jsonable import counted, to_jsonable


@dataclass(frozen=True)
class RenderedAvatar:
    """One avatar of a rendering."""

    name: str  # file name
    consent: str  # the consent statement of its file
    drive: Mapping[str, Any] | None  # the report of the retargeted motion; None: the avatar's own capture, unchanged


@dataclass(frozen=True)
class RenderReport:
    """Report of one rendering. The names of the fields are keys of the JSON report."""

    avatars: tuple[RenderedAvatar, ...]
    motion: str  # file name
    camera: str  # as given with --camera
    background: str  # as given with --background
    files: Mapping[str, str]  # pass -> file name
    width: int  # pixels, all avatars together
    height: int
    supersample: int
    first_frame: int  # index in the full motion
    frames: int  # number of frames written
    frames_whole: int  # number of frames of the full motion
    frame_rate: float  # frames per second of the video
    seconds_film: float  # duration of the video
    seconds_drawing: float  # wall time of rendering and encoding
    finished: bool  # False: interrupted by Ctrl-C

    @property
    def speed(self) -> float:
        """Rendered frames per second."""
        return self.frames / self.seconds_drawing if self.seconds_drawing > 0 else 0.0

    def to_json(self) -> str:
        """The report as a JSON object."""
        content = {"headsplat": __version__, **dataclasses.asdict(self), "frames_a_second": round(self.speed, 2)}
        return json.dumps(to_jsonable(content), indent=1, allow_nan=False)

    def to_text(self) -> str:
        """The report as one line."""
        passes = "" if list(self.files) == ["rgb"] else f" ({', '.join(self.files)})"
        return (
            f"{counted(self.frames, 'frame')} of {self.width}x{self.height}{passes}, {self.seconds_film:.2f} s "
            f"at {self.frame_rate:.4g} fps; rendered at {self.speed:.1f} fps"
        )

    def save(self, path: Path) -> None:
        """Write the JSON report atomically."""
        with atomic_path(path) as part:
            part.write_text(self.to_json() + "\n", encoding="utf-8")
