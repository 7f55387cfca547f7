"""Filming a person before a camera: the coach leads, frames that matter are kept, an avatar is trained from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, Literal, Protocol

from avatar.common.files import path_text
from avatar.common.ranges import Between
from avatar.errors import HeadsplatError
from avatar.jobs.notices import Notice, Notices, Notify, Progress, Stop, ignore, stoppable
from avatar.jobs.option_types import OptionalPath, checked
from avatar.jobs.outputs import Output, reserved
from avatar.jobs.training import TrainJob, TrainOptions
from avatar.jobs.training_outputs import Outputs, TrainedAvatar
from capture.options import CaptureOptions

if TYPE_CHECKING:
    import numpy as np

    from avatar.jobs.film_preview import AvatarMirror
    from capture.film.session import Filming, Shown
    from capture.live.camera import Feed, Pace
    from viewer.session.film_view import Command, FilmView

_POLL_SECONDS = 0.1
#: Width and height that the camera is asked for: a face before it is then about as large as in the training images.
_CAMERA_SIZE = (1280, 720)
_FIRST_CAMERA = "0"
_CANCEL = "the recording ends, and nothing of it is kept"
_ENDING = "the recording ends and nothing of it is kept, or the training ends and saves the avatar"
_CONSENT = "Film only someone who has agreed to it; everything stays on this machine."
_KEYS = "space: pause    S: skip    R: repeat    Q: quit"
_WORKING_KEYS = "Q: close, the work goes on"
_CLOSING = "this page can be closed"


@dataclass(frozen=True)
class FilmOptions:
    """the recording, and the training that follows"""

    preset: Literal["fast", "default", "quality", "hybrid", "gpu"] | None = None
    """settings of the training, as for `headsplat train`"""
    config: OptionalPath = None
    """a TOML file with settings of the training that override the preset"""
    window: bool = True
    """show the camera's image and the coach in a window; --no-window: the coach writes in the terminal"""
    web: bool = False
    """serve a page for a browser on this machine instead, whose camera films; frames stay on this machine"""
    port: Annotated[int, Between(0, 65535)] = 8787
    """--web: port of the page; 0: any free one"""
    preview: bool = True
    """show an avatar of what was filmed so far beside the camera's image, after ten to twenty seconds"""
    keep: bool = False
    """keep the frames of a recording that is quit, in NAME.capture, which `headsplat train` takes"""
    resume: bool = False
    """go on with a recording that ended early: its frames stay, and the coach asks for what they do not show"""
    consent: str = ""
    """a note on the person's consent; stored in the capture and in the avatar"""
    overwrite: bool = False
    """replace an avatar and a capture that exist"""


@dataclass(frozen=True)
class Filmed:
    """A recording that has ended."""

    capture: Path  # its folder; gone where the recording was quit and not kept
    frames: int  # of the camera
    kept: int
    quit: bool  # whether the user ended the recording
    trained: TrainedAvatar | None  # None: the recording was quit


def film(
    source: str | Path,
    out: str | Path,
    options: FilmOptions | None = None,
    *,
    pace: Pace = "realtime",
    notify: Notify = ignore,
    stop: Stop = None,
) -> Filmed:
    """Film a person before a camera, and train an avatar from the frames that matter; film only who has agreed.

    Args:
        source: a camera number, or a video file in its place.
        out: the avatar to write, such as me.avatar; the recording becomes me.capture beside it.
        options: see FilmOptions; None: as `headsplat film` by default.
        pace: of a video file: at its frame rate, late frames are dropped; "all": every frame, as fast as possible.
        notify: receives progress and messages.
        stop: what quits the recording, or ends the training early.

    Raises:
        HeadsplatError: the camera or the window cannot be opened, the recording does not show a face, an option is not
            valid, or an output cannot be written.
    """
    job = _FilmJob(str(source), Path(out), checked(options or FilmOptions()), pace)
    return job.run(Notices(notify), stop)


