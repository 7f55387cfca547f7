"""Lights of a room: area lights as a few directions with soft shadows, and their highlights."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from avatar import ops
from capture.synthetic.products import product
from capture.synthetic.rooms import ALBEDO, ROOMS, AreaLight, fan

Array = NDArray[np.floating]

_MAP_SIZE = 160  # pixels of a depth map
_MAP_SPAN = 0.62  # meters it covers
_FAR = 4.0  # meters from the light's camera to the center of the scene
_BIAS = 0.004  # meters behind the depth map without shadow
_SOFT = 0.012  # meters behind that over which the shadow becomes full
_TABLE = 512

#: Width of the softened terminator, per channel: red light scatters further under skin than blue light.
_WRAP = np.array([0.34, 0.20, 0.14], np.float32)


class Shadows:
    """Shadow maps of one frame, for every light."""

    def __init__(self, frames: Array, center: Array, focal: float) -> None:
        self.maps = np.zeros((len(frames), _MAP_SIZE, _MAP_SIZE), np.float32)
        self._frames = frames
        self._center = center
        self._focal = focal

    def to_light(self, points: Array, pick: slice = slice(None)) -> Array:
        """Points [N,3] in the axes of the lights' cameras [L,N,3] meters."""
        frames = self._frames[pick]
        local = product(points - self._center, frames.transpose(2, 0, 1).reshape(3, -1))
        local = np.ascontiguousarray(local.reshape(len(points), len(frames), 3).transpose(1, 0, 2))
        local[..., 2] += _FAR
        return local

    def depth_behind(self, points: Array, light: int) -> Array:
        """Depth [N] meters of `points` [N,3] behind the first occluder towards `light`; negative if unoccluded."""
        local = self.to_light(points, slice(light, light + 1))[0]
        return self._behind(local, self.maps[light], (0.5, 0.5))

    def visibility(self, points: Array) -> Array:
        """Visibility [L,N], 0..1, of each light at `points` [N,3] meters, world."""
        visible = np.empty((len(self.maps), len(points)), np.float32)
        taps = ((-0.7, -0.3), (0.3, -0.7), (0.7, 0.3), (-0.3, 0.7))
        local = self.to_light(points)
        for light in range(len(visible)):
            lit = [
                1 - np.clip((self._behind(local[light], self.maps[light], tap) - _BIAS) / _SOFT, 0, 1) for tap in taps
            ]
            visible[light] = sum(lit) / len(taps)
        return visible

    def _behind(self, local: Array, depth_map: Array, tap: tuple[float, float]) -> Array:
        scale = self._focal / local[:, 2]
        column = np.clip(local[:, 0] * scale + (_MAP_SIZE / 2 + tap[0]), 0, _MAP_SIZE - 1).astype(np.int64)
        row = np.clip(local[:, 1] * scale + (_MAP_SIZE / 2 + tap[1]), 0, _MAP_SIZE - 1).astype(np.int64)
        return local[:, 2] - depth_map.reshape(-1)[row * _MAP_SIZE + column]


