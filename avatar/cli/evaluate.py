"""`headsplat eval`: scores an avatar on the held-out frames of a capture."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from avatar.cli.progress import printed, show
from avatar.jobs.evaluating import EvaluateOptions, evaluate


@dataclass(frozen=True)
class EvalCommand:
    """Score an avatar and baselines on the held-out frames of a capture; prints a Markdown table."""

    avatar: Annotated[Positional[Path], arg(metavar="AVATAR")]
    """an .avatar file"""
    capture: Annotated[Positional[Path], arg(metavar="CAPTURE")]
    """the capture folder it was trained on"""
    options: Annotated[EvaluateOptions, arg(name="")] = field(default_factory=EvaluateOptions)

    def run(self) -> int:
        """Evaluate, write and print the report; returns the exit code."""
        with printed() as notify:
            report = evaluate(self.avatar, self.capture, self.options, notify=notify)
        show(report.to_markdown())
        return 0
