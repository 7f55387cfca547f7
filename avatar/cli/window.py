"""What `headsplat live` and `headsplat view` have in common: the window, who may drive in it, what leaves it."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from avatar.cli.arguments import OptionalFloat, OptionalPath, OptionalText, Record, parse_size
from avatar.cli.exit_codes import DONE, FAILED, INTERRUPTED
from avatar.cli.progress import say
from avatar.common.files import atomic_path, check_output
from avatar.errors import HeadsplatError

if TYPE_CHECKING:
    from avatar.cli.recording import Recording
    from avatar.model.avatar import Avatar
    from capture.live import Input, LivePipeline
    from viewer.outputs.outlets import Outlet, OutletKind
    from viewer.session.session import LiveChoice, Session
    from viewer.stats.report import RunReport

_WEBCAM, _ASKED = "webcam", "ifacialmocap"  # the only protocol whose phone has to be asked
_LISTENED = {"livelink": "Live Link Face", "vmc": "VMC", _ASKED: "iFacialMocap"}
_LARGEST = 2048


@dataclass(frozen=True)
class WindowedOptions:
    """The window, what it shows and what leaves it."""

    size: Annotated[str, arg(metavar="PIXELS|WxH")] = "512"
    """the picture: so many pixels high and as wide as the window, or exactly WxH"""
    background: Annotated[str, arg(metavar="COLOR")] = "white"
    """color behind the head: a name or #RRGGBB"""
    record: Record = ()
    """record from the start: .csv (as Live Link Face), .json or .motion.npz the take, .mp4, .mov or .webm the film;
    may be given several times"""
    virtual_camera: bool = False
    """offer the pictures to other programs as a camera"""
    host: OptionalText = None
    """address of this machine to listen at: only this machine can send unless another is given"""
    phone: OptionalText = None
    """address of the phone, for iFacialMocap: it sends once it is asked"""
    seconds: OptionalFloat = None
    """close the window after so long"""
    json: OptionalPath = None
    """write the figures of the run to this file"""
    overwrite: bool = False
    """replace files that exist"""


def run_window(
    path: Path,
    options: WindowedOptions,
    *,
    motion: Path | None = None,
    webcam: str | None = None,
    listen: str | None = None,
    loop: bool = False,
    live: bool = False,
) -> int:
    """Show the avatar at `path` until the window is closed, then say what the run came to; returns the exit code."""
    from viewer.gui.display import check_display

    check_display()
    if options.seconds is not None and not options.seconds > 0:
        raise HeadsplatError(f"--seconds: {options.seconds:g} is no time to stay open; give a number above 0")
    if options.json is not None:
        check_output(options.json, options.overwrite)
    sources = Sources(webcam, listen, loop, options.host, options.phone)
    from avatar.cli.recording import Recording
    from avatar.model.avatar_file import load_avatar
    from viewer.session.opening import open_any

    say(f"{path.name}: opening the window ...")
    avatar = load_avatar(path)
    with (
        Recording(options.record, overwrite=options.overwrite) as recording,
        closing(_session(avatar, path.name, sources, recording)) as session,
    ):
        _set(session, options)
        if motion is not None:
            open_any(motion, avatar)(session)
        if live:
            session.drive(sources.first)
            if options.host is not None and listen is not None:
                say(f"listening at {options.host}: whoever reaches this address can drive the avatar")
        _open_outlets(session, options)
        closed = _show(session, path.name, options.seconds)
        report = session.report()
    _tell(report, recording.sentences, options.json)
    if recording.failed:
        return FAILED
    return DONE if closed else INTERRUPTED


def _session(avatar: Avatar, name: str, sources: Sources, recording: Recording) -> Session:
    """What the window shows, with everything that may drive and record."""
    from avatar.cli.outlets import CameraOutlet, RecordingOutlet
    from viewer.outputs.outlets import Outlets
    from viewer.session.session import Session

    makers: dict[OutletKind, Callable[[], Outlet]] = {
        "record": lambda: RecordingOutlet(recording),
        "virtual camera": CameraOutlet,
    }
    return Session(avatar, name, sources.choices(), Outlets(makers))


def _open_outlets(session: Session, options: WindowedOptions) -> None:
    if options.record:
        session.outlets.toggle("record")
    if options.virtual_camera:
        session.outlets.toggle("virtual camera")


def _show(session: Session, name: str, seconds: float | None) -> bool:
    """Open the window and wait until it is closed; returns whether it was, and not ended by Ctrl-C."""
    from viewer.gui.window import Window, WindowOptions

    with _closed_by(signal.SIGTERM, session):
        try:
            Window(session, WindowOptions(title=f"{name} - headsplat", seconds=seconds)).run()
        except KeyboardInterrupt:
            say("stopped by Ctrl-C")
            return False
    return True


@contextmanager
def _closed_by(number: signal.Signals, session: Session) -> Iterator[None]:
    """A signal that closes the window instead of ending the process: a logout must not cost what was recorded."""

    def close(received: int, frame: object) -> None:
        session.closing = True

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, close)
    try:
        yield
    finally:
        signal.signal(number, before)


def _tell(report: RunReport, sentences: Sequence[str], path: Path | None) -> None:
    """What the run came to and what it wrote, and the figures to `path`."""
    print(report.to_text())
    for sentence in sentences:
        say(sentence)
    if path is not None:
        with atomic_path(path) as part:
            part.write_text(json.dumps(report.to_json(), indent=1), encoding="utf-8")


def _set(session: Session, options: WindowedOptions) -> None:
    """Size and background, as the command line has them."""
    from avatar.rendering.background import parse_color

    state = session.state
    width, height = parse_size(options.size, _LARGEST)
    view = replace(state.view, height=height, width=width if "x" in options.size else None)
    look = replace(state.look, background=parse_color(options.background))
    session.state = replace(state, view=view, look=look)


@dataclass(frozen=True)
class Sources:
    """The live inputs among which the window's user chooses; the one the command line names comes with its words."""

    webcam: str | None
    listen: str | None
    loop: bool
    host: str | None
    phone: str | None

    @property
    def first(self) -> str:
        """Key of the one that drives at first."""
        return _WEBCAM if self.listen is None else self.listen.partition(":")[0].strip().lower()

    def choices(self) -> Iterator[LiveChoice]:
        """All of them, none opened yet; raises HeadsplatError where the command line's words make no sense."""
        from capture.live.open import LOOPBACK, open_input
        from viewer.session.session import LiveChoice

        host, phone = self.host or LOOPBACK, self.phone or ""
        if self.listen is not None:
            open_input(None, self.listen, host=host, phone=phone)
        webcam = "0" if self.webcam is None else self.webcam
        open_input(webcam, loop=self.loop)
        label = f"camera {webcam}" if webcam.isdigit() else Path(webcam).name
        yield LiveChoice(_WEBCAM, label, lambda avatar: _chain(avatar, open_input(webcam, loop=self.loop)))
        for key, name in _LISTENED.items():
            spoken = self.listen if self.listen is not None and self.first == key else key

            def make(avatar: Avatar, spoken: str = spoken, asked: str = phone if key == _ASKED else "") -> LivePipeline:
                return _chain(avatar, open_input(None, spoken, host=host, phone=asked))

            yield LiveChoice(key, name, make)


def _chain(avatar: Avatar, source: Input) -> LivePipeline:
    from capture.live import LivePipeline

    return LivePipeline(avatar, source)
