"""Color, sharpness and coverage of face and background in a frame: the input of the light and trust estimates."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from capture.tracker.indices import FACE_COUNT

#: Cells along each side of the grid on which the background's colors are kept.
CELLS = 20
#: Height of the face, in pixels, at which its colors are sampled and its sharpness is measured.
_COLOR_HEIGHT = 96
_SHARP_HEIGHT = 160
#: Pixels of a cell, and the largest person probability around a cell that counts as background.
_CELL_PIXELS = 4
_BACKGROUND = 0.04
#: Range of linear light in which a color shows the exposure: noise below, clipping above.
DARKEST = 0.004
BRIGHTEST = 0.92
#: Luminance of linear sRGB; difference of square roots of luminance, 0..1, that counts as none. In less light than that
#: of _FULL (the square root at the face's bright side) it is smaller in proportion: contrast is.
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
_SAME = 0.008
_FULL = 0.5
#: Bright side of a face (square root of luminance: an 8-bit value of 26) under which codecs flatten it to a few values.
_DIM = 0.1
_BRIGHT_SIDE = 0.95  # quantile of the face


def _linear_table() -> np.ndarray:
    code = np.arange(256) / 255
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4).astype(np.float32)


#: Linear light of 8-bit sRGB.
_LINEAR = _linear_table()


@dataclass(frozen=True)
class FrameStatistics:
    """One frame."""

    face: np.ndarray  # [468,3] float32 linear light around each landmark
    background: np.ndarray  # [CELLS*CELLS,3] float32 linear light, NaN where there is a person or nothing to measure
    sharpness: float  # log of fine over coarse detail inside the face
    person: float  # 0..1, mean matte inside the face


def measure_frame(rgb: np.ndarray, points: np.ndarray, matte: np.ndarray) -> FrameStatistics:
    """Measure one stored frame.

    Args:
        rgb: [H,W,3] uint8 sRGB.
        points: landmarks [478,3] pixels of `rgb`.
        matte: probability [h,w] float32 0..1 of a person, of any size.
    """
    mesh = points[:FACE_COUNT, :2].astype(np.float32)
    inside = _inside(matte, mesh, rgb.shape)
    return FrameStatistics(face_light(rgb, mesh), _background(rgb, matte), sharpness(rgb, points), inside)


def face_light(rgb: np.ndarray, mesh: np.ndarray) -> np.ndarray:
    """Linear light [n,3] float32 around landmarks `mesh` [n,2] pixels of a frame [H,W,3] uint8 sRGB."""
    crop, corner, scale = _face_crop(rgb, mesh, _COLOR_HEIGHT, 1.2)
    light = cv2.blur(_LINEAR[crop], (3, 3))
    where = ((mesh - corner) * scale - 0.5).astype(np.float32)[None]
    maps = (np.ascontiguousarray(where[..., 0]), np.ascontiguousarray(where[..., 1]))
    return cv2.remap(light, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]


def flat_share(face: np.ndarray) -> float:
    """The largest share 0..1 of landmarks of one brightness, for the linear light [468,3] around them.

    Faces in photos have .04 to .15, dark, overexposed or compressed to blocks too; line drawings and cartoons .3 to 1.
    So dark a face that a codec may have flattened it has 0.
    """
    brightness = np.sort(np.sqrt(face @ _LUMINANCE))
    bright_side = float(np.quantile(brightness, _BRIGHT_SIDE))
    if bright_side < _DIM:
        return 0.0
    same = _SAME * min(1.0, bright_side / _FULL)
    last = np.searchsorted(brightness, brightness + same, side="right")
    return float((last - np.arange(len(brightness))).max() / len(brightness))


def sharpness(rgb: np.ndarray, points: np.ndarray) -> float:
    """Log ratio of fine to coarse detail of the face with landmarks [478,3] in a frame; contrast and light cancel."""
    crop, _, _ = _face_crop(rgb, points[:FACE_COUNT, :2].astype(np.float32), _SHARP_HEIGHT, 1.0)
    gray = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32)
    layers = [cv2.GaussianBlur(gray, (0, 0), sigma) for sigma in (0.8, 1.6, 3.2, 6.4)]
    fine = layers[0] - layers[1]
    coarse = layers[2] - layers[3]
    return float(np.log((np.square(fine).mean() + 1e-3) / (np.square(coarse).mean() + 1e-3)))


def _background(rgb: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """Linear light [CELLS*CELLS,3] of cells that are background all around, NaN elsewhere."""
    side = CELLS * _CELL_PIXELS
    small = _LINEAR[cv2.resize(rgb, (side, side), interpolation=cv2.INTER_AREA)]
    person = cv2.resize(matte, (side, side), interpolation=cv2.INTER_AREA)
    worst = cv2.dilate(person, np.ones((2 * _CELL_PIXELS + 1,) * 2, np.uint8))
    cells = small.reshape(CELLS, _CELL_PIXELS, CELLS, _CELL_PIXELS, 3).mean((1, 3)).reshape(-1, 3)
    taken = worst.reshape(CELLS, _CELL_PIXELS, CELLS, _CELL_PIXELS).max((1, 3)).ravel() > _BACKGROUND
    cells[taken | (cells.max(1) > BRIGHTEST) | (cells.min(1) < DARKEST)] = np.nan
    return cells.astype(np.float32)


def _inside(matte: np.ndarray, mesh: np.ndarray, shape: tuple[int, ...]) -> float:
    scale = np.array([matte.shape[1] / shape[1], matte.shape[0] / shape[0]])
    middle = mesh.mean(0)
    hull = cv2.convexHull(np.rint((middle + 0.8 * (mesh - middle)) * scale).astype(np.int32))
    mask = np.zeros(matte.shape, np.uint8)
    cv2.fillConvexPoly(mask, hull, 255)
    return float(cv2.mean(matte, mask)[0])


def _face_crop(rgb: np.ndarray, mesh: np.ndarray, height: int, margin: float) -> tuple[np.ndarray, np.ndarray, float]:
    """The face box times `margin`, shrunk to `height` if larger: image, its corner [2], its pixels per pixel."""
    low = mesh.min(0)
    high = mesh.max(0)
    middle = (low + high) / 2
    half = margin * (high - low) / 2
    limit = np.array([rgb.shape[1], rgb.shape[0]])
    start = np.clip(np.floor(middle - half), 0, limit - 2).astype(int)
    end = np.maximum(np.clip(np.ceil(middle + half), 0, limit).astype(int), start + 2)
    crop = rgb[start[1] : end[1], start[0] : end[0]]
    scale = min(1.0, height / max(float(high[1] - low[1]), 1.0))
    if scale == 1.0:
        return crop, start, 1.0
    size = (max(2, round(crop.shape[1] * scale)), max(2, round(crop.shape[0] * scale)))
    return cv2.resize(crop, size, interpolation=cv2.INTER_AREA), start, scale


@dataclass(frozen=True)
class ClipStatistics:
    """The statistics of T frames, as arrays."""

    face: np.ndarray  # [T,468,3]
    background: np.ndarray  # [T,CELLS*CELLS,3]
    sharpness: np.ndarray  # [T]
    person: np.ndarray  # [T]

    @staticmethod
    def of(statistics: list[FrameStatistics]) -> ClipStatistics:
        """The statistics of frames in their order."""
        return ClipStatistics(
            np.array([look.face for look in statistics], np.float32).reshape(-1, FACE_COUNT, 3),
            np.array([look.background for look in statistics], np.float32).reshape(-1, CELLS * CELLS, 3),
            np.array([look.sharpness for look in statistics]),
            np.array([look.person for look in statistics]),
        )

    def __len__(self) -> int:
        return len(self.sharpness)

    def __getitem__(self, rows: np.ndarray) -> ClipStatistics:
        return ClipStatistics(self.face[rows], self.background[rows], self.sharpness[rows], self.person[rows])

    def frames(self) -> list[FrameStatistics]:
        """The records of single frames."""
        rows = zip(self.face, self.background, self.sharpness.tolist(), self.person.tolist(), strict=True)
        return [FrameStatistics(*row) for row in rows]
