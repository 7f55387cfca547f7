"""What `headsplat live` and `headsplat view` have in common: the window, who may drive in it, what leaves it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from avatar.cli.arguments import OptionalFloat, OptionalPath, OptionalText, Record, parse_size
from avatar.cli.exit_codes import DONE, FAILED
from avatar.cli.progress import say
from avatar.files import atomic_path, check_output

if TYPE_CHECKING:
    from avatar.model import Avatar
    from capture.live import Input, LiveChain
    from viewer.outlets import Outlet, OutletKind
    from viewer.session import LiveChoice, Session

_WEBCAM, _LISTENED = "webcam", {"livelink": "Live Link Face", "vmc": "VMC", "ifacialmocap": "iFacialMocap"}
_LARGEST = 2048


@dataclass(frozen=True)
class WindowedOptions:
    """The window, what it shows and what leaves it."""

    size: Annotated[str, arg(metavar="PIXELS|WxH")] = "512"
    """the picture: so many pixels high and as wide as the window, or exactly WxH"""
    background: Annotated[str, arg(metavar="COLOUR")] = "white"
    """colour behind the head: a name or #RRGGBB"""
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
    from viewer.display import check_display

    check_display()
    if options.json is not None:
        check_output(options.json, options.overwrite)
    sources = Sources(webcam, listen, loop, options.host, options.phone)
    from avatar.asset import load_avatar
    from avatar.cli.outlets import CameraOutlet, RecordingOutlet
    from avatar.cli.recording import Recording
    from viewer.opening import open_any
    from viewer.outlets import Outlets
    from viewer.session import Session
    from viewer.window import Window, WindowOptions

    avatar = load_avatar(path)
    with ExitStack() as stack:
        recording = stack.enter_context(Recording(options.record, overwrite=options.overwrite))
        makers: dict[OutletKind, Callable[[], Outlet]] = {
            "record": lambda: RecordingOutlet(recording),
            "virtual camera": CameraOutlet,
        }
        session = Session(avatar, path.name, sources.choices(), Outlets(makers))
        stack.callback(session.close)
        _set(session, options)
        if motion is not None:
            open_any(motion, avatar)(session)
        if live:
            session.drive(sources.first)
        if options.record:
            session.outlets.toggle("record")
        if options.virtual_camera:
            session.outlets.toggle("virtual camera")
        Window(session, WindowOptions(title=f"{path.name} - headsplat", seconds=options.seconds)).run()
        report = session.report()
    print(report.to_words())
    for sentence in recording.sentences:
        say(sentence)
    if options.json is not None:
        with atomic_path(options.json) as part:
            part.write_text(json.dumps(report.to_json(), indent=1), encoding="utf-8")
    return FAILED if recording.failed else DONE


def _set(session: Session, options: WindowedOptions) -> None:
    """Size and background, as the command line has them."""
    from avatar.offline.backdrop import parse_colour

    state = session.state
    width, height = parse_size(options.size, _LARGEST)
    view = replace(state.view, height=height, width=width if "x" in options.size else None)
    look = replace(state.look, background=parse_colour(options.background))
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
        return _WEBCAM if self.listen is None else self.listen.split(":")[0]

    def choices(self) -> Iterator[LiveChoice]:
        """All of them, none opened yet; raises HeadsplatError where the command line's words make no sense."""
        from capture.live.open import LOOPBACK, open_input
        from viewer.session import LiveChoice

        host, phone = self.host or LOOPBACK, self.phone or ""
        if self.listen is not None:
            open_input(None, self.listen, host=host, phone=phone)
        if host != LOOPBACK:
            say(f"listening at {host}: whoever reaches this address can drive the avatar")
        webcam = "0" if self.webcam is None else self.webcam
        open_input(webcam, loop=self.loop)
        label = f"camera {webcam}" if webcam.isdigit() else Path(webcam).name
        yield LiveChoice(_WEBCAM, label, lambda avatar: _chain(avatar, open_input(webcam, loop=self.loop)))
        for key, name in _LISTENED.items():
            spoken = self.listen if self.listen is not None and self.first == key else key

            def make(avatar: Avatar, spoken: str = spoken) -> LiveChain:
                return _chain(avatar, open_input(None, spoken, host=host, phone=phone))

            yield LiveChoice(key, name, make)


def _chain(avatar: Avatar, source: Input) -> LiveChain:
    from capture.live import LiveChain

    return LiveChain(avatar, source)
