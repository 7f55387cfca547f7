"""What panels and keys ask for once: views and pictures on the disk, the live driver's calibration, gains."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avatar.errors import HeadsplatError
from viewer.outputs.snapshot import save_snapshot
from viewer.session.edits import Action
from viewer.session.opening import write_view
from viewer.session.pose_sources import LivePerformer, LiveSource

if TYPE_CHECKING:
    from viewer.session.session import Session


def _close(session: Session, _: Any) -> None:
    session.closing = True


def _record(session: Session, _: Any) -> None:
    session.tell(session.outlets.toggle("record"))
    session.redraw()  # a picture that stands still is recorded too


def _virtual_camera(session: Session, _: Any) -> None:
    session.tell(session.outlets.toggle("virtual camera"))
    session.redraw()


def _save_view(session: Session, _: Any) -> None:
    orbit = session.state.view.orbit
    stem = f"{Path(session.state.subject.name).stem}_view"
    names = (session.folder / f"{stem}_{number}.json" for number in itertools.count(1))
    path = next(path for path in names if not path.exists())
    write_view(path, orbit, session.camera(*session.state.status.size))
    session.look_from(path.stem, orbit)
    session.tell(f"{path}: the view, for `headsplat render --camera` too")


def _forget_view(session: Session, place: int) -> None:
    view = session.state.view
    saved = tuple(row for k, row in enumerate(view.saved) if k != place)
    session.state = replace(session.state, view=replace(view, saved=saved))


def _screenshot(session: Session, _: Any) -> None:
    if session.picture is not None:
        name = f"{Path(session.state.subject.name).stem}_picture.png"
        session.tell(f"{save_snapshot(session.picture, session.folder / name)}: the picture")


def _calibrate(session: Session, _: Any) -> None:
    _live_source(session).calibrate()
    session.tell("look at the camera with a resting face for two seconds")


def _learn(session: Session, _: Any) -> None:
    _live_source(session).learn_again()


def _set_gain(session: Session, gain: tuple[str, float]) -> None:
    group, factor = gain
    _live_source(session).gains[group] = factor


def _live_source(session: Session) -> LiveSource:
    if not isinstance(session.performer, LivePerformer):
        raise HeadsplatError("nobody drives live; choose a camera or a socket first")
    return session.performer.source


#: Each may raise HeadsplatError, which is shown; `open`, `again` and `choose file` are the session's and the window's.
ACTIONS: Mapping[Action, Callable[[Session, Any], None]] = {
    "calibrate": _calibrate,
    "close": _close,
    "forget view": _forget_view,
    "gain": _set_gain,
    "learn": _learn,
    "record": _record,
    "save view": _save_view,
    "screenshot": _screenshot,
    "virtual camera": _virtual_camera,
}
