"""Scene files: who is where, what each avatar does and looks at, and the cameras, in TOML."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from avatar.common.frame_rate import MAX_FPS
from avatar.common.toml_config import apply_values, read_toml
from avatar.errors import HeadsplatError

MAX_BYTES = 1 << 18
MAX_ACTORS = 8
MAX_SHOTS = 256
#: Names of `looks_at` that are no actor.
CAMERA, MOTION = "camera", "motion"
Kind = Literal["all", "front", "over-shoulder", "file"]
#: Meters, and factor of an avatar's size.
_FAR = 100.0
_SCALES = (0.05, 20.0)
#: Millimeters of the focal length on a frame 36 mm wide.
_LENSES = (10.0, 400.0)
#: Seconds: an hour.
_MAX_TIME = 3600.0


@dataclass(frozen=True)
class ActorSpec:
    """One avatar of a scene."""

    avatar: str = ""
    """its file; none: the one on the command line with this name"""
    motion: str = ""
    """a motion, capture folder or film of a face"""
    speak: str = ""
    """instead: a sound that it speaks"""
    text: str | None = None
    """the words of that sound"""
    sound: str = ""
    """a sound that is heard with the motion, such as the recording of a voice"""
    start: float = 0.0
    """seconds of the scene at which the motion or the sound starts"""
    appearance: str | None = None
    position: list[float] = field(default_factory=list)
    """of the center of the head, meters: to the right, up, to the front"""
    yaw: float | None = None
    """degrees; 0 faces the front, 90 the right of the image"""
    scale: float = 1.0
    looks_at: str | list[dict[str, Any]] | None = None
    """another actor, "camera", or "motion"; or a list of { after = seconds, at = "name" }"""

    def __post_init__(self) -> None:
        if self.position and len(self.position) != 3:
            raise ValueError(f"`position` has {len(self.position)} numbers, expected [right, up, front] in meters")
        for value in self.position:
            _in_range("position", value, -_FAR, _FAR)
        if self.yaw is not None:
            _in_range("yaw", self.yaw, -360, 360)
        _in_range("scale", self.scale, *_SCALES)
        _in_range("start", self.start, 0, _MAX_TIME)
        if self.motion and self.speak:
            raise ValueError("`motion` and `speak` exclude each other; leave one out")
        if self.text is not None and not self.text.strip():
            raise ValueError("`text` is empty; write the words, or leave it out")
        for name in ("avatar", "motion", "speak", "sound"):
            if "\0" in getattr(self, name):
                raise ValueError(f"`{name}` contains a null character; correct it")

    def looks(self, where: str) -> tuple[tuple[float, str], ...]:
        """Seconds and names of what it looks at, in the order of time; empty: not stated."""
        if self.looks_at is None:
            return ()
        if isinstance(self.looks_at, str):
            return ((0.0, self.looks_at),)
        found: list[tuple[float, str]] = []
        for span in self.looks_at:
            one = apply_values(_Look(), span, f"{where}: `looks_at`")
            if found and one.after <= found[-1][0]:
                raise HeadsplatError(
                    f"{where}: `looks_at`: after {one.after:g} is not later than {found[-1][0]:g}; sort it"
                )
            found.append((one.after, one.at))
        return tuple(found)


@dataclass(frozen=True)
class _Look:
    """A span of `looks_at`."""

    at: str = MOTION
    after: float = 0.0

    def __post_init__(self) -> None:
        _in_range("after", self.after, 0, _MAX_TIME)


@dataclass(frozen=True)
class CameraSpec:
    """A camera, or a part of it that another one changes."""

    camera: Kind = "all"
    """all: everybody; front: `of` from where it faces; over-shoulder: `of` past the shoulder of `over`; file"""
    of: str = ""
    """whom it shows"""
    over: str = ""
    """whose shoulder is in front"""
    file: str = ""
    """of camera "file": a transforms.json, or K and world_to_cam, in the space of the scene"""
    lens: float = 50.0
    """focal length in millimeters on a frame 36 mm wide: 24 is wide, 85 a portrait"""
    turn: float = 0.0
    """degrees that the camera goes around what it shows, to the right"""
    up: float = 0.0
    """degrees that it goes up"""
    zoom: float = 1.0
    """1 frames what it shows; 2: twice as large"""

    def __post_init__(self) -> None:
        _in_range("lens", self.lens, *_LENSES)
        _in_range("turn", self.turn, -180, 180)
        _in_range("up", self.up, -80, 80)
        _in_range("zoom", self.zoom, 0.1, 10)


@dataclass(frozen=True)
class Shot:
    """A camera from a time on, and where it goes until the next one."""

    start: float
    camera: CameraSpec
    to: CameraSpec | None = None


@dataclass(frozen=True)
class SceneSpec:
    """A scene as its file has it."""

    actors: Mapping[str, ActorSpec] = field(default_factory=dict)
    shots: tuple[Shot, ...] = ()
    """in the order of time; none: everybody"""
    folder: Path = Path()
    """that files are relative to"""
    background: str | None = None
    size: str | None = None
    fps: float | None = None
    duration: float | None = None
    """seconds; none: until the last motion ends"""

    def __post_init__(self) -> None:
        if self.fps is not None:
            _in_range("fps", self.fps, 1, MAX_FPS)
        if self.duration is not None:
            _in_range("duration", self.duration, 0, _MAX_TIME)
            if self.duration == 0:
                raise ValueError("`duration` is 0, expected more than 0 seconds")


def read_scene(path: Path) -> SceneSpec:
    """Read a scene file.

    Args:
        path: TOML with a table [actor.NAME] for each avatar, [camera] or [[shot]] tables, and the keys of `SceneSpec`.

    Raises:
        HeadsplatError: missing or malformed, an unknown key (with the nearest known one), a value out of range, or
            shots that are not in the order of time.
    """
    content = read_toml(path, "scene file", "check the path given to --scene", MAX_BYTES)
    values = dict(content)
    where = str(path)
    for key in ("actors", "shots", "folder"):
        if key in values:
            known = {"actors": "[actor.NAME] tables", "shots": "[[shot]] tables"}.get(key, "paths next to the file")
            raise HeadsplatError(f"{where}: unknown key `{key}`; write {known}")
    actors = _actors(values.pop("actor", {}), where)
    shots = _shots(values.pop("camera", None), values.pop("shot", None), where)
    return apply_values(SceneSpec(actors, shots, path.parent), values, where)


def _actors(tables: Any, where: str) -> dict[str, ActorSpec]:
    if not isinstance(tables, Mapping) or not all(isinstance(table, Mapping) for table in tables.values()):
        raise HeadsplatError(f"{where}: `actor` is not a group of tables; write each one as [actor.NAME]")
    result = {}
    for name, table in tables.items():
        if name in (CAMERA, MOTION):
            raise HeadsplatError(f"{where}: an actor cannot have the name {name!r}, which `looks_at` uses; rename it")
        result[name] = apply_values(ActorSpec(), table, f"{where}: actor {name}")
        result[name].looks(f"{where}: actor {name}")
    return result


def _shots(camera: Any, tables: Any, where: str) -> tuple[Shot, ...]:
    if camera is not None and tables is not None:
        raise HeadsplatError(f"{where}: `camera` and `shot` exclude each other; write the camera as the first [[shot]]")
    if camera is not None:
        if not isinstance(camera, Mapping):
            raise HeadsplatError(f"{where}: `camera` is a group of settings; write it as a table [camera]")
        tables = [camera]
    tables = [] if tables is None else tables
    if not isinstance(tables, list) or not all(isinstance(table, Mapping) for table in tables):
        raise HeadsplatError(f"{where}: `shot` is not a list of tables; write each one as [[shot]]")
    if len(tables) > MAX_SHOTS:
        raise HeadsplatError(f"{where}: {len(tables)} shots, at most {MAX_SHOTS} are possible; make two scenes")
    shots: list[Shot] = []
    for number, table in enumerate(tables, 1):
        shot = _shot(dict(table), f"{where}: shot {number}" if camera is None else f"{where}: camera")
        if shots and shot.start <= shots[-1].start:
            raise HeadsplatError(
                f"{where}: shot {number} starts at {shot.start:g} s, not after the one before; sort them"
            )
        shots.append(shot)
    if shots and shots[0].start > 0:
        shots.insert(0, Shot(0.0, CameraSpec()))
    return tuple(shots)


def _shot(values: dict[str, Any], where: str) -> Shot:
    start = values.pop("start", 0.0)
    if isinstance(start, bool) or not isinstance(start, (int, float)) or not 0 <= start <= _MAX_TIME:
        raise HeadsplatError(f"{where}: `start` is {start!r:.40}, expected seconds from 0 on")
    to = values.pop("to", None)
    camera = _camera(CameraSpec(), values, where)
    if to is None:
        return Shot(float(start), camera)
    if not isinstance(to, Mapping):
        raise HeadsplatError(f"{where}: `to` is a group of settings; write to = {{ zoom = 1.5 }}")
    return Shot(float(start), camera, _camera(camera, to, f"{where}: `to`"))


def _camera(base: CameraSpec, values: Mapping[str, Any], where: str) -> CameraSpec:
    camera = apply_values(base, values, where)
    if camera.camera == "file":
        if not camera.file or "\0" in camera.file:
            raise HeadsplatError(f'{where}: camera "file" needs a JSON file; give file = "camera.json"')
    elif camera.file:
        raise HeadsplatError(f'{where}: `file` goes with camera = "file"; add it, or leave the file out')
    if camera.camera == "over-shoulder" and camera.of and camera.of == camera.over:
        raise HeadsplatError(f"{where}: `of` and `over` are the same actor; name two")
    return camera


def checked_names(spec: SceneSpec, names: Sequence[str], where: str) -> SceneSpec:
    """The scene where every name is one of the actors `names`.

    Raises:
        HeadsplatError: a table, a `looks_at` or a camera names somebody else.
    """
    known = ", ".join(names)
    for name in spec.actors:
        if name not in names:
            raise HeadsplatError(f"{where}: actor {name}: no avatar has this name; the avatars are {known}")
    for name, actor in spec.actors.items():
        for _, at in actor.looks(f"{where}: actor {name}"):
            if at == name or at not in (*names, CAMERA, MOTION):
                others = ", ".join([other for other in names if other != name] + [CAMERA, MOTION])
                raise HeadsplatError(f"{where}: actor {name}: `looks_at` is {at!r:.60}, expected one of {others}")
    for number, shot in enumerate(spec.shots, 1):
        for camera in (shot.camera, shot.to):
            for key in ("of", "over"):
                name = "" if camera is None else getattr(camera, key)
                if name and name not in names:
                    raise HeadsplatError(f"{where}: shot {number}: `{key}` is {name!r:.60}, expected one of {known}")
    return spec


def _in_range(name: str, value: float, low: float, high: float) -> None:
    if not (math.isfinite(value) and low <= value <= high):
        raise ValueError(f"`{name}` is {value:g}, expected {low:g} to {high:g}")
