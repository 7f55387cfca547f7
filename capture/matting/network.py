"""Mattes: how much of each pixel is the person, from selfie segmentation refined by local colors.

A small network segments the person roughly. Where it is unsure, the matte is decided by the colors of nearby pixels
that are certainly person or certainly background. A guided filter then aligns the edge with the image's colors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from capture.networks.litert import load_network
from capture.networks.models import model_path

_NETWORK_SIDE = 256
#: Side of the square the network sees, in heights of the face box (brow to chin): shoulders and long hair fit.
_CROP_FACES = 3.2
#: The longer side of the raster on which colors are compared is half the image's, at most this.
_LONGEST_WORK_SIDE = 512


@dataclass(frozen=True)
class Window:
    """A square part of an image, in whole pixels; it may reach beyond an image that is smaller than it."""

    x: int
    y: int
    side: int

    @staticmethod
    def around(face_box: np.ndarray, width: int, height: int) -> Window:
        """The square of _CROP_FACES face heights around a face [4] (x0, y0, x1, y1), slid into the image."""
        x0, y0, x1, y1 = (float(value) for value in face_box)
        side = max(2, min(round(_CROP_FACES * max(x1 - x0, y1 - y0)), max(width, height)))
        return Window(_slide((x0 + x1) / 2, side, width), _slide((y0 + y1) / 2, side, height), side)


def _slide(center: float, side: int, length: int) -> int:
    """Where `side` pixels around `center` start, inside 0..length if they fit, centered on it if not."""
    if side >= length:
        return (length - side) // 2
    return min(max(round(center - side / 2), 0), length - side)


class MattingNetwork:
    """The segmentation network on one thread; not safe to call from two threads at once."""

    def __init__(self) -> None:
        self._network = load_network(model_path("selfie_segmentation"))

    def raw(self, rgb: np.ndarray, face_box: np.ndarray) -> np.ndarray:
        """Probability [h,w] float32 0..1 of the person on the image's work raster; zero beyond a window at the face.

        Args:
            rgb: [H,W,3] uint8.
            face_box: [4] x0, y0, x1, y1 pixels of the face (a detection or the landmarks' bounds).
        """
        height, width = rgb.shape[:2]
        window = Window.around(face_box, width, height)
        left = max(window.x, 0)
        top = max(window.y, 0)
        right = min(window.x + window.side, width)
        bottom = min(window.y + window.side, height)
        crop = rgb[top:bottom, left:right]
        if crop.shape[0] != crop.shape[1]:  # the network was trained on whole images: no black bars
            pads = (top - window.y, window.y + window.side - bottom, left - window.x, window.x + window.side - right)
            crop = cv2.copyMakeBorder(crop, *pads, cv2.BORDER_REPLICATE)
        shrink = cv2.INTER_AREA if window.side > _NETWORK_SIDE else cv2.INTER_LINEAR
        small = cv2.resize(crop, (_NETWORK_SIDE, _NETWORK_SIDE), interpolation=shrink)
        matte = self._network(np.multiply(small, np.float32(1 / 255), dtype=np.float32)[None])[0][0, ..., 0]
        return _paste(matte, window, width, height)


def work_size(width: int, height: int) -> tuple[int, int]:
    """(width, height) of the raster on which mattes of `width` x `height` images are decided."""
    return _fit(width, height, min(max(width, height) // 2, _LONGEST_WORK_SIDE))


def _paste(matte: np.ndarray, window: Window, width: int, height: int) -> np.ndarray:
    """The network's `matte` [256,256] of the `window` of an image, on its work raster; zero outside."""
    size = work_size(width, height)
    cells = len(matte) / window.side  # of the network, for a pixel of the image
    step = np.array([width / size[0], height / size[1]]) * cells
    start = 0.5 * step - 0.5 - np.array([window.x, window.y]) * cells  # OpenCV puts pixel centers at integers
    matrix = np.array([[step[0], 0, start[0]], [0, step[1], start[1]]])
    edged = cv2.copyMakeBorder(matte, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    matrix[:, 2] += 1
    return cv2.warpAffine(edged, matrix, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)


def smooth_in_time(probabilities: Sequence[np.ndarray]) -> np.ndarray:
    """The middle one of an odd number of consecutive probabilities [H,W], with flicker reduced.

    Half itself and a quarter of each neighbor; a blob of one frame loses half its weight. Where the edge moves, the
    colors of the image sharpen it again in `refine`.
    """
    middle = len(probabilities) // 2
    now = probabilities[middle]
    if len(probabilities) < 3:
        return now
    around = cv2.add(probabilities[middle - 1], probabilities[middle + 1])
    return cv2.addWeighted(now, 0.5, around, 0.25, 0)


def refine(rgb: np.ndarray, probability: np.ndarray, face: np.ndarray | None = None) -> np.ndarray:
    """Matte [H,W] uint8 (255 is person) from a rough probability and the image.

    Args:
        rgb: [H,W,3] uint8.
        probability: [h,w] float32 0..1 of any size, such as from MattingNetwork.raw.
        face: [n,2 or 3] landmarks in pixels: picks the person and is opaque inside; without it the largest blob counts.
    """
    height, width = rgb.shape[:2]
    work = work_size(width, height)
    scale = work[0] / width
    image = cv2.resize(rgb, work, interpolation=cv2.INTER_AREA)
    rough = probability
    if probability.shape != image.shape[:2]:
        rough = cv2.resize(probability, work, interpolation=cv2.INTER_AREA)
    outline = None if face is None else np.asarray(face)[:, :2] * scale
    rough = _only_person(rough, outline)
    decided = _decide_by_color(image, rough)
    if outline is not None:
        cv2.fillConvexPoly(decided, _inner_hull(outline), 1.0, lineType=cv2.LINE_AA)
    return _align_edges(rgb, image, decided)


def _fit(width: int, height: int, side: int) -> tuple[int, int]:
    scale = max(side, 1) / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _disk(radius: float) -> np.ndarray:
    size = 2 * max(1, round(radius)) + 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))


