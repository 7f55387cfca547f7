"""Optional parts of avatars in tests."""

from __future__ import annotations

from avatar.model.avatar import Avatar, P


def required(avatar: Avatar, kind: type[P]) -> P:
    """The part of a kind, which the avatar has."""
    part = avatar.part(kind)
    assert part is not None
    return part
