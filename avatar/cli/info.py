"""`headsplat info`: what a file is."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from avatar.errors import HeadsplatError

_MOTIONS = (".csv", ".json", ".motion.npz", ".npy")


@dataclass(frozen=True)
class InfoCommand:
    """Say what an avatar, a capture folder or a video holds."""

    file: Annotated[Positional[Path], arg(metavar="FILE")]
    """an .avatar file, a capture folder or a video"""
    report: bool = False
    """measure a capture anew, as a training refined it if one did; writes report.json, coverage.png and overlay.mp4"""
    json: bool = False
    """as JSON, for programs"""

    def run(self) -> int:
        """Print the facts; returns the exit code."""
        if self.report:
            self._write_report()
        facts = describe_file(self.file)
        if self.json:
            print(json.dumps(facts, indent=2))
            return 0
        known, report = "report" in facts, facts.pop("report", None)
        print(as_text(facts))
        if report is not None:
            print("\n".join(report["words"]))
        elif known:
            print(f"no report on the track as it is now; make one with `headsplat info {self.file} --report`")
        return 0

    def _write_report(self) -> None:
        from avatar.cli.capture import report_capture
        from avatar.data.capture_folder import Capture

        if self.file.exists() and not self.file.is_dir():
            raise HeadsplatError(f"{self.file}: --report is for capture folders; leave it out for a file")
        report_capture(Capture.load(self.file), overlay=True)


def describe_file(path: Path) -> dict[str, Any]:
    """Facts about an avatar, a capture folder or a video; JSON types."""
    if not path.exists():
        raise HeadsplatError(f"{path}: no such file or folder; give an .avatar file, a capture folder or a video")
    if path.is_dir():
        return _capture(path)
    if path.name.lower().endswith(_MOTIONS):
        raise HeadsplatError(f"{path}: look into a file of expressions with `headsplat motion info {path}`")
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
    from avatar.model.avatar_file import read_header

    return {"file": str(path), "kind": "avatar", "bytes": path.stat().st_size, **read_header(path)}


def _capture(path: Path) -> dict[str, Any]:
    from avatar.data.capture_folder import Capture
    from capture.report import read_report

    capture = Capture.load(path)
    times = capture.track["time"]
    return {
        "file": str(path),
        "kind": "capture",
        "frames": len(capture),
        "test_frames": len(capture.test_indices),
        "seconds": round(float(times[-1] - times[0]), 3) if len(times) else 0.0,
        "mean_reprojection": round(float(capture.track["reprojection"].mean()), 5),
        **capture.metadata,
        "report": read_report(capture),
    }


def _video(path: Path) -> dict[str, Any]:
    from capture.video.decoding import open_video

    facts = dataclasses.asdict(open_video(path).metadata)
    return {"file": str(path), "kind": "video", "bytes": path.stat().st_size, **facts}
