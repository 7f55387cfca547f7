"""The widget of notebooks: an avatar with sliders in the output of a cell, by the package anywidget.

Everything that the browser needs, the player and the avatar, goes through the notebook's own connection: no server, no
address, no file. `src/page/notebook.js` is the other half.
"""

from __future__ import annotations

import math
import re
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avatar.common.files import path_text
from avatar.errors import HeadsplatError

if TYPE_CHECKING:
    from avatar.model.avatar import Avatar
    from avatar.training.snapshot import SnapshotBuffer
    from avatar.types import Motion

#: Seconds between two avatars of a training, and the fraction of the time that they may take.
SHOWN_EVERY = 4.0
TIME_FRACTION = 0.1
_POLL_SECONDS = 0.2
_SIDES = range(64, 4097)
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")


class AvatarView:
    """What the widget does; `widget_class` gives it the traits, which the browser shares."""

    weights: dict[str, float]  # by name of the expression, added to the resting face
    gaze: list[float]  # to the person's left and up, -1..1
    head: list[float]  # yaw to the person's left, pitch down, roll to the person's right shoulder, degrees
    limited: bool  # within the trained range
    playing: bool
    background: str  # "#rrggbb"; empty: transparent
    width: int  # pixels of the image
    height: int
    panel: bool  # whether the sliders are shown
    status: str  # a line below the image
    progress: float | None  # 0..1 of a stage; None: no bar
    error: str  # what the browser could not show; empty: nothing
    _container: bytes
    _motion: bytes
    _motion_name: str

    def show(self, source: Avatar | str | Path) -> None:
        """Show another avatar; the browser frees the present one.

        Args:
            source: an avatar, an .avatar file or an .hsa file of `headsplat export`.

        Raises:
            HeadsplatError: the file cannot be read.
        """
        self._container = container_of(source)
        self._motion = b""

    @property
    def expression_names(self) -> tuple[str, ...]:
        """Names of the expressions; empty before an avatar is shown."""
        from avatar.export.web_blocks import header_of

        return tuple(header_of(self._container)["head"]["expression_names"]) if self._container else ()

    def play(self, motion: Motion | str | Path | None = None) -> None:
        """Play a motion again and again, retargeted to the avatar in the browser.

        Args:
            motion: a motion, or an expression file of any kind that headsplat reads; None: the present one, at first
                that which is packed with an .hsa file.

        Raises:
            HeadsplatError: the file is no motion.
        """
        if motion is not None:
            name, content = motion_content(motion)
            self._motion_name = name
            self._motion = content
        self.playing = True

    def pause(self) -> None:
        """Stop at the present frame of the motion."""
        self.playing = False

    def report(self, text: str, fraction: float | None = None) -> None:
        """Show a line, and a bar where a fraction 0..1 is given."""
        self.status = text
        self.progress = fraction

    @contextmanager
    def following(self, snapshots: SnapshotBuffer) -> Iterator[None]:
        """Show the newest avatar of a training every few seconds while the block runs.

        Args:
            snapshots: of the training, which is to pass it to `train_capture`.
        """
        over = threading.Event()
        thread = threading.Thread(target=self._follow, args=(snapshots, over), name="widget", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            snapshots.close()
            thread.join()

    def _follow(self, snapshots: SnapshotBuffer, over: threading.Event) -> None:
        while not over.is_set():
            newest = snapshots.wait(_POLL_SECONDS)
            if newest is None:
                continue
            started = time.monotonic()
            self.show(newest)
            over.wait(max(SHOWN_EVERY, (time.monotonic() - started) / TIME_FRACTION))


def container_of(source: Avatar | str | Path) -> bytes:
    """The container of an avatar, of an .avatar file or in an .hsa file, for the browser.

    Raises:
        HeadsplatError: the file cannot be read.
    """
    from avatar.export.web import web_container
    from avatar.export.web_blocks import header_of
    from avatar.model.avatar_file import read_avatar

    if not isinstance(source, (str, Path)):
        return web_container(source, {}, "avatar")
    path = Path(source)
    if path.suffix != ".hsa":
        header, avatar = read_avatar(path)
        return web_container(avatar, header, path.stem)
    try:
        content = path.read_bytes()
        header_of(content)["head"]["expression_names"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HeadsplatError(
            f"{path_text(path)}: not an avatar for pages; write it with `headsplat export me.avatar -o NAME.hsa`"
        ) from error
    return content


def motion_content(motion: Motion | str | Path) -> tuple[str, bytes]:
    """The name of a motion and its .motion.npz file, which the browser reads.

    Raises:
        HeadsplatError: the file is no motion.
    """
    from avatar.motion import read_motion, write_motion

    name = Path(motion).name if isinstance(motion, (str, Path)) else "motion"
    read = read_motion(motion) if isinstance(motion, (str, Path)) else motion
    with tempfile.TemporaryDirectory(prefix="headsplat-") as folder:
        path = Path(folder) / "one.motion.npz"
        write_motion(path, read)
        return name, path.read_bytes()


def checked_weights(weights: Mapping[str, float], names: Sequence[str]) -> dict[str, float]:
    """Weights by name as numbers.

    Raises:
        HeadsplatError: a name that is not among `names` (none: all are), or a value that is not a finite number.
    """
    from avatar.export.posed import unknown_expression

    for name in weights:
        if names and name not in names:
            raise unknown_expression("weights", name, names)
    return dict(zip(weights, _finite("weights", list(weights.values())), strict=True))


def _finite(name: str, values: Sequence[Any]) -> list[float]:
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError):
        numbers = [math.nan]
    if not all(map(math.isfinite, numbers)):
        raise HeadsplatError(f"{name}: expected finite numbers, got {list(values)}")
    return numbers


@cache
def widget_class() -> type[Any]:
    """The class of the widget: `AvatarView` as a widget of Jupyter with its traits.

    Raises:
        HeadsplatError: the package anywidget is missing.
    """
    try:
        import anywidget
        import traitlets
    except ImportError as error:
        raise HeadsplatError(
            "the widget needs anywidget; install it with `pip install 'headsplat[notebook]'`"
        ) from error
    from .bundle import source
    from .package import element_module

    class AvatarWidget(AvatarView, anywidget.AnyWidget):  # type: ignore[misc]
        """An avatar in a notebook; see `headsplat.widget`."""

        _esm = element_module("page/notebook.js") + "export default { render: showWidget };\n"
        _css = source("page/notebook.css")
        _container = traitlets.Bytes().tag(sync=True)
        _motion = traitlets.Bytes().tag(sync=True)
        _motion_name = traitlets.Unicode().tag(sync=True)
        weights = traitlets.Dict().tag(sync=True)
        gaze = traitlets.List([0.0, 0.0]).tag(sync=True)
        head = traitlets.List([0.0, 0.0, 0.0]).tag(sync=True)
        limited = traitlets.Bool(True).tag(sync=True)
        playing = traitlets.Bool(False).tag(sync=True)
        background = traitlets.Unicode("#ffffff").tag(sync=True)
        width = traitlets.Int(384).tag(sync=True)
        height = traitlets.Int(448).tag(sync=True)
        panel = traitlets.Bool(True).tag(sync=True)
        status = traitlets.Unicode().tag(sync=True)
        progress = traitlets.Float(None, allow_none=True).tag(sync=True)
        error = traitlets.Unicode().tag(sync=True)

        @traitlets.validate("weights")
        def _check_weights(self, proposal: Any) -> dict[str, float]:
            return checked_weights(proposal["value"], self.expression_names)

        @traitlets.validate("gaze", "head")
        def _check_angles(self, proposal: Any) -> list[float]:
            name, count = proposal["trait"].name, 2 if proposal["trait"].name == "gaze" else 3
            if len(proposal["value"]) != count:
                raise HeadsplatError(f"{name}: expected {count} numbers, got {list(proposal['value'])}")
            return _finite(name, proposal["value"])

        @traitlets.validate("width", "height")
        def _check_side(self, proposal: Any) -> int:
            if proposal["value"] not in _SIDES:
                sides = f"{_SIDES[0]} to {_SIDES[-1]} pixels"
                raise HeadsplatError(f"{proposal['trait'].name}: expected {sides}, got {proposal['value']}")
            return int(proposal["value"])

        @traitlets.validate("background")
        def _check_background(self, proposal: Any) -> str:
            if proposal["value"] and not _COLOR.fullmatch(proposal["value"]):
                raise HeadsplatError(f"background: expected #rrggbb or an empty text, got {proposal['value']!r}")
            return str(proposal["value"])

    return AvatarWidget