#: How far from the sure person unsure pixels may belong to it, as a fraction of the longer side.
_REACH = 0.05


def _only_person(rough: np.ndarray, outline: np.ndarray | None) -> np.ndarray:
    """The probability [h,w], zero outside the connected component that contains the face (or the largest one)."""
    likely = (rough > 0.5).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(likely, connectivity=4)
    if count < 2:
        return rough
    chosen = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    if outline is not None:
        inside = np.zeros_like(likely)
        cv2.fillConvexPoly(inside, _inner_hull(outline), 1)
        votes = np.bincount(labels[inside > 0], minlength=count)
        votes[0] = 0
        chosen = int(np.argmax(votes)) if votes.any() else chosen
    person = (labels == chosen).astype(np.uint8)
    reach = 2 * max(1, round(_REACH * max(rough.shape))) + 1
    near = cv2.dilate(person, np.ones((reach, reach), np.uint8))
    if count > 2:
        near[(labels != chosen) & (labels > 0)] = 0
    return cv2.multiply(rough, near, dtype=cv2.CV_32F)


def _inner_hull(outline: np.ndarray) -> np.ndarray:
    """Convex hull [k,1,2] int32 of face points, shrunk by 8 %: the landmark oval is the least reliable."""
    middle = outline.mean(axis=0)
    return cv2.convexHull(np.rint(middle + 0.92 * (outline - middle)).astype(np.int32))


#: Probabilities beyond which the network is trusted and gives the colors.
_SURE_PERSON = 0.9
_SURE_BACKGROUND = 0.1
#: Log odds that color may add: it cannot overturn a probability beyond 0.21..0.79. Twice as much lets foliage
#: of the color of the hair become hair.
_COLOR_LIMIT = 1.3
#: Minimum standard deviation of a local color, of 0..255: sensor noise and fine texture.
_LEAST_DEVIATION = 10.0
#: Radius over which local colors are averaged, as a fraction of the longer side.
_COLOR_RADIUS = 0.1


