"""`headsplat info`: what a file is."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from avatar.errors import HeadsplatError


@dataclass(frozen=True)
class InfoCommand:
    """Say what an avatar, a capture folder or a video holds."""

    file: Annotated[Positional[Path], arg(metavar="FILE")]
    """an .avatar file, a capture folder or a video"""
    json: bool = False
    """as JSON, for programs"""

    def run(self) -> int:
        """Print the facts; returns the exit code."""
        facts = describe_file(self.file)
        print(json.dumps(facts, indent=2) if self.json else as_text(facts))
        return 0


def describe_file(path: Path) -> dict[str, Any]:
    """Facts about an avatar, a capture folder or a video; JSON types."""
    if not path.exists():
        raise HeadsplatError(f"{path}: no such file or folder; give an .avatar file, a capture folder or a video")
    if path.is_dir():
        return _capture(path)
    return _avatar(path) if path.suffix == ".avatar" else _video(path)


def as_text(facts: dict[str, Any], indent: str = "") -> str:
    """Facts as aligned lines; nested groups are indented."""
    lines = []
    width = max(len(key) for key in facts)
    for key, value in facts.items():
        name = key.replace("_", " ")
        if isinstance(value, dict):
            lines += [f"{indent}{name}", as_text(value, indent + "  ")] if value else []
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            lines.append(f"{indent}{name.ljust(width)}  {text}")
    return "\n".join(lines)


def _avatar(path: Path) -> dict[str, Any]:
    from avatar.asset import read_header

    return {"file": str(path), "kind": "avatar", "bytes": path.stat().st_size, **read_header(path)}


def _capture(path: Path) -> dict[str, Any]:
    from avatar.captured import Capture

    capture = Capture.load(path)
    times = capture.track["time"]
    return {
        "file": str(path),
        "kind": "capture",
        "frames": len(capture),
        "test_frames": len(capture.test_indices),
        "seconds": round(float(times[-1] - times[0]), 3) if len(times) else 0.0,
        "mean_reprojection": round(float(capture.track["reprojection"].mean()), 5),
        **capture.facts,
    }


def _video(path: Path) -> dict[str, Any]:
    from capture.sources import open_video

    facts = dataclasses.asdict(open_video(path).facts)
    return {"file": str(path), "kind": "video", "bytes": path.stat().st_size, **facts}
