"""Actions of panels and keys: saved views and snapshots, outlets, the live source's calibration."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from avatar.errors import HeadsplatError
from viewer.outputs.outlets import OutletKind, Outlets
from viewer.outputs.snapshot import save_snapshot
from viewer.render.orbit import Orbit
from viewer.session.edits import Action
from viewer.session.pose_sources import LivePipeline
from viewer.session.source_selector import SourceSelector
from viewer.session.state import State
from viewer.session.view_file import write_view
from viewer.session.viewport import Viewport

if TYPE_CHECKING:
    from viewer.session.wings.painting import Painting


class ActionTarget(Protocol):
    """What actions use of a session."""

    closing: bool
    folder: Path
    outlets: Outlets
    sources: SourceSelector
    state: State
    viewport: Viewport

    def show_message(self, message: str, failed: bool = False) -> None:
        """Show a message."""

    def apply_view(self, name: str, orbit: Orbit) -> None:
        """Move the camera to a saved view and list it."""

    def restart_source(self) -> None:
        """Start the active live source again."""

    def edit_avatar(self, edit: Callable[[Painting], object]) -> None:
        """Change the edits of the avatar and show the result; raises HeadsplatError where it cannot be edited."""


def live_pipeline_of(target: ActionTarget) -> LivePipeline:
    """The active live source's pipeline; raises HeadsplatError where the active source is not live."""
    source = target.sources.live
    if source is None:
        raise HeadsplatError("no live source is active; select a camera or a socket first")
    return source.pipeline


def _close(target: ActionTarget) -> None:
    target.closing = True


def _toggle(kind: OutletKind) -> Callable[[ActionTarget], None]:
    def toggle(target: ActionTarget) -> None:
        target.show_message(target.outlets.toggle(kind))
        target.viewport.invalidate()  # an outlet gets the image also where it does not change

    return toggle


def _save_view(target: ActionTarget) -> None:
    state = target.state
    orbit = state.camera.orbit
    stem = f"{Path(state.avatar.name).stem}_view"
    names = (target.folder / f"{stem}_{number}.json" for number in itertools.count(1))
    path = next(path for path in names if not path.exists())
    write_view(path, orbit, target.viewport.camera(orbit, *state.status.size))
    target.apply_view(path.stem, orbit)
    target.show_message(f"{path}: view saved, also for `headsplat render --camera`")


def _snapshot(target: ActionTarget) -> None:
    if target.viewport.image is not None:
        name = f"{Path(target.state.avatar.name).stem}_picture.png"
        target.show_message(f"{save_snapshot(target.viewport.image, target.folder / name)}: image saved")


def _calibrate(target: ActionTarget) -> None:
    live_pipeline_of(target).calibrate()
    target.show_message("look at the camera with a resting face for two seconds")


def _learn_person(target: ActionTarget) -> None:
    live_pipeline_of(target).learn_again()


def _restart_source(target: ActionTarget) -> None:
    target.restart_source()


def _save_avatar(target: ActionTarget) -> None:
    target.edit_avatar(lambda painting: target.show_message(f"{painting.save(target.folder)}: saved, with its edits"))


#: Each may raise HeadsplatError, which is reported; `choose file` is the window's.
ACTIONS: Mapping[Action, Callable[[ActionTarget], None]] = {
    "calibrate": _calibrate,
    "close": _close,
    "find layers": lambda target: target.edit_avatar(lambda painting: painting.find_layers()),
    "learn person": _learn_person,
    "record": _toggle("record"),
    "redo": lambda target: target.edit_avatar(lambda painting: painting.redo()),
    "restart source": _restart_source,
    "save avatar": _save_avatar,
    "save view": _save_view,
    "snapshot": _snapshot,
    "undo": lambda target: target.edit_avatar(lambda painting: painting.undo()),
    "virtual camera": _toggle("virtual camera"),
}
