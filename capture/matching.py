"""Where two photos show the same skin.

One is seen through the head model from the camera of the other; optical flow finds what remains between them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.interpolate import LinearNDInterpolator

from avatar.head.model import HeadModel
from capture.tracker.indices import inter_ocular
from capture.tracker.landmark_model import LandmarkModel
from capture.tracker.photos import Match, PhotoFit, Surface
from capture.tracker.problem import Pinhole, State

#: Inter-ocular distance in pixels at which photos are compared.
_SIZE = 130.0
#: Cosine between the normal of skin and the direction to a camera, at least; points that a pair must have.
_FACING = 0.3
_MIN_POINTS = 100
#: Radians between the views of a pair at most; pairs per photo.
_MAX_ANGLE = np.radians(50.0)
_NEIGHBORS = 2
#: Pixels between flow and flow back at most, and where they halve the weight of a point.
_MAX_INCONSISTENCY = 1.0
_HALF_WEIGHT = 0.5
#: Standard deviation in pixels of the window in which brightness and contrast become those of skin anywhere; noise of
#: the gray values, and the contrast below which nothing can be matched.
_LOCAL = 12.0
_NOISE = 2.0
_LEAST_CONTRAST = 0.5
#: Points keep this distance in pixels from the border of what both photos show.
_BORDER = 4
#: Every so many pixels the position in the other photo is interpolated between vertices.
_STRIDE = 2


@dataclass(frozen=True)
class FaceMesh:
    """The skin of the face as a surface with triangles."""

    surface: Surface
    triangles: np.ndarray  # [F,3]
    still: np.ndarray  # [N] bool: points of neither lids nor lips

    @staticmethod
    def from_head(head: HeadModel, model: LandmarkModel) -> FaceMesh:
        """The face of `head`."""
        inside = (head.mask("face") & ~head.mask("lips_inner")).numpy()
        rows = np.flatnonzero(inside)
        number = np.cumsum(inside) - 1
        faces = head.faces.numpy()
        surface = Surface(
            head.v_template.numpy()[rows].astype(np.float64),
            head.shapedirs.numpy()[rows].astype(np.float64),
            head.exprdirs.numpy()[rows][..., model.columns].astype(np.float64),
        )
        moving = (head.mask("eyelids") | head.mask("lips")).numpy()
        return FaceMesh(surface, number[faces[inside[faces].all(1)]], ~moving[rows])

    def seen(self, identity: np.ndarray, state: State, camera: Pinhole) -> tuple[np.ndarray, np.ndarray]:
        """Pixels [N,2] of the points, and the cosines [N] between their normals and the directions to the camera."""
        world = self.surface.points(identity, state.expression) @ state.rotation.T + state.translation
        corners = world[self.triangles]
        normals = np.zeros_like(world)
        area = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        for corner in range(3):
            np.add.at(normals, self.triangles[:, corner], area)
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-20)
        away = world / np.linalg.norm(world, axis=1, keepdims=True)
        return camera.project(world), -(normals * away).sum(1)


class PhotoMatcher:
    """Finds matches between photos."""

    def __init__(self, mesh: FaceMesh, images: Iterable[np.ndarray], points: np.ndarray) -> None:
        """
        Args:
            mesh: of the head.
            images: photos [H,W,3] uint8 RGB.
            points: their landmarks [K,478,3] pixels.
        """
        self._mesh = mesh
        self._scales = np.minimum(1.0, _SIZE / inter_ocular(points))
        self._images = [self._prepared(*pair) for pair in zip(images, self._scales, strict=True)]

    @staticmethod
    def _prepared(image: np.ndarray, scale: float) -> np.ndarray:
        gray = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
        return cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.float32)

    def find(self, fit: PhotoFit) -> list[Match]:
        """Matches between the photos whose views are nearest, given a fit of them."""
        seen = [self._mesh.seen(fit.identity, *pair) for pair in zip(fit.states, fit.cameras, strict=True)]
        found = [self._match(first, second, seen) for first, second in _pairs(fit.states)]
        return [match for match in found if match is not None]

    def _match(self, first: int, second: int, seen: list[tuple[np.ndarray, np.ndarray]]) -> Match | None:
        """What the `first` photo shows of the points that the `second` one shows; None where that is too little."""
        (source, facing), (target, facing_too) = (seen[row] for row in (first, second))
        visible = (facing > _FACING) & (facing_too > _FACING)
        if np.count_nonzero(visible) < _MIN_POINTS:
            return None
        source = source * self._scales[first]
        target = target * self._scales[second]
        corner = np.floor(target[visible].min(0)).astype(int) - _BORDER
        corner = np.clip(corner, 0, None)
        end = np.minimum(np.ceil(target[visible].max(0)).astype(int) + _BORDER, self._images[second].shape[::-1])
        width, height = end - corner
        if min(width, height) < _SIZE / 4:
            return None
        target = target - corner
        where = LinearNDInterpolator(target[visible], source[visible])
        moved, mask = self._warped(first, where, target, visible, (width, height))
        own = self._images[second][corner[1] : end[1], corner[0] : end[0]]
        compared, contrast = _normalized(own, mask)
        flow, inconsistency = _flow(compared, _normalized(moved, mask)[0])

        rows = np.flatnonzero(visible & self._mesh.still)
        at = target[rows]
        safe = cv2.erode(mask, np.ones((2 * _BORDER + 1,) * 2, np.uint8)) * (contrast > _LEAST_CONTRAST)
        sampled = _sample(np.dstack([flow, inconsistency, safe.astype(np.float32)]), at)
        pixels = where(at + sampled[:, :2])
        good = (sampled[:, 3] > 0.99) & (sampled[:, 2] < _MAX_INCONSISTENCY) & np.isfinite(pixels).all(1)
        if np.count_nonzero(good) < _MIN_POINTS:
            return None
        both = np.stack([pixels / self._scales[first], (at + corner) / self._scales[second]], 1)
        weights = 1 / (1 + (sampled[:, 2] / _HALF_WEIGHT) ** 2)
        return Match((first, second), rows[good], both[good], weights[good])

    def _warped(
        self,
        first: int,
        where: LinearNDInterpolator,
        target: np.ndarray,
        visible: np.ndarray,
        size: tuple[int, int],
    ) -> tuple[np.ndarray, np.ndarray]:
        """The first photo as the second camera would see it [h,w], and the mask [h,w] of the face there."""
        width, height = size
        x, y = (np.arange(0, side + _STRIDE, _STRIDE) + 0.5 for side in size)
        coarse = where(np.stack(np.meshgrid(x, y), -1))
        known = np.isfinite(coarse[..., 0])
        fine = np.stack(np.meshgrid(*((np.arange(side) / _STRIDE) for side in size)), -1).astype(np.float32)
        at = _remap(np.nan_to_num(coarse).astype(np.float32), fine, cv2.INTER_LINEAR) - 0.5
        inside = _remap(known.astype(np.float32), fine, cv2.INTER_LINEAR) > 0.999
        mask = np.zeros((height, width), np.uint8)
        for triangle in self._mesh.triangles[visible[self._mesh.triangles].all(1)]:
            cv2.fillConvexPoly(mask, np.round((target[triangle] - 0.5) * 16).astype(np.int32), 1, shift=4)
        return _remap(self._images[first], at, cv2.INTER_CUBIC), mask & inside


def _pairs(states: Sequence[State]) -> list[tuple[int, int]]:
    """Pairs of the photos with the nearest views, the more frontal one second."""
    forward = np.stack([state.rotation.T @ -state.translation for state in states])
    forward /= np.linalg.norm(forward, axis=1, keepdims=True)  # direction to the camera, skull frame
    angles = np.arccos(np.clip(forward @ forward.T, -1, 1))
    np.fill_diagonal(angles, np.inf)
    pairs: set[tuple[int, int]] = set()
    for row, near in enumerate(np.argsort(angles, axis=1, kind="stable")[:, :_NEIGHBORS]):
        for other in near:
            if angles[row, other] < _MAX_ANGLE:
                frontal = forward[row, 2] > forward[other, 2] or (forward[row, 2] == forward[other, 2] and row > other)
                pairs.add((int(other), row) if frontal else (row, int(other)))
    return sorted(pairs)


def _normalized(image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gray values [h,w] uint8 without the mean and contrast around each pixel of the mask, and that contrast [h,w]."""
    weight = mask.astype(np.float32)

    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(values, (0, 0), _LOCAL)

    total = np.maximum(mean(weight), 1e-3)
    difference = (image - mean(image * weight) / total) * weight
    contrast = np.sqrt(mean(difference**2) / total)
    compared = np.clip(128 + 40 * difference / np.hypot(contrast, _NOISE), 0, 255).astype(np.uint8)
    return compared, contrast


def _flow(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Optical flow [h,w,2] from the first to the second image, and its distance [h,w] from the flow back."""
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(0)
    search.setPatchSize(12)
    search.setPatchStride(4)
    flow, back = (
        search.calc(*pair, np.zeros((*first.shape, 2), np.float32)) for pair in ((first, second), (second, first))
    )
    grid = np.stack(np.meshgrid(*map(np.arange, first.shape[::-1])), -1).astype(np.float32)
    returned = flow + _remap(back, grid + flow, cv2.INTER_LINEAR)
    return flow, np.linalg.norm(returned, axis=-1)


def _remap(image: np.ndarray, at: np.ndarray, method: int) -> np.ndarray:
    """An image at positions `at` [h,w,2] float32, pixel centers at 0."""
    return np.asarray(cv2.remap(image, at[..., 0], at[..., 1], method))


def _sample(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Values [N,C] of an image [h,w,C] at `points` [N,2], pixel centers at +.5."""
    at = (points - 0.5).astype(np.float32)[None]
    return _remap(image.astype(np.float32), at, cv2.INTER_LINEAR)[0]
