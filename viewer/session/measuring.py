"""Two clicks in the image measure: the distance between two places of the head, in true millimeters."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from avatar.driving.live.samples import AvatarPose
from avatar.head.regions import INSIDE
from avatar.model.avatar import Avatar
from avatar.model.poser import Poser
from avatar.types import Camera
from viewer.session.state import Measuring
from viewer.session.surface import SurfaceFinder

#: Points of the surface between the two places, under the straight line between them in the image.
_POINTS = 48
#: Lengths along the surface, relative to the straight line, beyond which the line crosses an edge behind another.
_MAX_DETOUR = 1.8

Place = tuple[int, Tensor]  # face and barycentric point [3]


class Ruler:
    """Two places of the head of an avatar, which move with it."""

    def __init__(self, avatar: Avatar) -> None:
        """Args: the avatar, whose edits do not matter: they move no vertex."""
        self._faces = avatar.head.faces
        self._inside = avatar.head.mask(*INSIDE, "lid_interior", "lips_inner")[self._faces].any(1)
        self._size = avatar.true_size
        self._poser = Poser(avatar)
        self._places: list[Place] = []
        self._surface: float | None = None  # meters along the surface at the second click

    def click(self, at: tuple[float, float], camera: Camera, pose: AvatarPose) -> bool:
        """Add the place under a point of the image, 0..1 from the upper left; a third one starts again.

        Returns:
            Whether the head is there.
        """
        finder = SurfaceFinder(self._poser, camera, pose)
        hit = finder.point(at)
        if hit is None:
            return False
        self._places = [*self._places, hit] if len(self._places) < 2 else [hit]
        self._surface = self._along(finder, camera) if len(self._places) == 2 else None
        return True

    def measured(self, before: Measuring, camera: Camera, pose: AvatarPose) -> Measuring:
        """What the places measure in an image, with the settings of `before`."""
        finder = SurfaceFinder(self._poser, camera, pose)
        points = [self._point(finder, place) for place in self._places]
        ends = tuple(_in_image(point, camera) for point in points)
        if len(points) < 2:
            return replace(before, ends=ends, straight=None, surface=None)
        millimeters = 1000 * self._size.scale
        straight = millimeters * float((points[1] - points[0]).norm())
        surface = None if self._surface is None else max(millimeters * self._surface, straight)
        return replace(before, ends=ends, straight=straight, surface=surface, sigma=self._size.sigma)

    def _point(self, finder: SurfaceFinder, place: Place) -> Tensor:
        """A place [3] in the world, meters."""
        face, bary = place
        return (finder.vertices[self._faces[face]] * bary[:, None]).sum(0)

    def _along(self, finder: SurfaceFinder, camera: Camera) -> float | None:
        """Meters along the skin under the line between the places in the image; None where it leaves the skin.

        Open eyes and lips are bridged.
        """
        (x0, y0), (x1, y1) = (_in_image(self._point(finder, place), camera) for place in self._places)
        points = []
        for step in range(_POINTS + 1):
            part = step / _POINTS
            hit = finder.point((x0 + part * (x1 - x0), y0 + part * (y1 - y0)))
            if hit is None:
                return None
            if not self._inside[hit[0]] or step in (0, _POINTS):
                points.append(self._point(finder, hit))
        length = float(torch.stack(points).diff(dim=0).norm(dim=1).sum())
        return length if length < _MAX_DETOUR * float((points[-1] - points[0]).norm()) else None


def _in_image(point: Tensor, camera: Camera) -> tuple[float, float]:
    """Where a point [3] is in the image, 0..1 from the upper left."""
    x, y = camera.project(point[None])[0].tolist()
    return x / camera.width, y / camera.height
