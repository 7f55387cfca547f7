"""`headsplat train`: trains an avatar from a video or a capture."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from avatar.cli.exit_codes import DONE, INTERRUPTED
from avatar.cli.interrupt import cause, stopped_by_interrupt
from avatar.cli.progress import printed, say
from avatar.common.files import path_text
from avatar.jobs.option_types import Out
from avatar.jobs.training import TrainOptions, train


@dataclass(frozen=True)
class TrainCommand:
    """Train an avatar from a phone video, from a few photos, or from a capture."""

    source: Annotated[Positional[tuple[Path, ...]], arg(metavar="VIDEO|PHOTOS|CAPTURE")]
    """a video or 1 to 20 photos (captured first, into a folder beside the output), or a folder made by `headsplat
    capture`; 2 to 8 such folders of one person give one avatar with an appearance for each"""
    out: Out
    """the avatar to write, such as me.avatar"""
    options: Annotated[TrainOptions, arg(name="")] = field(default_factory=TrainOptions)

    def run(self) -> int:
        """Capture if needed, train, save; returns the exit code."""
        with printed() as notify:
            trained = train(self.source, self.out, self.options, notify=notify, stop=stopped_by_interrupt)
        if trained is None or trained.finished:
            return DONE
        say(f"headsplat: stopped by {cause()}; the present avatar is in {path_text(self.out)}, {trained.resuming}")
        return INTERRUPTED
