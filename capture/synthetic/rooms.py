"""Lights of the rooms in which a procedural person is filmed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class AreaLight(NamedTuple):
    """One area light: its direction as seen from the head, as a disc of a few directional lights."""

    direction: tuple[float, float, float]  # towards the light, world
    color: tuple[float, float, float]  # linear irradiance of a surface that faces it
    spread: float  # radius of the disc over its distance
    samples: int


#: Each room has its key light, the room, two lights behind, the sky and the table, in this order.
ROOMS: dict[str, tuple[AreaLight, ...]] = {
    "room": (
        AreaLight((-0.66, 0.46, 0.66), (1.62, 1.50, 1.36), 0.22, 5),
        AreaLight((0.80, 0.18, 0.60), (0.24, 0.26, 0.31), 0.35, 2),
        AreaLight((0.62, 0.55, -0.60), (0.95, 0.80, 0.62), 0.10, 1),
        AreaLight((-0.80, 0.30, -0.50), (0.30, 0.33, 0.38), 0.10, 1),
        AreaLight((0.0, 0.80, 0.45), (0.36, 0.36, 0.38), 0.75, 5),
        AreaLight((0.0, -0.70, 0.70), (0.16, 0.14, 0.12), 0.45, 2),
    ),
    "left": (  # of the image: the person's right
        AreaLight((-0.92, 0.25, 0.38), (1.75, 1.80, 1.95), 0.22, 5),
        AreaLight((0.80, 0.18, 0.60), (0.10, 0.11, 0.13), 0.35, 2),
        AreaLight((-0.62, 0.55, -0.60), (0.45, 0.48, 0.55), 0.10, 1),
        AreaLight((0.80, 0.30, -0.50), (0.05, 0.05, 0.06), 0.10, 1),
        AreaLight((0.0, 0.80, 0.45), (0.28, 0.30, 0.34), 0.75, 5),
        AreaLight((0.0, -0.70, 0.70), (0.14, 0.14, 0.14), 0.45, 2),
    ),
    "right": (
        AreaLight((0.90, 0.20, 0.45), (2.05, 1.70, 1.30), 0.22, 5),
        AreaLight((-0.80, 0.18, 0.60), (0.13, 0.13, 0.14), 0.35, 2),
        AreaLight((0.62, 0.55, -0.60), (0.40, 0.32, 0.25), 0.10, 1),
        AreaLight((-0.80, 0.30, -0.50), (0.05, 0.05, 0.06), 0.10, 1),
        AreaLight((0.0, 0.80, 0.45), (0.30, 0.27, 0.24), 0.75, 5),
        AreaLight((0.0, -0.70, 0.70), (0.15, 0.13, 0.11), 0.45, 2),
    ),
    "below": (
        AreaLight((0.10, -0.80, 0.60), (1.60, 1.50, 1.45), 0.30, 5),
        AreaLight((-0.75, 0.05, 0.65), (0.22, 0.26, 0.34), 0.35, 2),
        AreaLight((0.62, 0.55, -0.60), (0.20, 0.20, 0.22), 0.10, 1),
        AreaLight((-0.80, 0.30, -0.50), (0.20, 0.20, 0.22), 0.10, 1),
        AreaLight((0.0, 0.80, 0.45), (0.16, 0.17, 0.20), 0.75, 5),
        AreaLight((0.0, -0.70, 0.70), (0.20, 0.19, 0.18), 0.45, 2),
    ),
}
#: In place of a room: everything has its albedo, without light, shadow or gloss.
ALBEDO = "albedo"
LIGHTS = (*ROOMS, ALBEDO)


def fan(light: AreaLight) -> NDArray[np.floating]:
    """Unit directions [samples,3] of a light, spread over its disc (sunflower pattern)."""
    axis = np.array(light.direction, np.float32)
    axis /= np.linalg.norm(axis)
    right = np.cross(np.array([0.0, 1.0, 0.0]), axis)
    right /= np.linalg.norm(right)
    up = np.cross(axis, right)
    index = np.arange(light.samples) + 0.5
    radius = light.spread * np.sqrt(index / light.samples)
    angle = index * 2.399963
    spread = axis + right * (radius * np.cos(angle))[:, None] + up * (radius * np.sin(angle))[:, None]
    return (spread / np.linalg.norm(spread, axis=1, keepdims=True)).astype(np.float32)
