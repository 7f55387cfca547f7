"""The report of an evaluation: rows of metrics, as JSON and as a Markdown table."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from avatar.evaluation.response import Response
from avatar.evaluation.speaking_frames import LipSync


@dataclass(frozen=True)
class EvaluationMetadata:
    """What was evaluated, and how; the fields are the keys of the JSON report."""

    test_frames: int
    width: int  # of the compared images, pixels
    height: int
    background: str
    rasterizer: str
    poses: Mapping[str, str]  # row -> source of its poses
    refinement: Mapping[str, Any] | None  # figures of the refinement of held-out frames
    split: Mapping[str, Any]  # of the capture
    gaussians: int
    bytes: int  # of the avatar file
    frames_per_second: float  # from expression weights to pixels
    reprojection: float  # median over held-out frames, fraction of the inter-ocular distance
    seconds: Mapping[str, Any]  # of capture, training and evaluation
    peak_memory_mb: float  # nan where the platform does not report it
    lpips_network: str | None
    landmarks: str  # how many frames of a row the distances of landmarks are from, or why there are none
    response: Response | None  # openings of eyes and mouth driven from the front
    trained_size: int  # longer side on which the avatar was trained, pixels; the columns `_2x` are at twice that
    lip_sync: LipSync | None = None  # with the sound of the video, where there is one


@dataclass(frozen=True)
class Report:
    """The result of `headsplat eval`."""

    rows: dict[str, dict[str, float]]  # "driven", "refined", "train" and a row for each baseline
    metadata: EvaluationMetadata

    def to_json(self) -> str:
        """All rows and metadata as one JSON object; numbers that are not finite are null."""
        return json.dumps(finite({**self.rows, **asdict(self.metadata)}), indent=2, allow_nan=False)

    def to_markdown(self) -> str:
        """The table, and the metadata in one line."""
        columns = list(dict.fromkeys(name for row in self.rows.values() for name in row))
        lines = ["| row | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
        for name, row in self.rows.items():
            cells = [_cell(row.get(column)) for column in columns]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        about = self.metadata
        lines.append("")
        if "refined" in self.rows:
            lines.append(
                "driven: held-out frames in the tracker's poses; refined: poses and expressions fitted to their own "
                "pixels, the avatar frozen."
            )
        lines.append(f"Columns _2x: at twice the trained size, {2 * about.trained_size} pixels.")
        if "landmarks" not in columns:
            lines.append(f"Distances of landmarks: {about.landmarks}.")
        if about.response:
            lines.append(about.response.to_text())
        if about.lip_sync:
            lines.append(about.lip_sync.to_text())
        lines.append(
            f"{about.test_frames} held-out frames, {about.width}x{about.height}, matted over white; "
            f"{about.gaussians} Gaussians, {about.bytes / 1e6:.1f} MB, {about.frames_per_second:.0f} fps "
            f"from expression weights to pixels, tracker reprojection {100 * about.reprojection:.2f} % of the "
            f"inter-ocular distance, peak memory {about.peak_memory_mb:.0f} MB."
        )
        return "\n".join(lines)


def finite(value: Any) -> Any:
    """`value` with None in place of every number that is not finite."""
    if isinstance(value, dict):
        return {name: finite(entry) for name, entry in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _cell(value: float | None) -> str:
    if value is None or value != value:
        return "-"
    return f"{value:.2f}" if abs(value) >= 10 else f"{value:.4f}"
