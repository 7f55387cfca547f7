"""The light of the tiny avatar, estimated once."""

from __future__ import annotations

import copy

import pytest

from avatar.model.avatar import Avatar
from avatar.model.parts.light.estimate import with_light


@pytest.fixture(scope="session")
def bright_avatar(tiny_avatar: Avatar) -> Avatar:
    """The tiny avatar with the light of its clip, estimated from its colors. Read only."""
    avatar = copy.deepcopy(tiny_avatar)
    avatar.add_part(with_light(tiny_avatar))
    return avatar
