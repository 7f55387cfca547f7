"""`headsplat train --view`: the training on a thread of its own, the window on the main one, where it must be."""

from __future__ import annotations

import logging
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from avatar.cli.exit_codes import INTERRUPTED
from avatar.cli.interrupt import Stop, stopped_by_interrupt
from avatar.cli.progress import say
from avatar.cli.train import STOPPING, Outputs, train_capture
from avatar.errors import HeadsplatError
from avatar.train_config import TrainConfig

if TYPE_CHECKING:
    from avatar.captured import Capture
    from avatar.growing import Growth
    from avatar.model import Avatar

log = logging.getLogger(__name__)

#: Seconds between two looks whether a training has ended: a wait without an end would not hear Ctrl-C everywhere.
_LOOK = 0.1


def check_window() -> None:
    """Raise HeadsplatError where no window can be opened."""
    from viewer.window import check_display

    check_display()


def train_in_sight(
    capture: Capture, settings: TrainConfig, outputs: Outputs, *, resume: bool, head: str | None = None
) -> int:
    """Like `train_capture`, with a window that shows the avatar while it grows and stays until it is closed.

    A window that is closed, or fails, does not end the training. Ctrl-C and an error of the training close it.
    """
    from avatar.growing import Growth

    growth = Growth()
    with stopped_by_interrupt(STOPPING) as stop, ThreadPoolExecutor(1, "training") as worker:
        training = worker.submit(
            train_capture, capture, settings, outputs, resume=resume, head=head, growth=growth, stop=stop
        )
        try:
            _show(growth, training, stop, capture, outputs.avatar.name)
        finally:
            growth.leave()
        while not wait([training], _LOOK).done:
            pass
        return training.result()


def _show(growth: Growth, training: Future[int], stop: Stop, capture: Capture, name: str) -> None:
    """Open the window as soon as there is something to see; returns when it is closed."""
    while (first := growth.wait(_LOOK)) is None:
        if training.done():
            return
    try:
        _window(growth, first, training, stop, capture, name)
    except HeadsplatError as error:
        say(f"headsplat: {error}; the training goes on without the window")
    except Exception as error:  # a fault of the window must not cost the training
        log.debug("the window failed", exc_info=True)
        say(f"headsplat: the window failed ({type(error).__name__}: {error}); the training goes on without it")
    else:
        if not training.done():
            say("headsplat: the window is closed and the training goes on; Ctrl-C stops it and saves")


def _window(growth: Growth, first: Avatar, training: Future[int], stop: Stop, capture: Capture, name: str) -> None:
    """Show what grows, beginning with `first`, until the window is closed."""
    from viewer.growing import Watch
    from viewer.session import Session
    from viewer.window import Window, WindowOptions

    def over() -> bool:
        return training.done() and (stop.asked or training.exception() is not None)

    session = Session(first, name)
    session.show_motion(_clip(capture, first), "training clip")
    session.watch = Watch(growth, first, over)
    Window(session, WindowOptions(title=f"headsplat: {name} in training")).run()