def _decide_by_color(image: np.ndarray, rough: np.ndarray) -> np.ndarray:
    """The probability [h,w] with local colors weighed in where it is unsure.

    Each side has, at each place, a Gaussian of its sure colors around (mean and variance per channel); their log
    likelihood ratio is added to the log odds, as in a Bayesian classifier with the network as its prior.
    """
    decided = rough.copy()
    band = cv2.dilate(((rough > 0.03) & (rough < 0.97)).astype(np.uint8), _disk(0.012 * max(rough.shape)))
    rows, columns = np.nonzero(band)
    if not len(rows):
        return decided
    coarse = _fit(rough.shape[1], rough.shape[0], max(rough.shape) // 2)
    colors = cv2.resize(image, coarse, interpolation=cv2.INTER_AREA).astype(np.float32)
    where = cv2.resize(rough, coarse, interpolation=cv2.INTER_AREA)
    pick = (rows * coarse[1] // rough.shape[0], columns * coarse[0] // rough.shape[1])
    here = image[rows, columns].astype(np.float32)
    person = _log_likelihood(here, pick, colors, where, _SURE_PERSON)
    background = _log_likelihood(here, pick, colors, 1 - where, 1 - _SURE_BACKGROUND)
    ratio = np.clip(person - background, -_COLOR_LIMIT, _COLOR_LIMIT)
    prior = np.clip(rough[rows, columns], 0.005, 0.995)
    decided[rows, columns] = 1 / (1 + (1 - prior) / prior * np.exp(-ratio))
    return decided


def _log_likelihood(
    here: np.ndarray, pick: tuple[np.ndarray, np.ndarray], colors: np.ndarray, weight: np.ndarray, sure: float
) -> np.ndarray:
    """Log density [n] of colors `here` [n,3] under the local Gaussian of the pixels whose `weight` exceeds `sure`."""
    likely = (weight > 0.5).astype(np.float32)
    mask = cv2.erode((weight > sure).astype(np.float32), _disk(1)) + 1e-4 * likely + 1e-9
    first = cv2.multiply(colors, cv2.merge([mask, mask, mask]))
    weighted = cv2.merge([mask, first, cv2.multiply(first, colors)])
    radius = max(1, round(_COLOR_RADIUS * max(weight.shape)))
    size = (radius, radius)
    sums = cv2.blur(cv2.blur(weighted, size), size)[pick]
    mean = sums[:, 1:4] / sums[:, :1]
    variance = np.maximum(sums[:, 4:] / sums[:, :1] - mean * mean, 0) + _LEAST_DEVIATION**2
    return -0.5 * ((here - mean) ** 2 / variance + np.log(variance)).sum(axis=1)


#: Guided filter: window (fraction of the longer side) and squared color difference, of 0..1, below which it smooths.
_GUIDE_WINDOW = 0.016
_GUIDE_EDGE = 3e-4
#: Contrast about one half after filtering: what is nearly opaque is opaque.
_CONTRAST = 1.5


def _align_edges(rgb: np.ndarray, image: np.ndarray, decided: np.ndarray) -> np.ndarray:
    """Matte [H,W] uint8: `decided` [h,w] with its edges taken from the image.

    Filtered twice at the working size: the first pass moves a misplaced edge, the second sharpens it. The models of
    the second pass are applied at the image's own size.
    """
    window = 2 * max(1, round(_GUIDE_WINDOW * max(decided.shape) / 2)) + 1
    guide = ColorGuide(image, window, _GUIDE_EDGE)
    return apply_model(rgb, *guide.fit(guide.filter(decided, _CONTRAST)), _CONTRAST)


class ColorGuide:
    """Guided filter whose guide is a color image: aligns the edge of a matte with edges of brightness or color.

    It has local linear models of the colors of one image; made once, fitted to any number of mattes. He, Sun and Tang,
    "Guided image filtering" (2013), section 3.6, with the models fitted at a smaller size as in He and Sun, "Fast
    guided filter" (2015).
    """

    def __init__(self, image: np.ndarray, window: int, edge: float) -> None:
        """
        Args:
            image: [h,w,3] uint8.
            window: odd side of the window in which a model holds, pixels.
            edge: squared color difference, of 0..1, below which an edge is smoothed.
        """
        self._window = (window, window)
        self._image = np.multiply(image, np.float32(1 / 255), dtype=np.float32)
        self._mean = self._blur(self._image)
        red, green, blue = cv2.split(self._image)
        squares = self._blur(cv2.merge([red * red, green * green, blue * blue]))
        products = self._blur(cv2.merge([red * green, red * blue, green * blue]))
        variances = squares - self._mean * self._mean + np.float32(edge)
        turned = cv2.merge([self._mean[..., 0], self._mean[..., 0], self._mean[..., 1]])
        covariances = products - turned * self._mean[..., [1, 2, 2]]
        self._inverse = _inverse(cv2.split(variances), cv2.split(covariances))

    def _blur(self, values: np.ndarray) -> np.ndarray:
        return cv2.blur(values, self._window)

    def fit(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Slope [h,w,3] and offset [h,w] that give `values` [h,w] float32 from colors of 0..1 around each pixel."""
        mean = self._blur(values)
        scaled = cv2.multiply(self._image, cv2.merge([values] * 3))
        x, y, z = cv2.split(self._blur(scaled) - self._mean * mean[..., None])
        xx, yy, zz, xy, xz, yz = self._inverse
        slope = cv2.merge([xx * x + xy * y + xz * z, xy * x + yy * y + yz * z, xz * x + yz * y + zz * z])
        offset = mean - _sum(cv2.multiply(slope, self._mean))
        return self._blur(slope), self._blur(offset)

    def filter(self, values: np.ndarray, contrast: float) -> np.ndarray:
        """`values` [h,w] of 0..1, filtered, then stretched about one half by `contrast` and clipped to 0..1."""
        slope, offset = self.fit(values)
        filtered = cv2.add(_sum(cv2.multiply(slope, self._image)), offset)
        return np.clip(contrast * filtered + (1 - contrast) / 2, 0, 1, dtype=np.float32)


def apply_model(rgb: np.ndarray, slope: np.ndarray, offset: np.ndarray, contrast: float) -> np.ndarray:
    """Matte [H,W] uint8 of an image by the local linear model of its colors.

    Args:
        rgb: [H,W,3] uint8.
        slope: [h,w,3] of `ColorGuide.fit`, of any smaller size.
        offset: [h,w] of `ColorGuide.fit`.
        contrast: factor by which the matte is stretched about one half.
    """
    # Scaled to 0..255 and stretched about one half at the small size; the last sum rounds and saturates.
    slope = contrast * slope
    offset = 255 * (contrast * offset + (1 - contrast) / 2)
    full = (rgb.shape[1], rgb.shape[0])
    slope, offset = (cv2.resize(model, full, interpolation=cv2.INTER_LINEAR) for model in (slope, offset))
    return cv2.add(_sum(cv2.multiply(slope, rgb, dtype=cv2.CV_32F)), offset, dtype=cv2.CV_8U)


def _sum(channels: np.ndarray) -> np.ndarray:
    """Sum [h,w] of three channels [h,w,3] float32."""
    return cv2.transform(channels, np.ones((1, 3), np.float32))


def _inverse(diagonal: Sequence[np.ndarray], rest: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
    """Inverses of symmetric matrices with planes `diagonal` (xx, yy, zz) and `rest` (xy, xz, yz), in that order."""
    xx, yy, zz = diagonal
    xy, xz, yz = rest
    first = yy * zz - yz * yz
    second = xz * yz - xy * zz
    third = xy * yz - xz * yy
    factor = 1 / (xx * first + xy * second + xz * third)
    planes = (first, xx * zz - xz * xz, xx * yy - xy * xy, second, third, xy * xz - xx * yz)
    return tuple(factor * plane for plane in planes)
