"""Where the actors of a scene are and whom they look at where its file does not say so."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from avatar.scenes.scene_file import ActorSpec

#: Meters between the heads of neighbors: two people who talk, close to each other as films place them.
APART = 0.5
#: The same where there are more than two.
CLOSER = 0.4
#: Meters that the outer ones of three or more are nearer to the camera.
ARC = 0.18
#: Degrees that two actors turn from the camera to each other: more shows an avatar from sides that its clip did not.
TURN = 28.0


@dataclass(frozen=True)
class Place:
    """Where an actor is."""

    position: tuple[float, float, float]  # meters, of the center of its head
    yaw: float  # degrees
    captured: bool = False  # where it was captured: nothing is placed


def place_of(spec: ActorSpec, index: int, count: int) -> Place:
    """The place of an actor.

    Args:
        spec: of the actor.
        index: of the actor among all, from the left to the right.
        count: of the actors.
    """
    if count == 1 and not spec.position and spec.yaw is None and spec.scale == 1:
        return Place((0.0, 0.0, 0.0), 0.0, captured=True)
    beside = 0.0 if count == 1 else 2 * index / (count - 1) - 1  # -1 to 1
    apart = APART if count == 2 else CLOSER
    position = (
        apart * (count - 1) / 2 * beside,
        0.0,
        ARC * beside**2 if count > 2 else 0.0,
    )
    x, y, z = spec.position or position
    return Place((x, y, z), -TURN * beside if spec.yaw is None else spec.yaw)


def looks_of(spec: ActorSpec, name: str, places: Mapping[str, Place], where: str) -> tuple[tuple[float, str], ...]:
    """Seconds and names of what an actor looks at, in the order of time; by default at the nearest other one."""
    given = spec.looks(where)
    others = [other for other in places if other != name]
    if given or not others:
        return given
    own = places[name].position
    return ((0.0, min(others, key=lambda other: math.dist(own, places[other].position))),)
