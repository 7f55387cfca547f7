"""Tables of many evaluations: one line a row of a manifest, or one line a setting of a sweep."""

from __future__ import annotations

import csv
import io
import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from avatar.fleet.store import Store

#: Figures of the rows `driven` and `refined` of an evaluation, where it has them.
FIGURES = ("psnr", "psnr_head", "ssim", "lpips", "landmarks")
_ROWS = ("driven", "refined")


@dataclass(frozen=True)
class Table:
    """Labels and figures; a figure that no evaluation has is None."""

    header: tuple[str, ...]
    lines: tuple[tuple[Any, ...], ...]

    def to_csv(self) -> str:
        """As CSV, with all digits."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.header)
        writer.writerows(["" if cell is None else cell for cell in line] for line in self.lines)
        return text.getvalue()

    def to_markdown(self) -> str:
        """As a Markdown table, with four digits."""
        rows = [[_shown(cell) for cell in line] for line in self.lines]
        lines = [self.header, ["---"] * len(self.header), *rows]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def evaluation(store: Store, key: str, name: str) -> dict[str, float]:
    """The figures of the evaluation that a job has finished, such as "driven psnr"; none if it cannot be read."""
    if store.record(key) is None:
        return {}
    try:
        report = json.loads(store.read_text(f"{key}/{name}.json"))
    except (OSError, ValueError, RecursionError):
        return {}
    found = {}
    for row in _ROWS:
        figures = report.get(row) if isinstance(report, dict) else None
        if not isinstance(figures, dict):
            continue
        for figure in FIGURES:
            value = figures.get(figure)
            if isinstance(value, (int, float)) and math.isfinite(value):
                found[f"{row} {figure}"] = float(value)
    return found


def table_of(labels: Sequence[str], scores: Iterable[tuple[Sequence[Any], Sequence[Mapping[str, float]]]]) -> Table:
    """A table with a line for each of `scores`: its labels, and the mean over its evaluations of every figure.

    Args:
        labels: names of the label columns.
        scores: (labels, evaluations) of each line.
    """
    scores = list(scores)
    names = [f"{row} {figure}" for row in _ROWS for figure in FIGURES]
    used = [name for name in names if any(name in each for _, found in scores for each in found)]
    lines = []
    for values, found in scores:
        means = (_mean([each[name] for each in found if name in each]) for name in used)
        lines.append((*values, *means))
    return Table((*labels, *used), tuple(lines))


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def _shown(cell: Any) -> str:
    if cell is None:
        return "-"
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell).replace("|", "\\|")
