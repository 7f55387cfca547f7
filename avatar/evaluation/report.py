"""The report of an evaluation: a row of metrics for each question, as JSON and as a table."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Report:
    """What `headsplat eval` prints and writes."""

    rows: dict[str, dict[str, float]]  # "test", "train" and a row for each baseline
    metadata: dict[str, Any]

    def to_json(self) -> str:
        """All rows and facts as one JSON object; what could not be measured is null."""
        return json.dumps(finite({**self.rows, **self.metadata}), indent=2, allow_nan=False)

    def to_markdown(self) -> str:
        """The table, and one line of facts."""
        columns = list(dict.fromkeys(name for row in self.rows.values() for name in row))
        lines = ["| row | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
        for name, row in self.rows.items():
            cells = [_cell(row.get(column)) for column in columns]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        facts = self.metadata
        lines.append("")
        if "refined" in self.rows:
            lines.append(
                "test: held-out frames in the tracker's poses; refined: poses and expressions fitted to their own "
                "pixels, the avatar frozen."
            )
        lines.append(
            f"{facts['test_frames']} held-out frames, {facts['width']}x{facts['height']}, matted over white; "
            f"{facts['gaussians']} Gaussians, {facts['bytes'] / 1e6:.1f} MB, {facts['frames_per_second']:.0f} frames/s "
            f"from coefficients to pixels, tracker reprojection {100 * facts['reprojection']:.2f} % of the "
            f"inter-ocular distance, peak memory {facts['peak_memory_mb']:.0f} MB."
        )
        return "\n".join(lines)


def finite(value: Any) -> Any:
    """`value` with every number that is not finite replaced by None."""
    if isinstance(value, dict):
        return {name: finite(entry) for name, entry in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _cell(value: float | None) -> str:
    if value is None or value != value:
        return "-"
    return f"{value:.2f}" if abs(value) >= 10 else f"{value:.4f}"
