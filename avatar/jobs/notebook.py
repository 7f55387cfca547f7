"""The widget of notebooks (`headsplat.widget`), and a training that is shown in it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avatar.errors import HeadsplatError
from avatar.jobs.notices import Notice, Notices, Notify, Progress, Result, Stop

if TYPE_CHECKING:
    from avatar.jobs.training_outputs import TrainedAvatar
    from avatar.model.avatar import Avatar
    from avatar.training.snapshot import SnapshotBuffer
    from viewer.web.notebook import AvatarView


def widget(source: Avatar | str | Path | None = None, **traits: Any) -> AvatarView:
    """An avatar with sliders as the output of a notebook's cell; needs the extra `notebook`.

    The sliders set traits of the widget and follow them: `weights` by name of the expression, `gaze`, `head` (degrees)
    and `limited`. `playing`, `background` ("#rrggbb" or ""), `width`, `height` and `panel` set the rest, and `observe`
    calls a function for each change, as for any widget of Jupyter.

    Args:
        source: an avatar, an .avatar file or an .hsa file; None: empty, for `avatar.jobs.train(widget=)` or `show`.
        traits: their first values.

    Returns:
        The widget; it has `show`, `play` and `pause`, see `viewer.web.notebook.AvatarView`.

    Raises:
        HeadsplatError: the package anywidget is missing, the file cannot be read, or a value is not valid.
    """
    from viewer.web.notebook import container_of, widget_class

    made = widget_class()
    if unknown := [name for name in traits if name.startswith("_") or not made.class_traits().get(name)]:
        raise HeadsplatError(f"widget: no trait {unknown[0]!r}; there are weights, gaze, head, width, height and more")
    if source is not None:
        traits["_container"] = container_of(source)
    shown: AvatarView = made(**traits)
    return shown


def train_in_widget(
    run: Callable[[Notices, Stop, SnapshotBuffer], TrainedAvatar | None], view: AvatarView, notify: Notify, stop: Stop
) -> TrainedAvatar | None:
    """Run a training and show it.

    Args:
        run: the training.
        view: shows it.
        notify: receives what the job reports.
        stop: as for `train`; None: an interrupt of the kernel.

    Raises:
        HeadsplatError: of the training; its sentence is shown as well.
    """
    from avatar.training.snapshot import SnapshotBuffer
    from viewer.web.notebook import SHOWN_EVERY

    summary = ""

    def report(notice: Notice) -> None:
        nonlocal summary
        notify(notice)
        if isinstance(notice, Progress):
            view.report(str(notice), notice.fraction)
        elif isinstance(notice, Result):
            summary = notice.text.splitlines()[0]

    snapshots = SnapshotBuffer(SHOWN_EVERY)
    try:
        with view.following(snapshots):
            trained = run(Notices(report), stop or stopped_by_kernel, snapshots)
    except BaseException as error:
        view.report(str(error) if isinstance(error, HeadsplatError) else f"the training ended: {type(error).__name__}")
        raise
    if trained is not None:
        view.show(trained.path)
        resuming = trained.resuming.replace("--resume", "resume=True")
        view.report(summary if trained.finished else f"stopped early; {resuming}")
    return trained


@contextmanager
def stopped_by_kernel(sentence: str, request: Callable[[], object] | None = None) -> Iterator[threading.Event]:
    """A `StopBlock` whose event the first interrupt of the kernel sets; the second one raises KeyboardInterrupt.

    On another thread than the main one nothing is interrupted.
    """
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def interrupt(number: int, frame: Any) -> None:
        signal.signal(signal.SIGINT, before)
        event.set()
        if request is not None:
            request()

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)
