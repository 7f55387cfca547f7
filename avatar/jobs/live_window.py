"""An avatar in a window, driven live, by a motion or by hand, until the window is closed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import UseAppendAction, arg

from avatar.common.files import path_text
from avatar.jobs.appearance import read_with_mix
from avatar.jobs.beside import renderer_beside, split
from avatar.jobs.live_run import LiveRun
from avatar.jobs.live_sources import LiveSources, SourceOptions
from avatar.jobs.notices import Notices, Notify, Stop, cause_of, ignore, is_requested, stoppable
from avatar.jobs.option_types import (
    DURATION,
    AppearanceName,
    Device,
    OptionalFloat,
    OptionalPath,
    OptionalText,
    Record,
    Send,
    checked,
)
from avatar.jobs.outputs import Output, reserved
from avatar.jobs.parsing import parse_size, requested_device
from avatar.jobs.relight_options import RelightOptions
from avatar.jobs.sending import Senders

if TYPE_CHECKING:
    import torch

    from avatar.jobs.recording import Recording
    from avatar.model.avatar import Avatar
    from viewer.outputs.outlets import Outlet, OutletKind
    from viewer.render.renderer import Renderer
    from viewer.session.session import Session

_MAX_SIZE = 2048
_CLOSING = "closing the window"


@dataclass(frozen=True)
class LiveOptions:
    """the window, what it records and sends, and how long it is open"""

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
    beside: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="AVATAR=SOURCE")] = ()
    """another avatar in the same space, and what drives it: a camera number, a protocol as of --listen, or a sound or
    motion file that plays; they look at each other; may be given several times"""
    send: Send = ()
    """send the face of the live source to a program on this machine, or at HOST; may be given several times"""
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


def live(
    avatar: str | Path,
    source: SourceOptions | None = None,
    options: LiveOptions | None = None,
    *,
    notify: Notify = ignore,
    stop: Stop = None,
) -> LiveRun:
    """Drive an avatar live in a window, from a camera, an app or a voice, until the window is closed.

    Args:
        avatar: the avatar file.
        source: what drives it at first; None: the first camera.
        options: of the window and its outlets; None: as `headsplat live` by default.
        notify: receives messages.
        stop: what closes the window, as Ctrl-C does.

    Raises:
        HeadsplatError: there is no display, an input cannot be read, an option is not valid, or an output cannot be
            written.
    """
    source = source or SourceOptions()
    source.check()
    job = _WindowJob(Path(avatar), checked(options or LiveOptions()), None, source)
    return job.run(Notices(notify), stop)


def view(
    avatar: str | Path,
    motion: str | Path | None = None,
    options: LiveOptions | None = None,
    *,
    notify: Notify = ignore,
    stop: Stop = None,
) -> LiveRun:
    """Show an avatar in a window, posed by hand or playing a motion, until the window is closed.

    Args:
        avatar: the avatar file.
        motion: a capture folder or an expression file that plays at first.
        options: of the window and its outlets; None: as `headsplat view` by default.
        notify: receives messages.
        stop: what closes the window, as Ctrl-C does.

    Raises:
        HeadsplatError: there is no display, an input cannot be read, an option is not valid, or an output cannot be
            written.
    """
    played = None if motion is None else Path(motion)
    job = _WindowJob(Path(avatar), checked(options or LiveOptions()), played, None)
    return job.run(Notices(notify), stop)


@dataclass(frozen=True)
class _WindowJob:
    """The arguments of `live` and `view`, and their steps."""

    path: Path  # of the avatar
    options: LiveOptions
    motion: Path | None  # to play at first
    source: SourceOptions | None  # the live source to start at first

    def run(self, notices: Notices, stop: Stop) -> LiveRun:
        """Show the avatar until the window is closed; writes the statistics."""
        from viewer.gui.display import check_display

        check_display()
        options = self.options
        device = requested_device(options.device)
        outputs = [Output(path, "--record") for path in options.record]
        if options.json is not None:
            outputs.append(Output(options.json, "--json", (".json",)))
        source = self.source or SourceOptions()
        inputs = (self.path, self.motion, source.webcam, source.microphone, *(split(one)[0] for one in options.beside))
        with reserved(outputs, inputs, overwrite=options.overwrite), Senders(options.send, notices) as senders:
            sources = LiveSources(source, options.host, options.phone, self.path, senders.listener)
            run = self._show(sources, device, notices, stop)
            run = replace(run, messages=(*run.messages, *senders.summaries()))
            if options.json is not None:
                run.save(options.json, notices)
            return run

    def _show(self, sources: LiveSources, device: torch.device, notices: Notices, stop: Stop) -> LiveRun:
        from avatar.jobs.recording import Recording

        options = self.options
        name = path_text(self.path.name)
        notices.say(f"{name}: opening the window ...")
        avatar, mix = read_with_mix(self.path, options.appearance)
        with (
            Recording(options.record, overwrite=options.overwrite, notices=notices) as recording,
            renderer_beside(options.beside, notices) as renderer,
            closing(_session(avatar, self.path, sources, recording, (device, renderer))) as session,
        ):
            if mix:
                session.set_appearance(mix)
            _set_up(session, options, self.motion)
            if self.source is not None:
                session.select_source(sources.first)
                if options.host is not None and self.source.listen is not None:
                    notices.say(f"listening on {options.host}: anyone who can reach this address can drive the avatar")
            _open_outlets(session, options)
            closed = _run_window(session, name, options.seconds, notices, stop)
            report = session.run_report()
        return LiveRun(report, not closed, tuple(recording.messages), recording.failed)


def _session(
    avatar: Avatar,
    path: Path,
    sources: LiveSources,
    recording: Recording,
    rendering: tuple[torch.device, Callable[..., Renderer]],
) -> Session:
    """The window's session with its live sources and outlets."""
    from avatar.jobs.outlets import CameraOutlet, RecordingOutlet
    from viewer.outputs.outlets import Outlets
    from viewer.session.session import Session

    factories: dict[OutletKind, Callable[[], Outlet]] = {
        "record": lambda: RecordingOutlet(recording),
        "virtual camera": CameraOutlet,
    }
    device, renderer = rendering
    outlets = Outlets(factories)
    name = path_text(path.name)
    return Session(avatar, name, sources.choices(), outlets, device=device, path=path, renderer=renderer)


def _set_up(session: Session, options: LiveOptions, motion: Path | None) -> None:
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


def _open_outlets(session: Session, options: LiveOptions) -> None:
    if options.record:
        session.outlets.toggle("record")
    if options.virtual_camera:
        session.outlets.toggle("virtual camera")


def _run_window(session: Session, name: str, seconds: float | None, notices: Notices, stop: Stop) -> bool:
    """Run the window; returns whether it was closed by the user or the time, not by `stop` or Ctrl-C."""
    from viewer.gui.window import Window, WindowOptions

    def close() -> None:
        session.closing = True

    with stoppable(stop, _CLOSING, close) as stopped:
        with suppress(KeyboardInterrupt):  # the second Ctrl-C, or the first one where nothing handles it
            Window(session, WindowOptions(title=f"{name} - headsplat", seconds=seconds)).run()
            if not is_requested(stopped):
                return True
        notices.say(f"stopped by {cause_of(stopped)}")
        return False
