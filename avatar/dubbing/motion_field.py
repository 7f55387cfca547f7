"""Where the surface that each pixel shows was in the film: the mesh of a head in two poses."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from avatar import ops
from avatar.geometry.rotations import quat_to_matrix
from avatar.head.model import HeadModel
from avatar.types import Camera, PosedHead

#: Meters that a point may lie behind the nearest surface and still be seen: the raster has the size of a pixel.
_SEEN = 0.004
_FAR = 1e3
#: Pixels beside the silhouette that move with it, in heights of the image.
_BESIDE = 0.01


@dataclass(frozen=True)
class MotionField:
    """What the pixels of one frame show in a new pose, against the pose of the film."""

    source: np.ndarray  # [H,W,2] float32, pixel indices in the film's frame of the same points of the surface
    seen: np.ndarray  # [H,W] float32 0..1, whether the film shows them
    inside: np.ndarray  # [H,W] float32 0..1, in the mouth or on the lips in one of the two poses
    mask: np.ndarray  # [H,W] float32 0..1, of the part that is replaced, in either pose

    def within(self, rows: slice, columns: slice) -> MotionField:
        """The field of a part of the frame."""
        source = self.source[rows, columns] - np.array([columns.start, rows.start], np.float32)
        return MotionField(source, *(each[rows, columns] for each in (self.seen, self.inside, self.mask)))


@dataclass(frozen=True)
class _Raster:
    face: np.ndarray  # [H,W], -1: background
    bary: np.ndarray  # [H,W,3]
    depth: np.ndarray  # [H,W] meters, _FAR: background

    @property
    def hit(self) -> np.ndarray:
        return self.face >= 0

    def of_vertices(self, faces: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Vertex values [V,C] at the pixels [H,W,C]; 0 in the background."""
        corners = values[faces[np.maximum(self.face, 0)]]
        result: np.ndarray = np.einsum("hwk,hwkc->hwc", self.bary, corners).astype(np.float32)
        return np.where(self.hit[..., None], result, np.float32(0))


class MotionFields:
    """Makes the fields of frames for one head and part."""

    def __init__(self, head: HeadModel, weight: Tensor, inside: Tensor) -> None:
        """Args: the baked head, and of each vertex [V] how much it is replaced and belongs to the mouth."""
        self._head = head
        self._faces = head.faces.cpu().numpy()
        self._values = torch.stack([weight, inside], 1).cpu().numpy()
        self._torso = head.torso_weight()[:, None]

    def between(self, film: PosedHead, new: PosedHead, camera: Camera) -> MotionField:
        """The field from the pose in the film to a new one.

        Args:
            film: [1] the head as the film shows it.
            new: [1] the head with the replaced part.
            camera: [1] of the film's frame.
        """
        seen_film, seen_new = self._in_camera(film, camera), self._in_camera(new, camera)
        before, after = self._raster(seen_film, camera), self._raster(seen_new, camera)
        height, width = after.face.shape
        grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
        pixels = [points @ camera.K[0].T for points in (seen_film, seen_new)]
        flat = [each[:, :2] / each[:, 2:].clamp_min(0.01) for each in pixels]
        # Differences first: they are exactly 0 where nothing moves.
        where = torch.cat([flat[0] - flat[1], seen_film[:, 2:]], 1).numpy()
        found = after.of_vertices(self._faces, where)
        flow = found[..., :2]
        spread = max(1.0, _BESIDE * height)
        flow = np.where(after.hit[..., None], flow, _beside(flow, after.hit, spread))
        source = grid + flow
        nearest = cv2.dilate(before.depth, np.ones((3, 3), np.uint8))
        depth = moved(nearest, source, cv2.INTER_NEAREST)
        covered = moved(cv2.erode(before.hit.astype(np.float32), np.ones((3, 3))), source, cv2.INTER_NEAREST)
        seen = np.where(after.hit, found[..., 2] <= depth + _SEEN, covered < 0.5).astype(np.float32)
        values_before = before.of_vertices(self._faces, self._values)
        values_after = after.of_vertices(self._faces, self._values)
        parts = (values_before, before), (values_after, after)
        mask = np.maximum(*(_extended(values[..., 0], raster.hit, 2 * spread) for values, raster in parts))
        inside = np.maximum(values_after[..., 1], moved(values_before[..., 1], source, cv2.INTER_LINEAR))
        return MotionField(source, seen, inside, mask)

    def _in_camera(self, head: PosedHead, camera: Camera) -> Tensor:
        """Vertices [V,3] of a posed head [1] in the axes of a camera [1], meters."""
        rotations = quat_to_matrix(head.bones.quats[0])
        skull, torso = (head.vertices[0] @ rotations[bone].T + head.bones.translations[0, bone] for bone in (0, 1))
        return camera.to_camera(torch.lerp(skull, torso, self._torso))

    def _raster(self, vertices: Tensor, camera: Camera) -> _Raster:
        face, bary, depth = ops.mesh(vertices[None], self._head.faces, camera.K, camera.width, camera.height)
        ids = face[0].numpy()
        return _Raster(ids, bary[0].numpy(), np.where(ids >= 0, depth[0].numpy(), np.float32(_FAR)))


def moved(image: np.ndarray, source: np.ndarray, method: int = cv2.INTER_CUBIC) -> np.ndarray:
    """An image [H,W(,C)] float32 at pixel indices [H,W,2]; whole indices give its pixels exactly."""
    x, y = np.ascontiguousarray(source[..., 0]), np.ascontiguousarray(source[..., 1])
    return np.asarray(cv2.remap(image, x, y, method, borderMode=cv2.BORDER_REPLICATE))


def _beside(values: np.ndarray, known: np.ndarray, sigma: float) -> np.ndarray:
    """Values [H,W,C] of the nearest known pixels, which fall to 0 away from them."""
    weight = cv2.GaussianBlur(known.astype(np.float32), (0, 0), sigma)
    spread = cv2.GaussianBlur(values * known[..., None].astype(np.float32), (0, 0), sigma).reshape(values.shape)
    return np.asarray(spread / np.maximum(weight, 0.15)[..., None])


def _extended(values: np.ndarray, known: np.ndarray, sigma: float) -> np.ndarray:
    """Values [H,W] of a mask, extended a few pixels beyond the silhouette."""
    return np.where(known, values, _beside(values[..., None], known, sigma)[..., 0])