@dataclass(frozen=True)
class _FilmJob:
    """The arguments of `film`, and its steps."""

    source: str
    out: Path
    options: FilmOptions
    pace: Pace

    def run(self, notices: Notices, stop: Stop) -> Filmed:
        """Record, then train."""
        from capture.film.folder import check_film
        from capture.live.open import camera_feed

        if self.options.web and self.source != _FIRST_CAMERA:
            raise HeadsplatError(f"--webcam {self.source}: with --web the browser films; leave one of them out")
        feed = camera_feed(self.source, pace=self.pace, size=_CAMERA_SIZE)
        # What is wrong with these fails before the recording, not after it.
        Outputs.beside(self.out).check(False, self.options.overwrite)
        check_film(self.folder, overwrite=self.options.overwrite, resume=self.options.resume)
        self._training.resolved()
        if self.options.web:
            return self._film_in_page(notices, stop)
        if not self.options.window:
            notices.say(_CONSENT)
            recorded = self._record(feed, notices, stop)
            return recorded if recorded.quit else self._train(recorded, notices, stop)
        from viewer.gui.display import check_display
        from viewer.gui.film_window import FilmWindow

        check_display()
        notices.say(_CONSENT)
        return _Screen(self, feed, notices, FilmWindow).run(stop)

    def _film_in_page(self, notices: Notices, stop: Stop) -> Filmed:
        """Record with the camera of a browser, and show it there, then train."""
        from avatar.jobs.film_web import FilmPage

        notices.say(_CONSENT)
        with FilmPage(self.options.port, _CONSENT, notices) as page:
            if page.wait_for_camera(stop):
                return _Screen(self, page.feed, notices, page.screen).run(stop)
        notices.say("the recording was quit before it began; nothing is stored")
        return Filmed(self.folder, 0, 0, True, None)

    @property
    def folder(self) -> Path:
        """The capture folder."""
        return self.out.with_name(f"{self.out.stem}.capture")

    @property
    def _training(self) -> TrainJob:
        own = self.options
        options = TrainOptions(preset=own.preset, config=own.config, overwrite=own.overwrite)
        return TrainJob((self.folder,), self.out, options)

    def _record(self, feed: Feed, notices: Notices, stop: Stop, screen: _Screen | None = None) -> Filmed:
        """Lead the person through the recording."""
        from capture.film.session import Filming
        from capture.video.split import MIN_TRAINING

        options = self.options
        written = [*Outputs.beside(self.out).reserved(False), Output(self.folder, folder=True, in_place=True)]
        inputs = (Path(self.source), options.config)
        with reserved(written, inputs, overwrite=options.overwrite):
            settings = CaptureOptions(consent=path_text(options.consent), overwrite=options.overwrite)
            filming = Filming(feed, self.folder, settings, lossless=self.pace == "all", resume=options.resume)
            if screen is not None:
                screen.filming = filming
            with stoppable(stop, _CANCEL) as stopped:
                filming.start()
                try:
                    with nullcontext() if screen is None else screen.mirrored(filming):
                        ended = _lead(filming, stopped, notices, speaks=screen is None)
                except BaseException as error:
                    filming.stop()
                    self._leave(filming, notices, failed=isinstance(error, HeadsplatError))
                    raise
            filming.stop()
            recorded = Filmed(self.folder, filming.seen, filming.kept, not ended, None)
            if ended and filming.kept < MIN_TRAINING:
                if not options.resume:
                    filming.folder.discard()
                raise HeadsplatError(
                    f"{filming.name}: {filming.kept} frames of the recording show a face well enough, at least "
                    f"{MIN_TRAINING} are needed; sit before the camera in good light and follow what is asked"
                )
            if recorded.quit:
                notices.say("the recording was quit")
                self._leave(filming, notices)
            else:
                of_all = "" if options.resume else f" of {recorded.frames}"
                notices.say(
                    f"{path_text(self.folder)}: {recorded.kept}{of_all} frames are kept, those that show the most "
                    "different poses and expressions"
                )
            return recorded

    def _leave(self, filming: Filming, notices: Notices, *, failed: bool = False) -> None:
        """Delete what a recording that was not completed has stored, unless it failed or is to be kept."""
        if filming.kept and (failed or self.options.keep or self.options.resume):
            folder = path_text(self.folder)
            notices.say(
                f"{folder}: {filming.kept} frames are kept; `headsplat train {folder} -o ...` trains from them, "
                "--resume goes on filming"
            )
        else:
            filming.folder.discard()
            notices.say("nothing of it is stored")

    def _train(self, recorded: Filmed, notices: Notices, stop: Stop) -> Filmed:
        """Complete the capture and train the avatar."""
        return replace(recorded, trained=self._training.run(notices, stop))


def _lead(filming: Filming, stopped: Event, notices: Notices, *, speaks: bool) -> bool:
    """Wait for the end of the recording; False where `stopped` ended it. `speaks`: send what the coach says."""
    last = ("", "")
    while not filming.wait(_POLL_SECONDS):
        if stopped.is_set():
            return False
        shown = filming.shown()
        if not speaks or shown is None:
            continue
        advice = shown.advice
        if (said := (advice.words, advice.warning_words)) != last:
            warning = f" ({advice.warning_words})" if advice.warning else ""
            notices.say(f"{shown.seconds:4.0f} s, {advice.share:4.0%}  {advice.words}{warning}")
            last = said
    return True


def view_of(shown: Shown, avatar: np.ndarray | None = None, avatar_number: int = 0) -> FilmView:
    """What the window shows during a recording, beside the image of an avatar."""
    from viewer.session.film_view import FilmView

    advice = shown.advice
    is_left = any(item.status == "given up" for item in advice.items) and not advice.finished
    later = "    \N{EN DASH} is asked for again at the end" if is_left else ""
    return FilmView(
        image=shown.rgb,
        number=shown.frames,
        avatar=avatar,
        avatar_number=avatar_number,
        recording=not (advice.paused or advice.finished),
        words=advice.words,
        warning=advice.warning_words,
        items=tuple((item.title, item.share, item.status) for item in advice.items),
        ring=advice.ring,
        pointing=advice.pointing,
        share=advice.share,
        note=f"{shown.seconds:.0f} s    {advice.share:.0%} shown    {shown.kept} frames kept{later}",
        keys=_KEYS.replace("pause", "go on") if advice.paused else _KEYS,
    )


