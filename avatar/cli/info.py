"""`headsplat info`: properties of an avatar, a capture folder or a video."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from avatar.cli.progress import printed, show
from avatar.common.printable import single_line
from avatar.errors import HeadsplatError
from avatar.jobs.inspection import describe_file
from avatar.jobs.notices import Notices


@dataclass(frozen=True)
class InfoCommand:
    """Print the properties of an avatar, a capture folder, a video or a photo."""

    file: Annotated[Positional[Path], arg(metavar="FILE")]
    """an .avatar file, a capture folder, a video or a photo"""
    report: bool = False
    """evaluate a capture again, with the track refined by training if there is one; writes report.json, coverage.png
    and overlay.mp4"""
    range: bool = False
    """of an avatar, for each expression: smallest and largest weight in training, and how far it can be driven"""
    json: bool = False
    """as JSON, for programs"""

    def run(self) -> int:
        """Print the properties; returns the exit code."""
        if self.report:
            self._write_report()
        properties = describe_file(self.file)
        if self.range:
            properties["expression_range"] = _expression_range(self.file)
        if self.json:
            print(json.dumps(properties, indent=2))
            return 0
        is_capture = "report" in properties
        report = properties.pop("report", None)
        if "true_size" in properties:
            properties["true_size"] = _size_words(properties["true_size"])
        show(as_text(_video_words(properties) if properties["kind"] == "video" else properties))
        if report is not None:
            show("\n".join(single_line(line) for line in report["words"]))
        elif is_capture:
            show(f"no report on the current track; write one with `headsplat info {self.file} --report`")
        return 0

    def _write_report(self) -> None:
        from avatar.data.capture_folder import Capture
        from avatar.jobs.capturing import report_capture

        if self.file.exists() and not self.file.is_dir():
            raise HeadsplatError(f"{self.file}: --report is for capture folders; omit it for a file")
        with printed() as notify:
            report_capture(Capture.load(self.file), Notices(notify), overlay=True)


def _size_words(size: dict[str, Any]) -> dict[str, Any]:
    """The true size of a head as people read it: millimeters with their standard deviation."""
    lengths = {name.removesuffix("_mm"): value for name, value in size.items() if name.endswith("_mm")}
    words = {name: f"{value:.1f} +- {value * size['sigma']:.1f} mm" for name, value in lengths.items()}
    return {"scale": round(size["scale"], 4), "source": size["source"], **words}


def _video_words(properties: dict[str, Any]) -> dict[str, Any]:
    """Properties of a video as people read them: "about" before what was not counted, names instead of numbers."""
    words = dict(properties)
    about = "" if words.pop("frames_counted") else "about "
    words["frame_count"] = f"{about}{words['frame_count']}"
    words["duration"] = f"{about}{round(words['duration'], 3)} s"
    words["fps"] = round(words["fps"], 3)
    steps = [f"{words['rotation']} degrees counter-clockwise"] if words["rotation"] else []
    steps += ["mirrored left to right"] if words.pop("mirrored") else []
    words["rotation"] = ", then ".join(steps) or "none"
    del words["matrix"]
    words["transfer"] = words.pop("transfer_name")
    words["primaries"] = words.pop("primaries_name")
    words["focal_35mm"] = words["focal_35mm"] or "not stated"
    if notes := words.pop("notes"):
        words["note"] = ". ".join(notes)
    return words


def as_text(properties: dict[str, Any], indent: str = "") -> str:
    """Properties as aligned lines; nested dictionaries are indented, and control characters in texts are escaped."""
    lines = []
    width = max((len(single_line(key)) for key in properties), default=0)
    for key, value in properties.items():
        name = single_line(key).replace("_", " ")
        if isinstance(value, dict):
            lines += [f"{indent}{name}", as_text(value, indent + "  ")] if value else []
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            lines.append(f"{indent}{name.ljust(width)}  {single_line(text)}")
    return "\n".join(lines)


def _expression_range(path: Path) -> dict[str, list[float]]:
    from avatar.driving.trained_range import TrainedRange
    from avatar.model.avatar_file import load_avatar

    if path.suffix != ".avatar":
        raise HeadsplatError(f"{path}: --range is for .avatar files; omit it for others")
    found = TrainedRange.of(load_avatar(path)).of_expressions()
    return {name: list(values) for name, values in found.items()}
