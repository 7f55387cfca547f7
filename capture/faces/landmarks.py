"""478 face landmarks of an image with MediaPipe's attention mesh (Grishchenko et al. 2020).

Points are in pixels with pixel centers at +0.5; z grows away from the camera, in the same scale, zero near the middle
of the head. Left and right are as seen by the person.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from capture.networks.litert import Network, graph_of
from capture.networks.models import model_path

if TYPE_CHECKING:
    from capture.faces.detector import Detection

POINTS = 478
#: Outer corners of the right and left eye: the line that turns the region of interest, and the inter-ocular distance.
RIGHT_EYE_OUTER = 33
LEFT_EYE_OUTER = 263
#: Irises: center, then four rim points.
RIGHT_IRIS = slice(468, 473)
LEFT_IRIS = slice(473, 478)
_MESH_POINTS = 468
_INPUT_SIDE = 192
#: The region of interest is the landmarks' square box times this.
_MARGIN = 1.5
#: Minimum resolution of the patch from which crops are taken, in patch pixels per pixel of the network's input.
_OVERSAMPLING = 1.5
#: Standard deviations of the jitter: turn (radians), log of the size, shift (fraction of the size).
_JITTER = (math.radians(5), 0.05, 0.02)


@dataclass(frozen=True)
class Roi:
    """A turned square in an image."""

    center: tuple[float, float]  # pixels
    size: float  # side, pixels
    angle: float  # radians, clockwise on screen: the direction of the person's eye line

    @staticmethod
    def from_detection(detection: Detection) -> Roi:
        """The square around a detected face, level with its eyes."""
        x0, y0, x1, y1 = (float(value) for value in detection.box)
        right = detection.keypoints[0]
        left = detection.keypoints[1]
        angle = math.atan2(left[1] - right[1], left[0] - right[0])
        return Roi(((x0 + x1) / 2, (y0 + y1) / 2), max(x1 - x0, y1 - y0) * _MARGIN, angle)

    @staticmethod
    def from_landmarks(points: np.ndarray) -> Roi:
        """The square around landmarks [478,3] of the frame before, level with the outer eye corners."""
        mesh = points[:_MESH_POINTS, :2]
        low = mesh.min(axis=0)
        high = mesh.max(axis=0)
        line = points[LEFT_EYE_OUTER, :2] - points[RIGHT_EYE_OUTER, :2]
        middle = (low + high) / 2
        size = float((high - low).max()) * _MARGIN
        return Roi((float(middle[0]), float(middle[1])), size, math.atan2(float(line[1]), float(line[0])))

    def matrix(self, side: int) -> np.ndarray:
        """[2,3] from pixels of a `side` x `side` crop to pixels of the image (pixel centers at +0.5 in both)."""
        scale = self.size / side
        cosine = scale * math.cos(self.angle)
        sine = scale * math.sin(self.angle)
        turn = np.array([[cosine, -sine], [sine, cosine]])
        offset = np.array(self.center) - turn @ np.array([side / 2, side / 2])
        return np.concatenate([turn, offset[:, None]], axis=1)


@dataclass(frozen=True)
class Landmarks:
    """Landmarks of one face in one image."""

    points: np.ndarray  # [478,3] float32: x, y pixels, z in the same scale
    presence: float  # 0..1, how sure the network is that there is a face


class LandmarkTracker:
    """The landmark network on one thread; not safe to call from two threads at once."""

    def __init__(self) -> None:
        self._mesh = AttentionMesh(model_path("face_landmarks_attention"))

    def locate(self, rgb: np.ndarray, roi: Roi) -> Landmarks:
        """Landmarks of the face in one region of an image.

        Args:
            rgb: [H,W,3] uint8.
            roi: where the face is, from a detection or from the landmarks of the frame before.
        """
        return self._locate(*_patch(rgb, roi), roi)

    def locate_averaged(
        self, rgb: np.ndarray, roi: Roi, passes: int = 8, rng: np.random.Generator | None = None
    ) -> tuple[np.ndarray, np.ndarray, float]:
        """Landmarks averaged over jittered regions, which removes most of the network's noise.

        The jitter comes in opposite pairs, so that what depends linearly on it cancels, and is the same for every frame
        unless `rng` is given: the remaining error is then constant in time instead of noise.

        Args:
            rgb: [H,W,3] uint8.
            roi: the middle of the jittered regions.
            passes: how many regions; of an odd number one is `roi` itself.
            rng: source of the jitter; leave it out for frames of a video.

        Returns:
            points [478,3] float32 as in Landmarks, spread [478] float32 (pixels, standard deviation over the passes
            along one image axis), mean presence 0..1.
        """
        patch, corner, scale = _patch(rgb, roi)
        pattern = _jitter_pattern(passes, rng or np.random.default_rng(0))
        estimates = [self._locate(patch, corner, scale, _jitter(roi, jitter)) for jitter in pattern]
        points = np.stack([each.points for each in estimates])
        mean = _robust_mean(points)
        spread = points[..., :2].std(axis=0, ddof=1 if passes > 1 else 0).mean(axis=-1)
        return mean, spread.astype(np.float32), float(np.mean([each.presence for each in estimates]))

    def _locate(self, patch: np.ndarray, corner: np.ndarray, scale: float, roi: Roi) -> Landmarks:
        """Landmarks in image pixels from a patch whose pixel p lies at corner + p / scale in the image."""
        to_image = roi.matrix(_INPUT_SIDE)
        to_patch = to_image * scale
        to_patch[:, 2] -= corner * scale
        to_patch[:, 2] += to_patch[:, :2].sum(axis=1) / 2 - 0.5  # OpenCV puts pixel centers at integers
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        crop = cv2.warpAffine(patch, to_patch, (_INPUT_SIDE, _INPUT_SIDE), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        local, presence = self._mesh(np.multiply(crop, np.float32(1 / 255), dtype=np.float32)[None])
        points = np.empty((POINTS, 3), np.float32)
        points[:, :2] = local[:, :2] @ to_image[:, :2].T.astype(np.float32) + to_image[:, 2].astype(np.float32)
        points[:, 2] = local[:, 2] * (roi.size / _INPUT_SIDE)
        return Landmarks(points, presence)


def _patch(rgb: np.ndarray, roi: Roi) -> tuple[np.ndarray, np.ndarray, float]:
    """The part of the image the jittered crops can reach, area-averaged when it is much finer than the network.

    Returns: patch [h,w,3], its upper left corner [2] in the image, its pixels per pixel of the image.
    """
    reach = 0.5 * roi.size * math.sqrt(2) * 1.3
    height, width = rgb.shape[:2]
    x0, y0 = (max(0, math.floor(c - reach)) for c in roi.center)
    x1, y1 = (min(n, math.ceil(c + reach)) for c, n in zip(roi.center, (width, height), strict=True))
    if x1 - x0 < 2 or y1 - y0 < 2:  # the region left the image: let the crop be black
        return np.zeros((2, 2, 3), np.uint8), np.zeros(2), 1.0
    patch = rgb[y0:y1, x0:x1]
    shrink = int(roi.size / (_INPUT_SIDE * _OVERSAMPLING))
    if shrink < 2:
        return patch, np.array([x0, y0], dtype=np.float64), 1.0
    # Whole blocks only, so that the patch's pixels are exactly `shrink` of the image's.
    rows = patch.shape[0] // shrink
    columns = patch.shape[1] // shrink
    patch = patch[: rows * shrink, : columns * shrink]
    small = cv2.resize(patch, (columns, rows), interpolation=cv2.INTER_AREA)
    return small, np.array([x0, y0], dtype=np.float64), 1 / shrink


def _jitter_pattern(passes: int, rng: np.random.Generator) -> np.ndarray:
    """Jitters [passes,4] of turn, log size, shift x and y in opposite pairs, with the deviations of _JITTER."""
    half = rng.standard_normal((passes // 2, 4)).clip(-2, 2)
    pattern = np.concatenate([half, -half, np.zeros((passes % 2, 4))])
    if passes > 1:
        pattern /= np.sqrt((pattern**2).mean(axis=0)) + 1e-9
    return pattern * np.array([*_JITTER, _JITTER[2]])


def _jitter(roi: Roi, jitter: np.ndarray) -> Roi:
    turn, stretch, right, down = (float(value) for value in jitter)
    center = (roi.center[0] + right * roi.size, roi.center[1] + down * roi.size)
    return replace(roi, center=center, size=roi.size * math.exp(stretch), angle=roi.angle + turn)


def _robust_mean(points: np.ndarray) -> np.ndarray:
    """Mean [478,3] float32 over passes [P,478,3]; passes far from the median count less (Cauchy weights)."""
    distance = np.linalg.norm(points - np.median(points, axis=0), axis=-1)
    scale = 2 * np.median(distance, axis=0) + 1e-6
    weights = 1 / (1 + (distance / scale) ** 2)
    weights /= weights.sum(axis=0)
    return np.einsum("pn,pnc->nc", weights, points).astype(np.float32)


class AttentionMesh:
    """The attention mesh: its graph in two pieces, with the three custom operators between them in numpy.

    The first piece gives 468 points, features and the face flag; regions of the features around the lips and eyes are
    cut out, and the second piece refines the points in them and adds the irises.
    """

    def __init__(self, path: Path) -> None:
        first, second, self._regions = _pieces(path)
        self._coarse = Network(first)
        self._fine = Network(second)

    def __call__(self, crop: np.ndarray) -> tuple[np.ndarray, float]:
        """Points [478,3] in crop pixels and the presence of a face, for a crop [1,192,192,3] float32 in 0..1."""
        mesh, features, flag = self._coarse(crop)
        points = np.empty((POINTS, 3), np.float32)
        points[:_MESH_POINTS] = mesh.reshape(_MESH_POINTS, 3)
        matrices = [_region_matrix(points[:_MESH_POINTS, :2] / _FEATURE_STRIDE, region) for region in self._regions]
        lips, right_eye, right_iris, left_eye, left_iris = self._fine(
            *(_sample(features[0], matrix)[None] for matrix in matrices)
        )
        refined = ((lips, 0), (right_eye, 1), (left_eye, 2))
        for local, k in refined:
            points[self._regions[k].subset, :2] = _to_crop(local, matrices[k])
        for local, k, where in ((right_iris, 1, RIGHT_IRIS), (left_iris, 2, LEFT_IRIS)):
            points[where, :2] = _to_crop(local, matrices[k])
            # As in MediaPipe: an iris has the mean depth of the 16 points of its eye's contour.
            points[where, 2] = points[self._regions[k].subset[:_EYE_CONTOUR], 2].mean()
        return points, 1 / (1 + math.exp(-float(flag.ravel()[0])))


#: Crop pixels per cell of the feature map.
_FEATURE_STRIDE = 4
_REGION_CELLS = 16
_EYE_CONTOUR = 16
_SAMPLED = "transform_tensor_bilinear_v2"


@dataclass(frozen=True)
class _Region:
    """Options of one attention region: the lips, the right or the left eye."""

    subset: np.ndarray  # landmark indices, in the order the second piece gives them
    left: int  # the line from `left` to `right` turns the region
    right: int
    scale: float


@lru_cache(maxsize=2)
def _pieces(path: Path) -> tuple[bytes, bytes, tuple[_Region, ...]]:
    graph = graph_of(path)
    first = graph.piece(["input_1"], ["output_mesh_identity", "p_re_lu_3", "conv_faceflag"])
    outputs = ["conv_lips", "conv_left_eye", "conv_left_iris", "conv_right_eye", "conv_right_iris"]
    second = graph.piece([_SAMPLED, f"{_SAMPLED}_1", f"{_SAMPLED}_2"], outputs)
    regions = tuple(
        _Region(
            np.array(options["subset_idxs"]),
            options["left_rotation_idx"],
            options["right_rotation_idx"],
            options["scale_x"],
        )
        for options in graph.custom_options("Landmarks2TransformMatrix")
    )
    return first, second, regions


def _region_matrix(points: np.ndarray, region: _Region) -> np.ndarray:
    """[2,3] from the region's 16x16 cells to feature cells: the turned box of its landmarks, enlarged."""
    line = points[region.right] - points[region.left]
    angle = math.atan2(float(line[1]), float(line[0]))
    cosine = math.cos(angle)
    sine = math.sin(angle)
    turn = np.array([[cosine, -sine], [sine, cosine]], dtype=np.float32)
    level = points[region.subset] @ turn
    low = level.min(axis=0)
    high = level.max(axis=0)
    extent = region.scale * (high - low)
    matrix = np.empty((2, 3), np.float32)
    matrix[:, :2] = turn * (extent / _REGION_CELLS)
    matrix[:, 2] = turn @ ((low + high - extent) / 2)
    return matrix


