"""Files that are opened in the window: avatars, motions, saved views."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avatar.common.files import atomic_path
from avatar.driving.motion_source import load_motion_source
from avatar.errors import HeadsplatError
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import load_avatar
from avatar.types import Camera, Motion
from viewer.render.orbit import Orbit
from viewer.session.pose_sources import Player

if TYPE_CHECKING:
    from viewer.session.session import Session

#: What is done with a file once it is read.
Opened = Callable[["Session"], None]


def open_any(path: Path, avatar: Avatar) -> Opened:
    """Read an avatar, a motion for `avatar`, or a saved view; raises HeadsplatError."""
    if path.suffix == ".avatar":
        loaded = load_avatar(path)
        return lambda session: session.replace_avatar(loaded, path.name)
    if (view := read_view(path)) is not None:
        orbit = view
        return lambda session: session.look_from(path.stem, orbit)
    player = Player(avatar, _motion(path))
    return lambda session: session.show_motion(player, path.name)


def _motion(path: Path) -> Motion:
    """The motion of an expression file or of a capture folder."""
    return load_motion_source(path).motion


def write_view(path: Path, orbit: Orbit, camera: Camera) -> None:
    """Keep a view as a camera file, which `headsplat render --camera` reads, and which can be opened here again."""
    content = {
        "K": camera.K[0].tolist(),
        "world_to_cam": camera.world_to_cam[0].tolist(),
        "width": camera.width,
        "height": camera.height,
        "orbit": asdict(orbit),
    }
    with atomic_path(path) as part:
        part.write_text(json.dumps(content, indent=1), encoding="utf-8")


def read_view(path: Path) -> Orbit | None:
    """The view in a file of `write_view`, or None where it is something else; raises HeadsplatError."""
    if path.suffix != ".json" or not path.is_file() or path.stat().st_size > 1 << 16:
        return None
    try:
        stored: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(stored, dict) or not isinstance(stored.get("orbit"), dict):
        return None
    try:
        orbit = replace(Orbit(), **{field.name: stored["orbit"][field.name] for field in fields(Orbit)})
        pan = tuple(float(value) for value in orbit.pan)
        numbers = (orbit.yaw, orbit.pitch, orbit.distance, orbit.lens)
        yaw, pitch, distance, lens = (float(value) for value in numbers)
        right, up = pan
    except (KeyError, TypeError, ValueError) as error:
        raise HeadsplatError(f"{path}: a saved view that is damaged ({error}); save it anew") from error
    return Orbit(yaw, pitch, distance, (right, up), lens).within()
