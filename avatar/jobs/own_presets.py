"""Faces for own presets: weights by hand, a frame of a motion, or a photo."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from avatar.common.files import path_text
from avatar.errors import HeadsplatError
from avatar.head.arkit import ARKIT_52
from avatar.jobs.motion_sources import loaders
from avatar.jobs.notices import SILENT, Notices
from avatar.motion.presets import FacePreset

if TYPE_CHECKING:
    from avatar.performance.mixing.sources import Source

#: Smaller weights are noise of a tracker.
_LEAST = 0.005


def preset_of_weights(
    name: str, weights: Mapping[str, float], consent: str = "", *, avatar: Path | None = None
) -> FacePreset:
    """A preset of weights by expression: ARKit's, or those of the head of `avatar`.

    Raises:
        HeadsplatError: another expression, or a value out of range.
    """
    known = ARKIT_52
    if avatar is not None and set(weights) - set(ARKIT_52):
        from avatar.model.avatar_header import read_header

        known = tuple(dict.fromkeys((*ARKIT_52, *read_header(avatar).get("expression_names", ()))))
    for expression in weights:
        if expression not in known:
            near = difflib.get_close_matches(expression, known, n=1)
            hint = f"did you mean {near[0]}?" if near else "give ARKit's names, or those of the avatar's head"
            raise HeadsplatError(f"no expression {expression!r:.60}; {hint}")
    return _checked(name, weights, source="weights by hand", consent=consent)


def preset_of_units(name: str, units: Mapping[str, float], consent: str = "", where: str = "units") -> FacePreset:
    """A preset of action units by name, `AU12` or `AU12R`; it keeps them beside their weights.

    Raises:
        HeadsplatError: another unit, or a value out of range; it names `where`.
    """
    from avatar.performance.facs.named_units import weights_of
    from avatar.performance.facs.table import FacsTable

    weights = weights_of(units, FacsTable.load(), where)
    return replace(_checked(name, weights, source="action units by hand", consent=consent), units=dict(units))


def preset_of_frame(
    name: str, motion: Path, frame: int, consent: str = "", *, with_head: bool = False, notices: Notices = SILENT
) -> FacePreset:
    """A preset of a frame of a motion, from the resting face of who was recorded, as the layer of a mix shows it.

    Args:
        name: of the preset.
        motion: an expression file or a capture folder.
        frame: its number, from 0.
        consent: a note on the consent of the person in it.
        with_head: whether it also turns the head.
        notices: of the job.

    Raises:
        HeadsplatError: the motion cannot be read, or has no such frame, or no face in it.
    """
    source = _loaded("motion", motion, frame, notices)
    head = _head(source) if with_head else (0.0, 0.0, 0.0)
    return _checked(name, _weights(source), head, f"frame {frame} of {path_text(motion.name)}", consent)


def preset_of_photo(name: str, photo: Path, consent: str = "", *, notices: Notices = SILENT) -> FacePreset:
    """A preset of the face in a photo, tracked as for `headsplat capture`.

    Args:
        name: of the preset.
        photo: with one face.
        consent: a note on the consent of the person in it.
        notices: of the job.

    Raises:
        HeadsplatError: it cannot be read, or shows no face.
    """
    source = _loaded("photo", photo, None, notices)
    return _checked(name, _weights(source), source=f"the photo {path_text(photo.name)}", consent=consent)


def _checked(
    name: str,
    weights: Mapping[str, float],
    head: tuple[float, float, float] = (0.0, 0.0, 0.0),
    source: str = "",
    consent: str = "",
) -> FacePreset:
    try:
        return FacePreset(name, weights, head, source=source, consent=consent)
    except ValueError as error:
        raise HeadsplatError(f"preset: {error}") from error


def _loaded(wanted: Literal["motion", "photo"], path: Path, frame: int | None, notices: Notices) -> Source:
    from avatar.performance.mixing.sources import kind_of, load_source
    from avatar.performance.mixing.stack_file import LayerSpec

    if not path.exists():
        raise HeadsplatError(f"{path}: no such file; check its path")
    layer = LayerSpec(str(path), name=path.name, frame=frame)
    kind = kind_of(layer, path)
    if kind != wanted:
        advice = {"motion": "an expression file or a capture folder", "photo": "an image with a face"}[wanted]
        raise HeadsplatError(f"{path}: not a {wanted}; give {advice}")
    return load_source(layer, kind, path, loaders(notices), 0)


def _weights(source: Source) -> dict[str, float]:
    motion = source.motion
    row = motion.weights[0].clamp(0, 1).tolist()
    found = {name: round(weight, 4) for name, weight in zip(motion.names, row, strict=True)}
    return {name: weight for name, weight in found.items() if weight >= _LEAST and name in ARKIT_52}


def _head(source: Source) -> tuple[float, float, float]:
    """Yaw, pitch and roll in degrees of the head in the first frame: the inverse of `avatar.export.posed.head_turn`."""
    import math

    from avatar.motion.edit import head_rotation

    turn = head_rotation(source.motion.joint_rot[:1].double())[0].tolist()
    angles = (
        math.atan2(turn[0][2], turn[2][2]),
        math.asin(min(max(-turn[1][2], -1.0), 1.0)),
        math.atan2(turn[1][0], turn[1][1]),
    )
    yaw, pitch, roll = (round(math.degrees(angle), 2) + 0.0 for angle in angles)  # no -0.0
    return yaw, pitch, roll
