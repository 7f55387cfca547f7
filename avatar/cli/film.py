"""`headsplat film`: films a person before a camera, led by a coach, and trains an avatar from the recording."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from tyro.conf import arg

from avatar.cli.exit_codes import DONE, INTERRUPTED
from avatar.cli.interrupt import cause, stopped_by_interrupt
from avatar.cli.progress import printed, say
from avatar.common.files import path_text
from avatar.jobs.filming import FilmOptions, film
from avatar.jobs.option_types import Out


@dataclass(frozen=True)
class FilmCommand:
    """Film a person before a camera, led by a coach, and train an avatar from the recording."""

    out: Out
    """the avatar to write, such as me.avatar; the recording becomes me.capture beside it"""
    webcam: Annotated[str, arg(metavar="N|FILE")] = "0"
    """a camera number, or a video file that plays at its frame rate"""
    options: Annotated[FilmOptions, arg(name="")] = field(default_factory=FilmOptions)

    def run(self) -> int:
        """Film, then train; returns the exit code."""
        with printed() as notify:
            filmed = film(self.webcam, self.out, self.options, notify=notify, stop=stopped_by_interrupt)
        trained = filmed.trained
        if trained is None:
            return INTERRUPTED
        if trained.finished:
            return DONE
        out = path_text(self.out)
        say(
            f"headsplat: stopped by {cause()}; the present avatar is in {out}; of `headsplat train "
            f"{path_text(filmed.capture)} -o {out}` {trained.resuming}"
        )
        return INTERRUPTED
