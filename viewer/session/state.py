"""Everything the window shows: panels read it, edits replace parts of it, the session fills in the rest."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from avatar.common.latency import LatencyReport
from avatar.model.avatar import Avatar
from viewer.render.orbit import Orbit
from viewer.render.view_settings import Look

#: Who drives, where it is the viewer itself.
SLIDERS, TIMELINE = "sliders", "timeline"
#: Heights of pictures that are offered, pixels.
HEIGHTS = (256, 384, 512, 720, 1024)


@dataclass(frozen=True)
class Subject:
    """The avatar that is shown."""

    name: str  # of its file
    gaussians: int
    sh_degree: int
    expressions: tuple[str, ...]  # of its own head model
    limits: tuple[tuple[float, float], ...]  # of their weights

    @staticmethod
    def of(avatar: Avatar, name: str) -> Subject:
        """What panels need to know of `avatar` from the file `name`."""
        head = avatar.head
        low, high = head.expression_limits
        limits = tuple(zip(low.tolist(), high.tolist(), strict=True))
        return Subject(name, len(avatar), avatar.sh_degree, head.expression_names, limits)


@dataclass(frozen=True)
class Choice:
    """One that may drive."""

    key: str
    label: str


@dataclass(frozen=True)
class View:
    """From where the head is seen, in how many pixels."""

    orbit: Orbit = field(default_factory=Orbit)
    height: int = 512  # pixels
    width: int | None = None  # pixels; None: as wide as the window's shape asks for
    drop_while_moving: bool = False  # half the height while the camera moves
    mirrored: bool = False  # in the window, as people know themselves; what is recorded is not
    saved: tuple[tuple[str, Orbit], ...] = ()  # name and camera


@dataclass(frozen=True)
class Sliders:
    """A face set by hand."""

    weights: Mapping[str, float] = field(default_factory=dict)  # ARKit's names; those that are missing are 0
    raw: Mapping[str, float] = field(default_factory=dict)  # the head model's own, added on top
    head: tuple[float, float, float] = (0.0, 0.0, 0.0)  # degrees: yaw, pitch, roll
    gaze: tuple[float, float] = (0.0, 0.0)  # degrees of both eyes: to the person's left, up
    jaw: tuple[float, float] = (0.0, 0.0)  # degrees of the jaw's joint beyond the expressions: open, to the left
    mirrored: bool = True  # a left one moves its right twin and the other way round
    soft_clamp: bool = False  # kept within what the avatar was trained on
    search: str = ""


@dataclass(frozen=True)
class Timeline:
    """A motion that is played."""

    name: str = ""  # of its file; none is loaded while it is empty
    times: tuple[float, ...] = ()  # of its frames, seconds since the first
    duration: float = 0.0  # seconds until the last frame has been shown as long as the others
    time: float = 0.0  # seconds since its first frame, up to the duration
    playing: bool = False
    held: bool = False  # for as long as it is being scrubbed
    loop: bool = True
    speed: float = 1.0
    notes: tuple[str, ...] = ()  # what the avatar could not show of it

    @property
    def frame(self) -> int:
        """The last frame that has come."""
        # A millionth: a time that was computed from a frame's number finds that frame.
        return max(0, bisect_right(self.times, self.time + 1e-6) - 1)

    def at(self, frame: int) -> Timeline:
        """This one at the moment when a frame comes, of those there are."""
        return replace(self, time=self.times[min(max(frame, 0), len(self.times) - 1)])


@dataclass(frozen=True)
class Panels:
    """What is open."""

    help: bool = False
    find: bool = False  # the field that finds sliders gets the keyboard next
    camera_picture: bool = True


@dataclass(frozen=True)
class Status:
    """What the session reports; panels only read it."""

    message: str = ""  # the last thing worth a sentence
    failed: bool = False  # whether it tells of a failure
    phase: str = ""  # of a live driver: waiting, calibrating, driving, lost
    source: Mapping[str, Any] = field(default_factory=dict)  # facts of the performer
    gains: Mapping[str, float] = field(default_factory=dict)  # of a live driver, by group
    size: tuple[int, int] = (0, 0)  # pixels of the picture that is shown
    dropped: bool = False  # whether that is fewer than asked, since the camera moves
    field_of_view: float = 30.0  # degrees, vertical
    window: LatencyReport | None = None  # from the camera to the screen
    totals: tuple[float, ...] = ()  # milliseconds from the camera to the screen, of the newest pictures
    stale: int = 0  # pictures that showed something old
    pictures_rate: float = 0.0  # new pictures of the avatar a second
    window_rate: float = 0.0  # frames of the window a second
    outlets: Mapping[str, str] = field(default_factory=dict)  # kind -> file or device, of those that run
    growing: str = ""  # how far a training is


@dataclass(frozen=True)
class State:
    """The window."""

    subject: Subject
    choices: tuple[Choice, ...]
    driving: str = SLIDERS  # key of a choice
    view: View = View()
    look: Look = field(default_factory=Look)
    sliders: Sliders = field(default_factory=Sliders)
    timeline: Timeline = Timeline()
    panels: Panels = Panels()
    status: Status = field(default_factory=Status)
