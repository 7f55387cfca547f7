"""What happens between the panels' edits and the picture: no window here, so it runs and is tested without one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avatar.driving.interpolation import interpolate_params, smoothstep
from avatar.errors import HeadsplatError
from avatar.model.avatar import Avatar
from avatar.types import Camera, HeadParams
from viewer.outputs.outlets import Moment, Outlets
from viewer.render.orbit import Orbit, field_of_view
from viewer.render.preview import preview
from viewer.render.renderer import Engine
from viewer.session.actions import ACTIONS
from viewer.session.edits import Do, Edit
from viewer.session.opening import Opened, open_any
from viewer.session.pose_sources import LivePerformer, LiveSource, Performer, Player, Pose, Puppet, same
from viewer.session.state import SLIDERS, TIMELINE, Choice, State, Subject, Timeline
from viewer.session.training_view import Watch
from viewer.stats.counters import STALE, Counters
from viewer.stats.report import RunReport

#: Seconds: from one performer's pose to the next one's; between two looks at the counters; that a camera still counts
#: as moving.
_EASE, _STATUS_PERIOD, _SETTLED = 0.25, 0.25, 0.2
_PREVIEW_PERIOD = 1 / 15  # seconds from one small picture of the driver's camera to the next
_TOTALS = 300  # pictures whose latency is plotted


@dataclass(frozen=True)
class LiveChoice:
    """A live input that may drive."""

    key: str
    label: str
    make: Callable[[Avatar], LiveSource]


class Session:
    """One avatar, those who may drive it, and what the window asks for."""

    def __init__(
        self,
        avatar: Avatar,
        name: str,
        live: Iterable[LiveChoice] = (),
        outlets: Outlets | None = None,
        folder: Path = Path(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            avatar: whom to show.
            name: of its file.
            live: inputs, none of which is opened before it is chosen.
            outlets: where pictures and takes go.
            folder: where screenshots and saved views are written.
            clock: seconds, what latencies are measured with.
        """
        self._live = {choice.key: choice for choice in live}
        self.outlets = outlets or Outlets()
        self._clock, self.folder = clock, folder
        self.counters = Counters(clock)
        #: pixels of the window that the picture may fill; None: not known yet, and nothing is drawn
        self.viewport: tuple[int, int] | None = (512, 512)
        self.picture: np.ndarray | None = None  # uint8 [H,W,3], what is shown
        self.picture_number = 0  # counts pictures
        self.preview: np.ndarray | None = None  # uint8 [H,W,3], the driver's camera
        self.preview_number = 0
        self.closing = False
        self.watch: Watch | None = None  # on a training that makes the avatar grow
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="open")
        self._opening: Future[Opened] | None = None
        self._starting: tuple[str, Performer, Future[None]] | None = None
        self._before = self._status_at = self._moved_at = self._preview_at = -np.inf
        self._looked: np.ndarray | None = None  # the camera's picture that the preview shows
        self._drawn: Any = None  # what the picture was drawn from
        self._motion_label = ""
        self._shown: HeadParams | None = None
        self._from: tuple[HeadParams, float] | None = None
        self.avatar = avatar
        self.engine = self._framing = Engine(avatar)
        self._performers: dict[str, Performer] = {SLIDERS: Puppet(avatar)}
        self.state = State(Subject.of(avatar, name), self._choices())

    # What the window calls, in this order, for every frame.

    def apply(self, edits: Iterable[Edit]) -> None:
        """Do what the panels ask for; what cannot be done is said in the status."""
        for edit in edits:
            try:
                self._apply(edit)
            except HeadsplatError as error:
                self.tell(str(error), failed=True)

    def advance(self) -> bool:
        """Bring the picture up to now; returns whether it is a new one."""
        now = self._clock()
        self._finish_opening()
        self._finish_starting()
        if self.watch is not None:
            self.watch.look(self, now)
        self._play(now)
        self._before = now
        if self.viewport is None:
            return False
        # A frame makes hundreds of small tensors; in this mode each costs less. A training shares the head.
        with torch.inference_mode(self.watch is None), torch.no_grad():
            pose = self._pose(now)
            changed = self._draw(pose, now)
        self.outlets.hold(now)
        self._preview(now)
        if now - self._status_at > _STATUS_PERIOD:
            self._status_at = now
            self._report(pose)
        return changed

    def close(self) -> None:
        """Stop whatever runs; finishes what is being written."""
        self.performer.stop()
        self._worker.shutdown(cancel_futures=True)
        if self._starting is not None:
            self._starting[1].stop()
        self.outlets.close()

    def report(self) -> RunReport:
        """What the run came to."""
        counters = self.counters
        return RunReport(
            avatar=self.state.subject.name,
            gaussians=self.state.subject.gaussians,
            size=self.size(self._clock()),
            driven_by=next(choice.label for choice in self.state.choices if choice.key == self.state.driving),
            seconds=0.0 if counters.began is None else self._clock() - counters.began,
            pictures=self.picture_number,
            window_frames=counters.window.count,
            latency=counters.meter.report(),
            stale=counters.stale,
            stale_after=STALE,
            memory=counters.memory,
            source=self.performer.stats(),
        )

    # Everything else.

    @property
    def performer(self) -> Performer:
        """Who drives."""
        return self._performers[self.state.driving]

    def tell(self, message: str, failed: bool = False) -> None:
        """Show a sentence."""
        self._status(message=message, failed=failed)

    def redraw(self) -> None:
        """Draw the picture anew, though nothing has changed."""
        self._drawn = None

    def replace_avatar(self, avatar: Avatar, name: str) -> None:
        """Show another avatar; camera, look and sliders stay, a motion that is loaded is retold for it.

        Raises:
            HeadsplatError: that motion cannot be; the avatar before stays.
        """
        self._take_over(avatar, name)

    def show_grown(self, avatar: Avatar) -> None:
        """Show a later state of the same avatar; the camera stays, and who drives, for whom hardly anything changes."""
        self.avatar, self.engine, self._drawn = avatar, Engine(avatar), None

    def show_motion(self, player: Player, name: str, label: str = "motion file") -> None:
        """Play a motion from its beginning."""
        self._performers[TIMELINE], self._motion_label = player, label
        timeline = self.state.timeline
        timeline = Timeline(
            name, player.times, player.duration, playing=True, loop=timeline.loop, speed=timeline.speed,
            notes=player.notes,
        )  # fmt: skip
        self.state = replace(self.state, timeline=timeline, choices=self._choices())
        self.drive(TIMELINE)

    def drive(self, key: str) -> None:
        """Let another one drive; raises HeadsplatError where it cannot begin, and then the one before goes on."""
        if key == self.state.driving:
            return
        performer = self._performer_of(key)
        performer.start()
        self._hand_over(key, performer)

    def _performer_of(self, key: str) -> Performer:
        """A live one is made anew each time, with the gains it had: the one before may still be asked for its pose."""
        known = self._performers.get(key)
        if key not in self._live:
            return self._performers[key]
        made = LivePerformer(self._live[key].make(self.avatar))
        if isinstance(known, LivePerformer):
            made.source.gains.update(known.source.gains)
        return made

    def _hand_over(self, key: str, performer: Performer) -> None:
        """Let `performer`, which has been started, drive; the one before is stopped."""
        before = self.performer
        self._performers[key] = performer
        if performer is not before:
            before.stop()
        self.counters.forget_driver()
        if self._shown is not None:
            self._from = self._shown, self._clock()
        self.state = replace(self.state, driving=key)

    def _start(self, key: str) -> None:
        """As `drive`, but a live one is started beside the window: a camera takes seconds."""
        if key not in self._live:
            self.drive(key)
            return
        if self._starting is not None:
            raise HeadsplatError("another source is being started; choose again in a moment")
        if key == self.state.driving:  # it has ended, or is to begin anew
            self.performer.stop()
        performer = self._performer_of(key)
        label = self._live[key].label
        self.tell(f"{label}: starting ...")
        self._starting = key, performer, self._worker.submit(performer.start)

    def _finish_starting(self) -> None:
        if self._starting is None or not self._starting[2].done():
            return
        (key, performer, started), self._starting = self._starting, None
        try:
            started.result()
        except HeadsplatError as error:
            self.tell(str(error), failed=True)
            return
        self.tell("")
        self._hand_over(key, performer)

    def _take_over(self, avatar: Avatar, name: str) -> None:
        """Make everything that depends on the avatar; all of it before any of it serves."""
        engine = Engine(avatar)
        performers: dict[str, Performer] = {SLIDERS: Puppet(avatar)}
        motion, driving, timeline = self._performers.get(TIMELINE), self.state.driving, self.state.timeline
        if isinstance(motion, Player):
            retold = motion.retold(avatar)
            performers[TIMELINE], timeline = retold, replace(timeline, notes=retold.notes)
        self.performer.stop()
        self.avatar, self.engine, self._performers = avatar, engine, performers
        self._framing = engine  # says where the camera stands; an avatar that grows does not move it
        self._shown = self._from = self._drawn = None
        self.state = replace(
            self.state, subject=Subject.of(avatar, name), timeline=timeline, driving=SLIDERS, choices=self._choices()
        )
        if driving in performers:
            self.drive(driving)
        elif driving in self._live:
            self._start(driving)

    def _choices(self) -> tuple[Choice, ...]:
        own = [Choice(SLIDERS, "sliders")]
        if TIMELINE in self._performers:
            own.append(Choice(TIMELINE, self._motion_label))
        return (*own, *(Choice(choice.key, choice.label) for choice in self._live.values()))

    def _apply(self, edit: Edit) -> None:
        if isinstance(edit, Do):
            self._do(edit)
            return
        if edit.part == "driving":
            if edit.value != self.state.driving:
                self._start(edit.value)
            return
        if edit.part == "view" and edit.value.orbit != self.state.view.orbit:
            self._moved_at = self._clock()
        self.state = replace(self.state, **{edit.part: edit.value})

    def _do(self, edit: Do) -> None:
        if edit.action == "open":
            self._open(edit.argument)
        elif edit.action == "again":
            self._start(self.state.driving)
        else:
            ACTIONS[edit.action](self, edit.argument)

    def look_from(self, name: str, orbit: Orbit) -> None:
        """Move the camera to a saved view and list it."""
        view = self.state.view
        saved = tuple(row for row in view.saved if row[0] != name)
        self.state = replace(self.state, view=replace(view, orbit=orbit, saved=(*saved, (name, orbit))))

    def _open(self, path: str) -> None:
        if self._opening is not None:
            raise HeadsplatError(f"{path}: another file is being opened; drop it again in a moment")
        self.tell(f"opening {Path(path).name} ...")
        self._opening = self._worker.submit(open_any, Path(path), self.avatar)

    def _finish_opening(self) -> None:
        if self._opening is None or not self._opening.done():
            return
        done, self._opening = self._opening, None
        try:
            done.result()(self)
        except HeadsplatError as error:
            self.tell(str(error), failed=True)

    def _play(self, now: float) -> None:
        timeline = self.state.timeline
        running = timeline.playing and not timeline.held
        if self.state.driving != TIMELINE or not running or not np.isfinite(self._before):
            return
        # Played on from its end it starts over.
        begun = timeline.time if timeline.time < timeline.duration else 0.0
        reached = begun + (now - self._before) * timeline.speed
        if timeline.loop:
            reached %= timeline.duration
        elif reached >= timeline.duration:
            reached, timeline = timeline.duration, replace(timeline, playing=False)
        self.state = replace(self.state, timeline=replace(timeline, time=reached))

    def _pose(self, now: float) -> Pose:
        pose = self.performer.pose(self.state)
        if self._from is not None:
            first, since = self._from
            share = (now - since) / _EASE
            if share >= 1:
                self._from = None
            pose = replace(pose, params=interpolate_params(first, pose.params, smoothstep(share)))
        self._shown = pose.params
        return pose

    def size(self, now: float) -> tuple[int, int]:
        """Pixels of the picture at `now` seconds, width and height."""
        view = self.state.view
        width, height = view.width, view.height
        if width is None:
            across, high = self.viewport or (1, 1)
            width = 16 * round(height * min(max(across / max(high, 1), 0.5), 2.0) / 16)
        if self._drops(now):
            width, height = max(width // 2, 1), max(height // 2, 1)
        return width, height

    def _drops(self, now: float) -> bool:
        return self.state.view.drop_while_moving and now - self._moved_at < _SETTLED

    def camera(self, width: int, height: int) -> Camera:
        """The camera [1] of a picture of that size."""
        return self.state.view.orbit.camera(self._framing.front(width, height), self._framing.center)

    def _draw(self, pose: Pose, now: float) -> bool:
        """Draw the picture if anything has changed."""
        look, size, orbit = self.state.look, self.size(now), self.state.view.orbit
        asked = look, size, orbit
        resting = self.watch is not None and self.state.driving == TIMELINE and self.watch.rests(now)
        if self._drawn is not None and self._drawn[0] == asked and (resting or same(self._drawn[1], pose.params)):
            return False
        if self.watch is not None:
            self.watch.drawing(now)
        self._drawn = asked, pose.params
        self.picture = self.engine.render(pose.params, self.camera(*size), look)
        self.picture_number += 1
        self.counters.drawn(pose.stamps if pose.fresh else None)
        self._send(pose)
        return True

    def _preview(self, now: float) -> None:
        """The driver's camera, if it is to be seen."""
        performer = self.performer
        if not isinstance(performer, LivePerformer):
            self.preview = None
            return
        if now - self._preview_at < _PREVIEW_PERIOD or not self.state.panels.camera_picture:
            return
        self._preview_at = now
        look = performer.source.look()
        if look is not None and look[0] is not self._looked:
            self._looked, self.preview = look[0], preview(*look)
            self.preview_number += 1

    def _send(self, pose: Pose) -> None:
        assert self.picture is not None
        try:
            self.outlets.add(Moment(self._clock(), self.avatar, pose, self.picture))
        except HeadsplatError as error:
            self.tell(str(error), failed=True)

    def _report(self, pose: Pose) -> None:
        now = self._clock()
        size = self.size(now)
        counters = self.counters
        counters.look_at_memory()
        self._status(
            phase=pose.phase,
            source=self.performer.stats(),
            size=size,
            dropped=self._drops(now),
            window=counters.meter.report(_TOTALS),
            totals=counters.meter.totals(_TOTALS),
            stale=counters.stale,
            pictures_rate=counters.pictures.of(now),
            window_rate=counters.window.of(now),
            field_of_view=field_of_view(self.camera(*size)),
            outlets=dict(self.outlets.names),
            growing="" if self.watch is None else self.watch.words,
            gains=dict(self.performer.source.gains) if isinstance(self.performer, LivePerformer) else {},
        )

    def _status(self, **parts: Any) -> None:
        self.state = replace(self.state, status=replace(self.state.status, **parts))
