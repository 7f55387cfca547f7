"""`headsplat train --view`: the training on a thread of its own, the window on the main one, where it must be."""

from __future__ import annotations

import logging
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from avatar.cli.interrupt import Stop, stopped_by_interrupt
from avatar.cli.progress import say
from avatar.cli.train import STOPPING, Outputs, train_capture
from avatar.errors import HeadsplatError
from avatar.training.config import TrainConfig

if TYPE_CHECKING:
    from avatar.data.capture_folder import Capture
    from avatar.model.avatar import Avatar
    from avatar.training.snapshot import SnapshotBuffer

log = logging.getLogger(__name__)

#: Seconds between two looks whether a training has ended: a wait without an end would not hear Ctrl-C everywhere.
_LOOK = 0.1
#: How fast the clip is played: slow enough to see what has changed.
_SPEED = 0.5


@dataclass(frozen=True, eq=False)
class _Training:
    """One that runs on a thread of its own."""

    capture: Capture
    head: str | None
    name: str  # of the avatar's file
    growth: SnapshotBuffer
    stop: Stop
    code: Future[int]

    @property
    def over(self) -> bool:
        """Whether it has ended and left nothing to look at."""
        return self.code.done() and (self.stop.asked or self.code.exception() is not None)


def check_window() -> None:
    """Raise HeadsplatError where no window can be opened."""
    from viewer.gui.display import check_display

    check_display()


def train_in_sight(
    capture: Capture, settings: TrainConfig, outputs: Outputs, *, resume: bool, head: str | None = None
) -> int:
    """Like `train_capture`, with a window that shows the avatar while it grows and stays until it is closed.

    A window that is closed, or fails, does not end the training. Ctrl-C and an error of the training close it.
    """
    from avatar.training.snapshot import SnapshotBuffer

    growth = SnapshotBuffer()
    with stopped_by_interrupt(STOPPING) as stop, ThreadPoolExecutor(1, "training") as worker:
        code = worker.submit(
            train_capture, capture, settings, outputs, resume=resume, head=head, growth=growth, stop=stop
        )
        try:
            _show(_Training(capture, head, outputs.avatar.name, growth, stop, code))
        finally:
            growth.leave()
        while not wait([code], _LOOK).done:
            pass
        return code.result()


def _show(training: _Training) -> None:
    """Open the window as soon as there is something to see; returns when it is closed."""
    while (first := training.growth.wait(_LOOK)) is None:
        if training.code.done():
            return
    try:
        _window(training, first)
    except HeadsplatError as error:
        say(f"headsplat: {error}; the training goes on without the window")
    except Exception as error:  # a fault of the window must not cost the training
        log.debug("the window failed", exc_info=True)
        say(f"headsplat: the window failed ({type(error).__name__}: {error}); the training goes on without it")
    else:
        if not training.code.done():
            say("headsplat: the window is closed and the training goes on; Ctrl-C stops it and saves")


def _window(training: _Training, first: Avatar) -> None:
    """Show what grows, beginning with `first`, until the window is closed.

    The person's own face and head, as they were tracked, are played; the sliders are the other choice.
    """
    from avatar.cli.render_inputs import head_of
    from avatar.driving.driver import DriveOptions
    from avatar.motion.from_capture import motion_of
    from viewer.gui.window import Window, WindowOptions
    from viewer.session.edits import Change
    from viewer.session.pose_sources import Player
    from viewer.session.session import Session
    from viewer.session.training_view import Watch

    clip = motion_of(training.capture, head_of(training.capture, training.head))
    as_tracked = DriveOptions(neutral="as-is", head="absolute", travel=1.0, soft_clamp=False)
    session = Session(first, training.name)
    session.show_motion(Player(first, clip, as_tracked), "training clip", label="training clip")
    session.apply([Change("timeline", replace(session.state.timeline, speed=_SPEED))])
    session.watch = Watch(training.growth, first, lambda: training.over)
    try:
        Window(session, WindowOptions(title=f"{training.name}, training - headsplat")).run()
    finally:
        session.close()
