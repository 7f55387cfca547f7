"""The window of `headsplat live` and `headsplat view`, with its pose sources and outlets."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from avatar.cli.exit_codes import DONE, FAILED, INTERRUPTED
from avatar.cli.interrupt import cause, stopped_by_interrupt
from avatar.cli.progress import say, show
from avatar.common.files import shown, write_text
from avatar.jobs.appearance import read_with_mix
from avatar.jobs.option_types import DURATION, AppearanceName, Device, OptionalFloat, OptionalPath, OptionalText, Record
from avatar.jobs.outputs import Output, reserved
from avatar.jobs.parsing import parse_size, requested_device
from avatar.jobs.relight_options import RelightOptions

if TYPE_CHECKING:
    import torch

    from avatar.cli.recording import Recording
    from avatar.model.avatar import Avatar
    from capture.live import LivePipeline, PoseSource
    from viewer.outputs.outlets import Outlet, OutletKind
    from viewer.session.pose_sources import LiveSourceChoice
    from viewer.session.session import Session
    from viewer.stats.report import RunReport

_WEBCAM = "webcam"
_MICROPHONE = "microphone"
_GREETED = "ifacialmocap"  # the only protocol whose senders need a greeting
_PROTOCOLS = {"livelink": "Live Link Face", "vmc": "VMC", _GREETED: "iFacialMocap"}
_MAX_SIZE = 2048


@dataclass(frozen=True)
class WindowedOptions:
    """Options of the window and its outlets."""

    size: Annotated[str, arg(metavar="PIXELS|WxH")] = "512"
    """size of the image: its height in pixels, with the window's aspect ratio, or WxH"""
    background: Annotated[str, arg(metavar="COLOR")] = "white"
    """background color: a name or #RRGGBB"""
    record: Record = ()
    """record from the start: a motion as .csv (Live Link Face), .json or .motion.npz, a video as .mp4, .mov or .webm;
    may be given several times"""
    device: Device = "auto"
    """where images are rendered; auto: on the first GPU, if native kernels can run there, else on the CPU"""
    light: Annotated[RelightOptions, arg(name="")] = field(default_factory=RelightOptions)
    virtual_camera: bool = False
    """provide the image to other programs as a camera"""
    appearance: AppearanceName = None
    """of an avatar of several recordings: the look of one of them, or a mix, at first; default: that of the first"""
    host: OptionalText = None
    """address of this machine to listen on; default: only this machine can send"""
    phone: OptionalText = None
    """address of the phone, for iFacialMocap: it sends after a greeting"""
    seconds: Annotated[OptionalFloat, DURATION] = None
    """close the window after this time"""
    json: OptionalPath = None
    """write statistics of the run to this file"""
    overwrite: bool = False
    """replace existing files"""


@dataclass(frozen=True)
class SourceOptions:
    """The live source that is active at first."""

    webcam: str | None = None
    listen: str | None = None
    loop: bool = False
    torso: bool = True
    microphone: str | None = None


def run_window(
    path: Path, options: WindowedOptions, *, motion: Path | None = None, live: SourceOptions | None = None
) -> int:
    """Show an avatar until the window is closed, then report statistics.

    Args:
        path: of the avatar.
        options: of the window.
        motion: to play at first.
        live: the live source to start at first.

    Returns:
        The exit code.
    """
    from viewer.gui.display import check_display

    check_display()
    device = requested_device(options.device)
    outputs = [Output(path, "--record") for path in options.record]
    if options.json is not None:
        outputs.append(Output(options.json, "--json", (".json",)))
    inputs = (path, motion, None if live is None else live.webcam, None if live is None else live.microphone)
    with reserved(outputs, inputs, overwrite=options.overwrite):
        return _run(path, options, motion, live, device)


def _run(
    path: Path, options: WindowedOptions, motion: Path | None, live: SourceOptions | None, device: torch.device
) -> int:
    sources = LiveSources(live or SourceOptions(), options.host, options.phone)
    from avatar.cli.recording import Recording

    name = shown(path.name)
    say(f"{name}: opening the window ...")
    avatar, mix = read_with_mix(path, options.appearance)
    with (
        Recording(options.record, overwrite=options.overwrite) as recording,
        closing(_session(avatar, path, name, sources, recording, device)) as session,
    ):
        if mix:
            session.set_appearance(mix)
        _set_up(session, options, motion)
        if live is not None:
            session.select_source(sources.first)
            if options.host is not None and live.listen is not None:
                say(f"listening on {options.host}: anyone who can reach this address can drive the avatar")
        _open_outlets(session, options)
        closed = _show(session, name, options.seconds)
        report = session.run_report()
    _print_report(report, recording.messages, options.json)
    if recording.failed:
        return FAILED
    return DONE if closed else INTERRUPTED


