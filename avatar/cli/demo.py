"""`headsplat demo`: the whole pipeline on a synthetic clip; leaves an avatar, videos and a report."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from avatar.cli.interrupt import stopped_by_interrupt
from avatar.cli.progress import printed
from avatar.jobs.demo import REPORT, DemoOptions, run_demo


@dataclass(frozen=True)
class DemoCommand:
    """Run the whole pipeline on a video of a synthetic person: capture, training, evaluation, rendering, report."""

    out: Annotated[Path, arg(aliases=["-o"], metavar="DIR")] = Path("demo")
    """folder for all outputs"""
    options: Annotated[DemoOptions, arg(name="")] = field(default_factory=DemoOptions)

    def run(self) -> int:
        """Run every stage; returns the exit code."""
        with printed() as notify:
            report = run_demo(self.out, self.options, notify=notify, stop=stopped_by_interrupt)
        print(report.headline)
        print(f"Seconds: {report.timing}.")
        print(f"Open {self.out / REPORT}")
        command = f"headsplat render {self.out / 'demo.avatar'} --motion {self.out / 'puppet.csv'}"
        print(f"Then drive it with a motion file: {command} --camera orbit -o {self.out / 'orbit.mp4'}")
        return 0
