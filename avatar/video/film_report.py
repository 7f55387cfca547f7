"""What a rendering came to, as JSON beside the output and in words."""

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
class AvatarStats:
    """One avatar of a rendering."""

    name: str  # file name
    consent: str  # the line its file carries
    drive: Mapping[str, Any] | None  # what became of the motion on it; None: its own capture, untouched


@dataclass(frozen=True)
class RenderReport:
    """One rendering; plain values throughout."""

    avatars: tuple[AvatarStats, ...]
    motion: str  # file name
    camera: str  # as --camera takes it
    background: str
    files: Mapping[str, str]  # pass -> file name
    width: int  # pixels, all avatars together
    height: int
    supersample: int
    first_frame: int  # of the whole
    frames: int  # written
    frames_whole: int
    frame_rate: float  # frames a second of the film
    seconds_film: float
    seconds_drawing: float  # on the clock, encoding included
    finished: bool  # False: Ctrl-C ended it

    @property
    def speed(self) -> float:
        """Frames drawn a second."""
        return self.frames / self.seconds_drawing if self.seconds_drawing > 0 else 0.0

    def to_json(self) -> str:
        """Everything as one JSON object."""
        facts = {"headsplat": __version__, **dataclasses.asdict(self), "frames_a_second": round(self.speed, 2)}
        return json.dumps(to_jsonable(facts), indent=1, allow_nan=False)

    def to_text(self) -> str:
        """A line for a person."""
        passes = "" if list(self.files) == ["rgb"] else f" ({', '.join(self.files)})"
        return (
            f"{counted(self.frames, 'frame')} of {self.width}x{self.height}{passes}, {self.seconds_film:.2f} s of film "
            f"at {self.frame_rate:.4g} frames/s; {self.speed:.1f} frames/s drawn"
        )

    def save(self, path: Path) -> None:
        """Write the JSON, whole or not at all."""
        with atomic_path(path) as part:
            part.write_text(self.to_json() + "\n", encoding="utf-8")
