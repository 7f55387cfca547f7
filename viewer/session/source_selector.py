"""The pose sources of a session, the active one, and the blend from one to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from avatar.driving.interpolation import interpolate_params, smoothstep
from avatar.driving.live.samples import AvatarPose
from avatar.errors import HeadsplatError
from avatar.model.avatar import Avatar
from avatar.types import HeadParams
from viewer.session.pose_sources import (
    AvatarPoseSource,
    LivePoseSource,
    LiveSourceChoice,
    MotionPoseSource,
    SliderPoseSource,
)
from viewer.session.state import SLIDERS, TIMELINE, SourceChoice, State

# seconds
_BLEND_SECONDS = 0.25  # from one source's pose to the next one's
_EASE_SECONDS = 0.2  # to a face that a button or a key shows


@dataclass(frozen=True, eq=False)
class _Starting:
    """A live source that is being started on the worker thread."""

    key: str
    source: AvatarPoseSource
    done: Future[None]


class SourceSelector:
    """Sliders, a motion and live sources, of which one is active."""

    def __init__(
        self,
        avatar: Avatar,
        live: Iterable[LiveSourceChoice],
        worker: ThreadPoolExecutor,
        clock: Callable[[], float],
    ) -> None:
        """
        Args:
            avatar: of the poses.
            live: sources that can be selected; none is opened before.
            worker: thread that live sources are started on.
            clock: returns seconds.
        """
        self._avatar = avatar
        self._worker = worker
        self._clock = clock
        self._live = {choice.key: choice for choice in live}
        self._sources: dict[str, AvatarPoseSource] = {SLIDERS: SliderPoseSource(avatar)}
        self._motion_label = ""
        self._starting: _Starting | None = None
        self._blend: tuple[HeadParams, float, float] | None = None  # from these parameters, since a time, in seconds
        self.last_params: HeadParams | None = None  # of the last pose
        self.key = SLIDERS  # of the active source

    @property
    def active(self) -> AvatarPoseSource:
        """The source whose poses are rendered."""
        return self._sources[self.key]

    @property
    def live(self) -> LivePoseSource | None:
        """The active source where it is live."""
        source = self.active
        return source if isinstance(source, LivePoseSource) else None

    def choices(self) -> tuple[SourceChoice, ...]:
        """All sources that can be selected."""
        offline = [SourceChoice(SLIDERS, "sliders")]
        if TIMELINE in self._sources:
            offline.append(SourceChoice(TIMELINE, self._motion_label))
        return (*offline, *(SourceChoice(choice.key, choice.label) for choice in self._live.values()))

    def set_motion(self, source: MotionPoseSource, label: str) -> None:
        """Make a motion selectable, in place of the one before."""
        self._sources[TIMELINE] = source
        self._motion_label = label

    def select(self, key: str) -> bool:
        """Start a source and make it active, and return whether it was another one before.

        Raises:
            HeadsplatError: it cannot be started; the active one stays.
        """
        if key == self.key:
            return False
        source = self._source_of(key)
        source.start()
        self._activate(key, source)
        return True

    def start_live(self, key: str) -> str:
        """Start a live source on the worker thread, since a camera takes seconds; returns its label.

        Raises:
            HeadsplatError: another one is being started.
        """
        if self._starting is not None:
            raise HeadsplatError("another source is being started; select it again when that is done")
        if key == self.key:  # it has ended, or is to be restarted
            self.active.stop()
        source = self._source_of(key)
        self._starting = _Starting(key, source, self._worker.submit(source.start))
        return self._live[key].label

    def is_live(self, key: str) -> bool:
        """Whether the source `key` is a live one."""
        return key in self._live

    def finish_start(self) -> bool:
        """Activate a live source that has been started, and return whether there was one.

        Raises:
            HeadsplatError: it could not be started; the active one stays.
        """
        if self._starting is None or not self._starting.done.done():
            return False
        starting = self._starting
        self._starting = None
        starting.done.result()
        self._activate(starting.key, starting.source)
        return True

    def sources_for(self, avatar: Avatar) -> dict[str, AvatarPoseSource]:
        """Sliders and the loaded motion for another avatar, for `replace_avatar`.

        Raises:
            HeadsplatError: the motion cannot be retargeted.
        """
        sources: dict[str, AvatarPoseSource] = {SLIDERS: SliderPoseSource(avatar)}
        motion = self._sources.get(TIMELINE)
        if isinstance(motion, MotionPoseSource):
            sources[TIMELINE] = motion.for_avatar(avatar)
        return sources

    def replace_avatar(self, avatar: Avatar, sources: dict[str, AvatarPoseSource]) -> None:
        """Change to another avatar with sources from `sources_for`; the sliders become active."""
        self.active.stop()
        self._avatar = avatar
        self._sources = sources
        self.key = SLIDERS
        self._blend = self.last_params = None

    def update_avatar(self, avatar: Avatar) -> None:
        """Use `avatar`, a newer snapshot of the same one, for live sources that are started from now on."""
        self._avatar = avatar

    def pose(self, state: State, now: float) -> AvatarPose:
        """The active source's pose, after a change of the source blended from the one before."""
        pose = self.active.pose(state)
        if self._blend is not None:
            params, since, seconds = self._blend
            fraction = (now - since) / seconds
            if fraction >= 1:
                self._blend = None
            pose = replace(pose, params=interpolate_params(params, pose.params, smoothstep(fraction)))
        self.last_params = pose.params
        return pose

    def ease(self) -> None:
        """Blend from the pose that is shown now to that of the active source, instead of a jump of its pose."""
        if self.last_params is not None:
            self._blend = self.last_params, self._clock(), _EASE_SECONDS

    def stop(self) -> None:
        """Stop the active source."""
        self.active.stop()

    def cancel_start(self) -> None:
        """Stop a source that was being started; after the worker thread was shut down."""
        if self._starting is not None:
            self._starting.source.stop()

    def _source_of(self, key: str) -> AvatarPoseSource:
        """The source `key`; a live one is created each time, since the one before may be active until it is started.

        A new live source gets the gains of the one before.
        """
        if key not in self._live:
            return self._sources[key]
        source = LivePoseSource(self._live[key].make(self._avatar))
        before = self._sources.get(key)
        if isinstance(before, LivePoseSource):
            source.pipeline.gains.update(before.pipeline.gains)
        return source

    def _activate(self, key: str, source: AvatarPoseSource) -> None:
        """Make a started source active, and stop the one before."""
        before = self.active
        self._sources[key] = source
        if source is not before:
            before.stop()
        if self.last_params is not None:
            self._blend = self.last_params, self._clock(), _BLEND_SECONDS
        self.key = key