_CELLS = np.stack(np.meshgrid(np.arange(_REGION_CELLS), np.arange(_REGION_CELLS)), -1).reshape(-1, 2) + np.float32(0.5)


def _sample(features: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Features [h,w,C] bilinearly at the centers of the region's cells, zero outside: [16,16,C]."""
    height, width, channels = features.shape
    xy = _CELLS @ matrix[:, :2].T + matrix[:, 2] - 0.5
    inside = (xy >= 0).all(axis=1) & (xy[:, 0] <= width - 1) & (xy[:, 1] <= height - 1)
    xy = np.where(inside[:, None], xy, 0)
    low = np.minimum(xy.astype(np.int32), (width - 2, height - 2))
    fraction = (xy - low).astype(np.float32)
    flat = features.reshape(-1, channels)
    start = low[:, 1] * width + low[:, 0]
    x = fraction[:, :1]
    y = fraction[:, 1:]
    upper = flat[start] * (1 - x) + flat[start + 1] * x
    lower = flat[start + width] * (1 - x) + flat[start + width + 1] * x
    sampled = (upper * (1 - y) + lower * y) * inside[:, None]
    return sampled.reshape(_REGION_CELLS, _REGION_CELLS, channels).astype(np.float32, copy=False)


def _to_crop(local: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Crop pixels [n,2] of points the second piece gives in quarter cells of the region."""
    return local.reshape(-1, 2) @ matrix[:, :2].T + _FEATURE_STRIDE * matrix[:, 2]


class HeadDetector:
    """Loads the network on first use: a head model whose landmarks are cached does not need it."""

    def __init__(self) -> None:
        self._mesh: AttentionMesh | None = None

    def __call__(self, crop: np.ndarray) -> tuple[np.ndarray, float]:
        """Points [478,3] in crop pixels and the presence of a face, for a crop [1,192,192,3] float32 in 0..1."""
        if self._mesh is None:
            self._mesh = AttentionMesh(model_path("face_landmarks_attention"))
        return self._mesh(crop)
