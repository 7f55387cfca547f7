"""`headsplat train --view`: training on a worker thread, the window on the main thread, where it has to run."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from avatar.errors import HeadsplatError
from avatar.jobs.head_size import GivenSize
from avatar.jobs.notices import Notices, Stop, is_requested, stoppable
from avatar.jobs.training_outputs import STOPPING, Outputs, TrainedAvatar, train_capture
from avatar.training.config import TrainConfig

if TYPE_CHECKING:
    import torch

    from avatar.data.capture_folder import Capture
    from avatar.model.avatar import Avatar
    from avatar.training.snapshot import SnapshotBuffer

log = logging.getLogger(__name__)

#: Seconds between two checks whether the training has ended: on some platforms Ctrl-C does not interrupt a wait.
_POLL_SECONDS = 0.1
#: Playback speed of the clip: slow enough to see what changes.
_SPEED = 0.5


@dataclass(frozen=True, eq=False)
class _Training:
    """A training that runs on a worker thread."""

    capture: Capture
    head: str | None
    name: str  # of the avatar's file
    snapshots: SnapshotBuffer
    notices: Notices
    stop: threading.Event
    trained: Future[TrainedAvatar]

    @property
    def over(self) -> bool:
        """Whether it has ended by an error or Ctrl-C, so that the window is to close."""
        return self.trained.done() and (is_requested(self.stop) or self.trained.exception() is not None)


def check_window() -> None:
    """Raise HeadsplatError if no window can be opened."""
    from viewer.gui.display import check_display

    check_display()


def train_with_window(
    capture: Capture,
    settings: TrainConfig,
    outputs: Outputs,
    *,
    resume: bool,
    head: str | None = None,
    device: str | torch.device = "cpu",
    others: Sequence[Capture] = (),
    size: GivenSize | None = None,
    notices: Notices,
    stop: Stop,
) -> TrainedAvatar:
    """Like `train_capture`, with a window that shows the avatar in training and stays open until it is closed.

    Closing the window, or an error in it, does not end the training. `stop` and an error of the training close it.

    Args:
        capture: a finished capture.
        settings: settings of the training.
        outputs: files to write.
        resume: continue from the checkpoint.
        head: path or name of the head model; None: the one that the metadata of the capture names.
        device: on which to train, as for `fit`; the window renders on the CPU.
        others: further recordings, as for `fit`.
        size: what the user knows about the size of the head.
        notices: of the job.
        stop: what ends the training early.
    """
    from avatar.training.snapshot import SnapshotBuffer

    snapshots = SnapshotBuffer()
    with stoppable(stop, STOPPING) as stopped, ThreadPoolExecutor(1, "training") as worker:
        trained = worker.submit(
            train_capture, capture, settings, outputs, resume=resume, head=head, snapshots=snapshots,
            device=device, others=others, size=size, notices=notices, stop=stopped,
        )  # fmt: skip
        try:
            try:
                _show(_Training(capture, head, outputs.avatar.name, snapshots, notices, stopped, trained))
            finally:
                snapshots.close()
            while not wait([trained], _POLL_SECONDS).done:
                pass
        except BaseException:  # Ctrl-C where nothing handles it: the worker must end, too
            stopped.set()
            raise
        return trained.result()


def _show(training: _Training) -> None:
    """Open the window with the first snapshot; returns when it is closed."""
    say = training.notices.say
    while (first := training.snapshots.wait(_POLL_SECONDS)) is None:
        if training.trained.done():
            return
    try:
        _window(training, first)
    except HeadsplatError as error:
        say(f"headsplat: {error}; the training continues without the window")
    except Exception as error:  # an error of the window must not end the training
        log.debug("the window failed", exc_info=True)
        say(f"headsplat: the window failed ({type(error).__name__}: {error}); the training continues without it")
    else:
        if not training.trained.done():
            say("headsplat: the window is closed, the training continues; Ctrl-C stops it and saves the avatar")


def _window(training: _Training, first: Avatar) -> None:
    """Show snapshots of the avatar, beginning with `first`, until the window is closed.

    The window plays the tracked motion of the training clip; the sliders can be selected instead.
    """
    from avatar.data.capture_head import head_of
    from avatar.driving.driver import DriveOptions
    from avatar.motion.from_capture import motion_of
    from viewer.gui.window import Window, WindowOptions
    from viewer.session.edits import Change
    from viewer.session.pose_sources import MotionPoseSource
    from viewer.session.session import Session
    from viewer.session.training_view import TrainingView

    clip = motion_of(training.capture, head_of(training.capture, training.head))
    as_tracked = DriveOptions(neutral="as-is", head="absolute", travel=1.0, soft_clamp=False)
    session = Session(first, training.name)
    session.show_motion(MotionPoseSource(first, clip, as_tracked), "training clip", label="training clip")
    session.apply([Change("timeline", replace(session.state.timeline, speed=_SPEED))])
    session.training = TrainingView(training.snapshots, first, lambda: training.over)
    try:
        Window(session, WindowOptions(title=f"{training.name}, training - headsplat")).run()
    finally:
        session.close()
