"""The state of the window: panels read it, edits replace parts of it, the session updates the rest."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from avatar.common.latency import LatencyReport
from avatar.driving.live.samples import LiveStats
from avatar.model.avatar import Avatar
from avatar.motion.presets import FacePreset
from viewer.render.orbit import Orbit
from viewer.render.view_settings import ViewSettings
from viewer.session.mix import Mix

#: Keys of the pose sources that are part of the viewer.
SLIDERS = "sliders"
TIMELINE = "timeline"
#: Image heights to choose from, pixels.
HEIGHTS = (256, 384, 512, 720, 1024)


@dataclass(frozen=True)
class AvatarInfo:
    """The avatar that is shown."""

    name: str  # of its file
    gaussians: int
    sh_degree: int
    expressions: tuple[str, ...]  # of its head model
    limits: tuple[tuple[float, float], ...]  # of their weights

    @staticmethod
    def of(avatar: Avatar, name: str) -> AvatarInfo:
        """The record of `avatar` from the file `name`."""
        head = avatar.head
        low, high = head.expression_limits
        limits = tuple(zip(low.tolist(), high.tolist(), strict=True))
        return AvatarInfo(name, len(avatar), avatar.sh_degree, head.expression_names, limits)


@dataclass(frozen=True)
class SourceChoice:
    """A pose source that can be selected."""

    key: str
    label: str


@dataclass(frozen=True)
class CameraSettings:
    """Camera and size of the image."""

    orbit: Orbit = field(default_factory=Orbit)
    height: int = 512  # pixels
    width: int | None = None  # pixels; None: from the window's aspect ratio
    reduce_while_moving: bool = False  # half the resolution while the camera moves
    mirrored: bool = False  # in the window only; outlets get the image unmirrored
    saved: tuple[tuple[str, Orbit], ...] = ()  # name and camera


@dataclass(frozen=True)
class Sliders:
    """A face posed by hand."""

    weights: Mapping[str, float] = field(default_factory=dict)  # ARKit names; missing ones are 0
    model_weights: Mapping[str, float] = field(default_factory=dict)  # the head model's expressions, added to these
    head: tuple[float, float, float] = (0.0, 0.0, 0.0)  # degrees: yaw, pitch, roll
    gaze: tuple[float, float] = (0.0, 0.0)  # degrees of both eyes: to the person's left, up
    jaw: tuple[float, float] = (0.0, 0.0)  # degrees of the jaw joint, in addition to expressions: open, to the left
    mirrored: bool = True  # a slider also moves its counterpart on the other side
    soft_clamp: bool = False  # to the avatar's trained range
    search: str = ""
    affect: tuple[float, float] | None = None  # the point of the valence-arousal pad that the weights were set by


@dataclass(frozen=True)
class Timeline:
    """Playback of a motion."""

    name: str = ""  # of its file; empty where none is loaded
    times: tuple[float, ...] = ()  # of its frames, seconds since the first
    duration: float = 0.0  # seconds, the last frame's display included
    time: float = 0.0  # seconds since its first frame, up to the duration
    playing: bool = False
    scrubbing: bool = False  # while the bar is dragged
    loop: bool = True
    speed: float = 1.0
    notes: tuple[str, ...] = ()  # what the avatar cannot show of it

    @property
    def frame(self) -> int:
        """The frame at `time`."""
        # Plus a millionth: a time that was computed from a frame number gives that frame.
        return max(0, bisect_right(self.times, self.time + 1e-6) - 1)

    def at_frame(self, frame: int) -> Timeline:
        """This timeline at the start of a frame, the nearest one that exists."""
        return replace(self, time=self.times[min(max(frame, 0), len(self.times) - 1)])

    def advance_by(self, seconds: float) -> Timeline:
        """This timeline after `seconds` of wall-clock time."""
        if not self.playing or self.scrubbing:
            return self
        # From its end, playback restarts.
        start = self.time if self.time < self.duration else 0.0
        time = start + seconds * self.speed
        if self.loop:
            return replace(self, time=time % self.duration)
        if time >= self.duration:
            return replace(self, time=self.duration, playing=False)
        return replace(self, time=time)


@dataclass(frozen=True)
class Phrase:
    """The text that describes a face."""

    text: str = ""
    note: str = ""  # what was understood of it, or why it was not
    failed: bool = False


@dataclass(frozen=True)
class Panels:
    """What is open."""

    help: bool = False
    focus_search: bool = False  # the slider search gets the keyboard in the next frame
    camera_preview: bool = True
    phrase: Phrase = Phrase()
    preset_name: str = ""  # of the face that is saved next


@dataclass(frozen=True)
class Brush:
    """The brush that paints on the surface of the head."""

    color: tuple[float, float, float] = (0.8, 0.1, 0.15)  # display sRGB, 0..1
    radius: float = 4.0  # millimeters
    opacity: float = 1.0  # 0..1
    hardness: float = 0.8  # 0..1, part of the radius without a fall of the opacity


@dataclass(frozen=True)
class Editing:
    """Edits of the avatar; panels set the brush and whether it is active, the session the rest."""

    active: bool = False  # whether the mouse paints; else it moves the camera
    brush: Brush = Brush()
    hidden: tuple[str, ...] = ()  # layers
    layers: tuple[int, ...] = ()  # Gaussians of each layer; empty before they are known
    undo: int = 0  # edits that can be taken back
    redo: int = 0


@dataclass(frozen=True)
class Measuring:
    """The distance between two places of the head; panels set whether clicks measure, the session the rest."""

    active: bool = False  # whether a click in the image sets a place
    ends: tuple[tuple[float, float], ...] = ()  # of the line, 0..1 from the upper left of the image; up to two
    straight: float | None = None  # millimeters
    surface: float | None = None  # along the surface at the second click; None where the line leaves the skin
    sigma: float = 0.0  # relative standard deviation of the size of the head

    def to_text(self) -> str:
        """The distance; empty before there are two places."""
        if self.straight is None:
            return ""
        text = f"{self.straight:.1f} +- {self.straight * self.sigma:.1f} mm"
        return text if self.surface is None else f"{text}, {self.surface:.1f} mm along the surface"


@dataclass(frozen=True)
class UnitIntensity:
    """An action unit of a face."""

    key: str  # AU12
    name: str
    right: float  # 0..1, of the person's right side
    left: float
    sided: bool  # whether they can differ
    letter: str  # A to E of the stronger side, empty below A


@dataclass(frozen=True)
class FaceReading:
    """What the face that drives shows; panels only read it."""

    note: str = ""  # why there is no reading
    label: str = ""  # the most probable emotion, neutral or unknown; empty where there is no reading
    distribution: tuple[tuple[str, float], ...] = ()  # label, probability
    affect: tuple[float, float] = (0.0, 0.0)  # valence and arousal, -1..1
    units: tuple[UnitIntensity, ...] = ()  # those that are scored
    reasons: tuple[tuple[str, float], ...] = ()  # weight, and what it adds to the score of the label
    gaze: str = ""
    lids: str = ""
    head: str = ""  # degrees
    gesture: str = ""  # of the head, empty where there is none
    speech: float = 0.0  # 0..1
    learning: bool = False  # whether the resting face is still being learned


@dataclass(frozen=True)
class Status:
    """What the session reports; panels only read it."""

    message: str = ""  # the last one
    failed: bool = False  # whether the message is an error
    phase: str = ""  # of a live source: waiting, calibrating, driving, lost
    live: LiveStats = field(default_factory=LiveStats)  # of a live source
    gains: Mapping[str, float] = field(default_factory=dict)  # of a live source, by group
    size: tuple[int, int] = (0, 0)  # pixels of the image, width and height
    reduced: bool = False  # whether that is less than set, because the camera moves
    field_of_view: float = 30.0  # degrees, vertical
    latency: LatencyReport | None = None  # from the camera to the screen
    totals: tuple[float, ...] = ()  # milliseconds from the camera to the screen, of the newest frames
    stale: int = 0  # frames that showed an old sample
    render_fps: float = 0.0  # new images of the avatar per second
    window_fps: float = 0.0  # frames of the window per second
    outlets: Mapping[str, str] = field(default_factory=dict)  # kind -> file or device, of open outlets
    training: str = ""  # progress of a training


@dataclass(frozen=True)
class State:
    """The window."""

    avatar: AvatarInfo
    sources: tuple[SourceChoice, ...]
    source: str = SLIDERS  # key of the active pose source
    camera: CameraSettings = CameraSettings()
    view: ViewSettings = field(default_factory=ViewSettings)
    sliders: Sliders = field(default_factory=Sliders)
    presets: tuple[FacePreset, ...] = ()  # the avatar's own
    timeline: Timeline = Timeline()
    panels: Panels = Panels()
    editing: Editing = Editing()
    measuring: Measuring = Measuring()
    mix: Mix = field(default_factory=Mix)
    status: Status = field(default_factory=Status)
    reading: FaceReading = FaceReading()