def _session(
    avatar: Avatar, path: Path, name: str, sources: LiveSources, recording: Recording, device: torch.device
) -> Session:
    """The window's session with its live sources and outlets."""
    from avatar.cli.outlets import CameraOutlet, RecordingOutlet
    from viewer.outputs.outlets import Outlets
    from viewer.session.session import Session

    factories: dict[OutletKind, Callable[[], Outlet]] = {
        "record": lambda: RecordingOutlet(recording),
        "virtual camera": CameraOutlet,
    }
    return Session(avatar, name, sources.choices(), Outlets(factories), device=device, path=path)


def _open_outlets(session: Session, options: WindowedOptions) -> None:
    if options.record:
        session.outlets.toggle("record")
    if options.virtual_camera:
        session.outlets.toggle("virtual camera")


def _show(session: Session, name: str, seconds: float | None) -> bool:
    """Run the window; returns whether it was closed by the user, not by Ctrl-C, SIGTERM or SIGHUP."""
    from viewer.gui.window import Window, WindowOptions

    def close() -> None:
        session.closing = True

    # KeyboardInterrupt: the second Ctrl-C.
    with suppress(KeyboardInterrupt), stopped_by_interrupt("closing the window", close) as stop:
        Window(session, WindowOptions(title=f"{name} - headsplat", seconds=seconds)).run()
        if not stop.requested:
            return True
    say(f"stopped by {cause()}")
    return False


def _print_report(report: RunReport, messages: Sequence[str], path: Path | None) -> None:
    """Print statistics and messages on recorded files; write the statistics to `path`."""
    show(report.to_text())
    for message in messages:
        say(message)
    if path is not None:
        write_text(path, json.dumps(report.to_json(), indent=1))


def _set_up(session: Session, options: WindowedOptions, motion: Path | None) -> None:
    """Set image size and background, and open a motion."""
    from avatar.rendering.background import parse_color
    from viewer.session.opening import open_any

    state = session.state
    width, height = parse_size(options.size, _MAX_SIZE)
    camera = replace(state.camera, height=height, width=width if "x" in options.size else None)
    background = parse_color(options.background)
    relighting = options.light.relighting()
    view = replace(state.view, background=background, relighting=relighting)
    session.state = replace(state, camera=camera, view=view)
    if motion is not None:
        session.show(open_any(motion, session.avatar))


@dataclass(frozen=True)
class LiveSources:
    """The live sources that can be selected in the window, with the command line's options."""

    options: SourceOptions
    host: str | None
    phone: str | None

    @property
    def first(self) -> str:
        """Key of the source that is active at first."""
        listen = self.options.listen
        if self.options.microphone is not None:
            return _MICROPHONE
        return _WEBCAM if listen is None else listen.partition(":")[0].strip().lower()

    def choices(self) -> Iterator[LiveSourceChoice]:
        """All sources, none opened yet; raises HeadsplatError where the options are not valid."""
        from capture.live.open import LOOPBACK, open_pose_source
        from capture.live.protocols.udp import check_host
        from viewer.session.pose_sources import LiveSourceChoice

        options = self.options
        phone = self.phone or ""
        host = LOOPBACK if self.host is None else self.host
        check_host(host)
        if options.listen is not None:
            open_pose_source(None, options.listen, host=host, phone=phone)
        webcam = "0" if options.webcam is None else options.webcam
        microphone = options.microphone or "default"
        loop = options.loop and options.microphone is not None
        if options.microphone is not None:
            open_pose_source(microphone=options.microphone, loop=loop)
        else:
            open_pose_source(webcam, loop=options.loop)
        label = f"camera {webcam}" if webcam.isdigit() else shown(Path(webcam).name)
        yield LiveSourceChoice(
            _WEBCAM,
            label,
            lambda avatar: _pipeline(
                avatar, open_pose_source(webcam, loop=options.loop and not loop, torso=options.torso)
            ),
        )
        file = Path(microphone).is_file()
        name = shown(Path(microphone).name) if file else f"microphone {microphone}".removesuffix(" default")
        yield LiveSourceChoice(
            _MICROPHONE, name, lambda avatar: _pipeline(avatar, open_pose_source(microphone=microphone, loop=loop))
        )
        for key, name in _PROTOCOLS.items():
            listen = options.listen if options.listen is not None and self.first == key else key
            greeted = phone if key == _GREETED else ""

            def make(avatar: Avatar, listen: str = listen, phone: str = greeted) -> LivePipeline:
                return _pipeline(avatar, open_pose_source(None, listen, host=host, phone=phone))

            yield LiveSourceChoice(key, name, make)


def _pipeline(avatar: Avatar, source: PoseSource) -> LivePipeline:
    from capture.live import LivePipeline

    return LivePipeline(avatar, source)