class Lighting:
    """Lights fixed to the room; `cast` renders the shadow maps of a frame."""

    def __init__(self, name: str = "room") -> None:
        """Args: a name in `rooms.LIGHTS`."""
        self.unlit = name == ALBEDO
        self._room = ROOMS["room" if self.unlit else name]
        fans = [fan(light) for light in self._room]
        self.directions = np.concatenate(fans)  # [L,3] towards the light
        self.colors = np.concatenate(
            [np.tile(np.array(light.color, np.float32) / light.samples, (light.samples, 1)) for light in self._room]
        )  # [L,3]
        self.key = fans[0].mean(0) / np.linalg.norm(fans[0].mean(0)) * np.float32(not self.unlit)
        starts = np.cumsum([0] + [light.samples for light in self._room])
        #: The central direction of each directional light, as (row of `directions`, color [3]), for strands.
        self.groups = [(int(starts[k]), np.array(self._room[k].color, np.float32)) for k in range(4)]
        self._frames = np.stack([_look_along(-direction) for direction in self.directions])  # [L,3,3] world -> light
        focal = _MAP_SIZE * _FAR / _MAP_SPAN
        center = _MAP_SIZE / 2
        self._K = torch.tensor([[focal, 0, center], [0, focal, center], [0, 0, 1]]).repeat(len(self.directions), 1, 1)
        self._focal = focal

    def cast(self, vertices: Array, faces: NDArray[np.int64], center: Array) -> Shadows:
        """Depth maps of the occluders `vertices` [V,3] meters, world, from every light, centered on `center` [3]."""
        shadows = Shadows(self._frames, center.astype(np.float32), self._focal)
        _, _, depth = ops.mesh(
            torch.from_numpy(shadows.to_light(vertices)), torch.from_numpy(faces), self._K, _MAP_SIZE, _MAP_SIZE, 0.1
        )
        maps = depth.numpy()
        shadows.maps = np.where(maps > 0, maps, np.float32(1e3))
        return shadows

    def highlights(self, axes: Array) -> tuple[Array, Array]:
        """Highlight tables of skin and of a wet surface for a viewer with `axes` [3,3] world -> right, up, backward."""
        if self.unlit:
            return np.zeros((_TABLE, _TABLE, 3), np.float32), np.zeros((_TABLE, _TABLE, 3), np.float32)
        return _tables(tuple(axes.ravel().tolist()), self._room)

    def ambient(self, normals: Array) -> Array:
        """Light [N,3] of the sky and the table only, without shadows."""
        up = normals[:, 1:2] * np.float32(0.5) + np.float32(0.5)
        return up * np.array(self._room[4].color, np.float32) + (1 - up) * np.array(self._room[5].color, np.float32)

    def irradiance(self, normals: Array, visible: Array, wrap: Array = _WRAP) -> Array:
        """Light [N,3] that surfaces with `normals` [N,3] receive, the terminator softened by `wrap` [3]."""
        if self.unlit:
            return np.ones_like(normals)
        cosine = product(normals, self.directions.T)
        total = np.empty_like(normals)
        for channel in range(3):
            soft = np.clip((cosine + wrap[channel]) / (1 + wrap[channel]), 0, None)
            soft *= visible.T
            total[:, channel] = product(soft, self.colors[:, channel])
        return total


def _look_along(forward: Array) -> Array:
    """World -> camera rotation [3,3] (OpenCV axes) of a camera that looks along `forward`."""
    right = np.cross(forward, np.array([0.0, 1.0, 0.0]))
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(forward, right), forward]).astype(np.float32)


def _table_normals() -> tuple[Array, Array]:
    grid = np.linspace(-1, 1, _TABLE, dtype=np.float32)
    x, y = np.meshgrid(grid, grid)
    z = np.sqrt(np.clip(1 - x * x - y * y, 0.0, 1))
    return np.stack([x, y, z], -1), z


@lru_cache(maxsize=16)
def _tables(axes: tuple[float, ...], room: tuple[AreaLight, ...]) -> tuple[Array, Array]:
    viewer = np.array(axes, np.float32).reshape(3, 3)
    return _highlight_table(28.0, 0.30, viewer, room), _window_table(viewer, room)


def _highlight_table(power: float, broad: float, axes: Array, room: tuple[AreaLight, ...]) -> Array:
    """Blinn-Phong highlights [S,S,3] over x and y of the normal in the viewer's axes, with Schlick's Fresnel term."""
    normals, facing = _table_normals()
    normals = normals @ axes
    total = np.zeros_like(normals)
    for direction, color, _, _ in room[:4]:
        half = np.array(direction) / np.linalg.norm(direction) + axes[2]
        half /= np.linalg.norm(half)
        shine = np.clip(normals @ half, 0, 1)
        lobe = shine**power + broad * shine ** (power / 4)
        fresnel = 0.04 + 0.96 * (1 - max(float(half @ axes[2]), 0.0)) ** 5
        total += lobe[..., None] * np.array(color, np.float32) * (fresnel * 4.0)
    rim = (1 - facing) ** 4
    total += rim[..., None] * np.array([0.10, 0.10, 0.11], np.float32)
    return total.astype(np.float32)


def _window_table(axes: Array, room: tuple[AreaLight, ...]) -> Array:
    """Reflection [S,S,3] of a wet sphere over the normal in the viewer's axes: window with a bar, and dim room."""
    normals, facing = _table_normals()
    mirrored = (2 * facing[..., None] * normals - np.array([0.0, 0.0, 1.0], np.float32)) @ axes
    total = np.zeros_like(normals)
    for (direction, color, _, _), half_width, strength in ((room[0], 0.13, 2.6), (room[1], 0.14, 0.15)):
        frame = _look_along(-np.array(direction, np.float32) / np.linalg.norm(direction))
        local = mirrored @ frame.T
        across = np.abs(local[..., 0])
        along = np.abs(local[..., 1])
        pane = (across < half_width) & (along < half_width * 1.25) & (local[..., 2] < 0) & (across > 0.018)
        total += pane[..., None] * np.array(color, np.float32) * strength
    dim = 0.004 + 0.10 * (1 - facing) ** 4
    return (total + dim[..., None]).astype(np.float32)
