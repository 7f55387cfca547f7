"""An avatar of several recordings in one of their looks, or in a mix (`--appearance` of the command)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avatar.errors import HeadsplatError

if TYPE_CHECKING:
    from avatar.data.capture_folder import Capture
    from avatar.model.avatar import Avatar


def read_in_appearance(path: Path, appearance: str | None) -> tuple[dict[str, Any], Avatar]:
    """The header and the avatar of a file, in the look that --appearance names; None: that of the first recording.

    Raises:
        HeadsplatError: not an avatar file, or no such look.
    """
    from avatar.model.avatar_file import read_avatar
    from avatar.model.parts.appearance import parse_appearance

    weights = {} if appearance is None else parse_appearance(appearance)
    header, avatar = read_avatar(path)
    return header, _mixed(path, avatar, weights)


def read_with_mix(path: Path, appearance: str | None) -> tuple[Avatar, dict[str, float]]:
    """The avatar of a file with all its appearances, and the weights that --appearance names; none without it.

    Raises:
        HeadsplatError: not an avatar file, or no such look.
    """
    from avatar.model.avatar_file import read_avatar
    from avatar.model.parts.appearance import parse_appearance

    weights = {} if appearance is None else parse_appearance(appearance)
    avatar = read_avatar(path)[1]
    _mixed(path, avatar, weights)
    return avatar, weights


def _mixed(path: Path, avatar: Avatar, weights: Mapping[str, float]) -> Avatar:
    """The avatar of a file in a mix, or itself without weights. Raises HeadsplatError for weights that are no mix."""
    from avatar.model.parts.appearance import with_appearance

    try:
        return with_appearance(avatar, weights) if weights else avatar
    except HeadsplatError as error:
        raise HeadsplatError(f"{path}: {error}") from error


def appearance_of(header: Mapping[str, Any], capture: Capture) -> str | None:
    """The name of the recording of the avatar with this header that is `capture`; None if none is."""
    from avatar.model.avatar_header import recordings_of

    for entry in recordings_of(header):
        if entry.fingerprint == capture.fingerprint:
            return entry.name
    return None
