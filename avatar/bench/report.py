"""The benchmark report as Markdown tables and JSON."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

import torch

from avatar import __version__
from avatar.bench.timing import Timing
from avatar.common.processes import usable_cores
from avatar.ops.backend import native_for

Part = Literal["path", "step", "split", "peer"]
TITLES: dict[Part, str] = {
    "path": "Weights to pixels",
    "step": "Whole training step",
    "split": "Time of a training step by part",
    "peer": "Splatting compared with gsplat, same tensors",
}


@dataclass(frozen=True)
class Row:
    """One measurement; times are milliseconds per call of `batch` images."""

    part: Part
    name: str
    scene: str  # "head shell", or the name of an avatar
    count: int
    size: int
    sh: int
    bases: int
    batch: int
    timing: Timing


@dataclass
class Report:
    """Measurements, the machine, and notes on failed measurements."""

    machine: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failed: bool = False  # whether a required comparison failed

    def to_json(self) -> str:
        """The report as JSON; times in milliseconds."""
        content = {"machine": self.machine, "rows": [asdict(row) for row in self.rows], "notes": self.notes}
        return json.dumps(content, indent=2)

    def to_markdown(self) -> str:
        """The machine, one table per part, and the notes."""
        lines = [f"{name}: {value}  " for name, value in self.machine.items()]
        for part, title in TITLES.items():
            rows = [row for row in self.rows if row.part == part]
            if rows:
                lines += ["", f"### {title}", "", *(_split_table(rows) if part == "split" else _table(rows))]
        if self.notes:
            lines += ["", *(f"- {note}" for note in self.notes)]
        return "\n".join(lines)


def _case(row: Row) -> str:
    return f"| {row.scene} | {row.count} | {row.size} | {row.sh} | {row.bases} | {row.batch} |"


def _table(rows: list[Row]) -> list[str]:
    head = "| scene | N | size | SH | K | B | mode | ms | p10 | p90 | wall ms | ms/image | images/s |"
    lines = [head, "|---" * 13 + "|"]
    for row in rows:
        t = row.timing
        each = t.median / row.batch
        times = f"{t.median:.3g} | {t.p10:.3g} | {t.p90:.3g} | {t.wall:.3g} | {each:.3g} | {1e3 / each:.4g}"
        lines.append(f"{_case(row)} {row.name} | {times} |")
    return lines


def _split_table(rows: list[Row]) -> list[str]:
    lines = ["| scene | N | size | SH | K | B | part | ms | p10 | p90 |", "|---" * 10 + "|"]
    return lines + [
        f"{_case(row)} {row.name} | {row.timing.median:.3g} | {row.timing.p10:.3g} | {row.timing.p90:.3g} |"
        for row in rows
    ]


def describe_machine(device: torch.device) -> dict[str, Any]:
    """The hardware and versions on which the numbers depend."""
    native = native_for(torch.empty(0))
    machine: dict[str, Any] = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "headsplat": __version__,
        "processor": _processor(),
        "cores": usable_cores(),
        "threads": native.threads() if native else 0,
        "SIMD level": native.simd_level() if native else "none",
        "system": platform.platform(),
        "Python": platform.python_version(),
        "torch": torch.__version__,
        "device": "cpu",
    }
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        name = torch.cuda.get_device_name(device)
        machine |= {"device": name, "compute capability": f"{major}.{minor}", "CUDA": torch.version.cuda}
    return machine


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
