"""Saved views of the camera as files."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from avatar.common.files import atomic_path
from avatar.errors import HeadsplatError
from avatar.types import Camera
from viewer.render.orbit import Orbit

_MAX_BYTES = 1 << 16


def write_view(path: Path, orbit: Orbit, camera: Camera) -> None:
    """Write a view as a camera file, for `headsplat render --camera` and `read_view`."""
    content = {
        "K": camera.K[0].tolist(),
        "world_to_cam": camera.world_to_cam[0].tolist(),
        "width": camera.width,
        "height": camera.height,
        "orbit": asdict(orbit),
    }
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")


def read_view(path: Path) -> Orbit | None:
    """The view in a file of `write_view`; None for any other file. Raises HeadsplatError for a damaged one."""
    if path.suffix != ".json" or not path.is_file() or path.stat().st_size > _MAX_BYTES:
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
        if not all(map(math.isfinite, (*pan, yaw, pitch, distance, lens))):
            raise ValueError("a number that is not finite")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise HeadsplatError(f"{path}: the saved view is damaged ({error}); save it again") from error
    return Orbit(yaw, pitch, distance, (right, up), lens).clamp()
