"""Sharpness and lighting of the face, measured in the stored frames."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from avatar.data.capture_folder import FRAMES_DIR, Capture
from capture.quality.frame_statistics import face_light
from capture.stages.workers import Pool
from capture.tracker.indices import FACE_COUNT, OVAL

#: Maximum number of images: decoding is the cost, and light and focus change slowly.
_SAMPLE = 120
#: Width of the face for the measurement: avatars are not trained on larger ones.
_FACE_WIDTH = 256
_BOX = 9  # taps of the additional blur (Crete et al. 2007)


@dataclass(frozen=True)
class PixelStatistics:
    """Statistics of n sampled images."""

    rows: np.ndarray  # [n] int, of the capture
    blur: np.ndarray  # [n] 0 (sharp) .. 1
    brightness: np.ndarray  # [n] 0..1, mean of the face
    clipped: np.ndarray  # [n] overexposed fraction of the face
    sides: np.ndarray  # [n] brightness of the person's left half of the face over the right half
    light: np.ndarray  # [n,478,3] linear light 0..1 around the landmarks that were found, NaN where none were

    @staticmethod
    def of(capture: Capture, rows: np.ndarray, projected: np.ndarray) -> PixelStatistics:
        """Measure up to 120 of the images `rows`, spread evenly, with faces at `projected` [T,478,2] pixels."""
        chosen = rows[np.unique(np.linspace(0, len(rows) - 1, min(_SAMPLE, len(rows))).round().astype(int))]
        landmarks = capture.track["landmarks"][..., :2]

        def measure(row: int) -> tuple[tuple[float, float, float, float], np.ndarray]:
            image = read_frame(capture, row)
            return measure_face(image, projected[row, :FACE_COUNT]), _light(image, landmarks[row])

        with Pool() as pool:
            jobs = [pool.submit(measure, row) for row in chosen.tolist()]
            faces, lights = zip(*(job.result() for job in jobs), strict=True)
        blur, brightness, clipped, sides = np.array(faces).reshape(-1, 4).T
        return PixelStatistics(chosen, blur, brightness, clipped, sides, np.stack(lights))


def _light(image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Linear light [478,3] around landmarks [478,2] pixels of a BGR image."""
    if not np.isfinite(landmarks).all():
        return np.full((len(landmarks), 3), np.nan)
    return face_light(image[..., ::-1], landmarks.astype(np.float32))


def read_frame(capture: Capture, row: int) -> np.ndarray:
    """The stored frame of a row, [H,W,3] uint8 BGR."""
    return capture.stored_image(FRAMES_DIR, row, cv2.IMREAD_COLOR)


def blurredness(gray: np.ndarray) -> float:
    """Blurriness of an image [H,W] by its change under another blur, 0 (sharp) .. 1, maximum of both directions.

    Crete, Dolmiere, Ladret, Nicolas, "The blur effect: perception and estimation with a new no-reference perceptual
    blur metric", 2007.
    """
    gray = gray.astype(np.float32)
    ratios = []
    for axis, size in ((0, (1, _BOX)), (1, (_BOX, 1))):
        once = np.abs(np.diff(gray, axis=axis))
        twice = np.abs(np.diff(cv2.blur(gray, size), axis=axis))
        total = float(once.sum())
        ratios.append(1 - float(np.maximum(once - twice, 0).sum()) / total if total else 1.0)
    return max(ratios)


def measure_face(image: np.ndarray, points: np.ndarray) -> tuple[float, float, float, float]:
    """Blur, brightness, clipped fraction and left-to-right ratio of the face at `points` [468,2] of an image."""
    size = np.array([image.shape[1], image.shape[0]])
    low = np.clip(np.floor(points.min(0)), 0, size - 2).astype(int)
    high = np.clip(np.ceil(points.max(0)), low + 2, size).astype(int)
    crop = image[low[1] : high[1], low[0] : high[0]]
    scale = min(1.0, _FACE_WIDTH / crop.shape[1])
    if scale < 1:
        crop = cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    gray = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)
    outline = ((points - low) * scale).astype(np.int32)
    skin = cv2.fillPoly(np.zeros_like(gray), [outline[OVAL]], 1).astype(bool)
    if not skin.any():
        return 1.0, 0.0, 0.0, 1.0
    center = ((points[10] + points[152]) / 2 - low) * scale  # forehead to chin: the symmetry axis of the face
    axis = (points[10] - points[152]).astype(np.float64)
    y, x = np.nonzero(skin)
    left = (x - center[0]) * -axis[1] + (y - center[1]) * axis[0] > 0
    light = gray[skin] / 255.0
    halves = [light[side].mean() if side.any() else light.mean() for side in (left, ~left)]
    return (
        blurredness(gray),
        float(light.mean()),
        float((crop[skin].max(1) >= 253).mean()),
        float((halves[0] + 1e-3) / (halves[1] + 1e-3)),
    )
