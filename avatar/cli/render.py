"""`headsplat render`: render avatars along a motion to videos or folders of images."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from avatar.cli.exit_codes import DONE, INTERRUPTED
from avatar.cli.interrupt import stopped_by_interrupt
from avatar.cli.progress import printed, show
from avatar.jobs.option_types import Out
from avatar.jobs.rendering import RenderOptions, is_scene, render


@dataclass(frozen=True)
class RenderCommand:
    """Render one avatar, or several side by side, along their own captures or another motion; or a scene of several."""

    avatars: Annotated[
        Positional[tuple[Path, ...]], arg(metavar="AVATAR [AVATAR ...]", help_behavior_hint="(required)")
    ]
    """avatar files, one column each; AVATAR=MOTION or AVATAR=SOUND for an avatar of a scene"""
    out: Out
    """the video (.mp4, .mov, .webm) or the folder of images to write"""
    options: Annotated[RenderOptions, arg(name="")] = field(default_factory=RenderOptions)

    def run(self) -> int:
        """Render and write; returns the exit code, 130 after Ctrl-C."""
        job = render
        if is_scene(self.avatars, self.options):
            from avatar.jobs.scene_rendering import render_scene

            job = render_scene
        with printed() as notify:
            report = job(self.avatars, self.out, self.options, notify=notify, stop=stopped_by_interrupt)
        show(f"{self.out}: {report.to_text()}")
        return DONE if report.finished else INTERRUPTED