def working_view(progress: Progress, image: np.ndarray | None = None) -> FilmView:
    """What the window shows after the recording: a stage of the capture or of the training."""
    from viewer.session.film_view import FilmView

    return FilmView(
        image=image,
        number=-1,
        words=f"Making your avatar: {progress.stage}",
        share=progress.fraction,
        note=progress.text,
        keys=_WORKING_KEYS,
        phase="working",
    )


def ready_view(out: Path, image: np.ndarray | None = None, avatar: np.ndarray | None = None) -> FilmView:
    """What the window shows once the avatar is stored: what it looks like, and what to do with it."""
    from viewer.session.film_view import FilmView

    name = path_text(out.name)
    return FilmView(
        image=image,
        number=-1,
        avatar=avatar,
        avatar_number=-1,
        words=f"Ready: {name}",
        share=1.0,
        note=f"it is in {path_text(out.absolute().parent)}    drive it: headsplat live {name}",
        keys="Q: close",
        phase="ready",
    )


class _Runs(Protocol):
    def run(self) -> None: ...


@dataclass
class _Screen:
    """The window or the page on the main thread, where a window has to run, and the work on a thread of its own."""

    job: _FilmJob
    feed: Feed
    notices: Notices
    shown_by: Callable[[Callable[[], FilmView], Callable[[Command], object]], _Runs]  # `FilmWindow` or the like
    filming: Filming | None = None
    mirror: AvatarMirror | None = None
    avatar: np.ndarray | None = None  # the last image of the mirror
    progress: Progress | None = None
    closed: bool = False
    quit: Event = field(default_factory=Event)  # ends the recording
    work: Future[Filmed] | None = None

    def run(self, stop: Stop) -> Filmed:
        """Show the window until it is closed or the recording is quit; returns once the work is done."""
        with stoppable(stop, _ENDING, self.quit.set) as stopped, ThreadPoolExecutor(1, "film job") as worker:
            self.work = worker.submit(self._work, stopped)
            try:
                with suppress(KeyboardInterrupt):
                    self.shown_by(self._view, self._on_command).run()
            except BaseException:
                self.quit.set()
                raise
            self.closed = True
            return self.work.result()

    def _work(self, stopped: Event) -> Filmed:
        recorded = self.job._record(self.feed, self.notices, self.quit, self)
        if recorded.quit:
            return recorded
        filmed = self.job._train(recorded, Notices(self._heard), stopped)
        if not self.closed:
            from avatar.jobs.film_preview import portrait

            self.avatar = portrait(self.job.out)
        return filmed

    @contextmanager
    def mirrored(self, filming: Filming) -> Iterator[None]:
        """Show avatars of a recording while the block runs."""
        from avatar.jobs.film_preview import AvatarMirror, FilmPreview
        from capture.workspace import growing_film

        film = growing_film(self.job.folder)
        if not self.job.options.preview or film is None:
            yield
            return
        preview = FilmPreview(film)
        preview.start()
        self.mirror = AvatarMirror(preview, filming, self.notices.say)
        try:
            yield
        finally:
            self.mirror = None
            preview.stop()

    def _heard(self, notice: Notice) -> None:
        """A notice of the capture or the training: for the window, too."""
        if isinstance(notice, Progress):
            self.progress = notice
        self.notices.notify(notice)

    def _on_command(self, command: Command) -> None:
        assert self.work is not None
        if command == "quit":
            self.closed = True
            if self.progress is None:
                self.quit.set()
        elif self.filming is not None:
            self.filming.command(command)

    def _view(self) -> FilmView:
        from viewer.session.film_view import FilmView

        assert self.work is not None
        shown = None if self.filming is None else self.filming.shown()
        is_done = self.work.done()
        if self.closed or (is_done and (self.quit.is_set() or self.work.exception() or self.work.result().quit)):
            return self._last_view(self.work)
        image = None if shown is None else shown.rgb
        if is_done:
            return ready_view(self.job.out, image, self.avatar)
        if self.progress is not None:
            return working_view(self.progress, image)
        if shown is None:
            return FilmView(words="Getting ready ...", keys=_KEYS)
        mirror = self.mirror
        self.avatar = self.avatar if mirror is None else mirror.image()
        return view_of(shown, self.avatar, 0 if mirror is None else mirror.number)

    def _last_view(self, work: Future[Filmed]) -> FilmView:
        """What the page shows when nothing more comes."""
        from viewer.session.film_view import FilmView

        error = work.exception() if work.done() else None
        view = FilmView(note=_CLOSING, over=True)
        if error is not None:
            return replace(view, words="No avatar was made", warning=str(error))
        if self.quit.is_set() and self.progress is None:
            return replace(view, words="The recording was quit")
        if self.quit.is_set() or not work.done():
            return replace(view, words="The rest is in the terminal")
        return replace(ready_view(self.job.out, None, self.avatar), over=True)
