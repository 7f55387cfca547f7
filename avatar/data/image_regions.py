"""Regions of an image from its face landmarks: mouth, eyes, hair, and the box around the head."""

from __future__ import annotations

import cv2
import numpy as np

#: Rings of MediaPipe landmarks that outline a region.
LIP_RING = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
RIGHT_EYE_RING = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
LEFT_EYE_RING = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
FACE_RING = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150,
    136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip

#: Side of the image of `inner_face`, pixels.
FACE_SIDE = 192


def region_masks(landmarks: np.ndarray, matte: np.ndarray) -> dict[str, np.ndarray]:
    """Masks [H,W] of mouth, eyes and hair from landmarks [478,2+] in pixels and the matte [H,W] in 0..1.

    Mouth and eyes are the dilated convex hulls of their landmarks; hair is the matte above the chin outside the face.
    """
    height, width = matte.shape
    scale = float(np.linalg.norm(landmarks[33, :2] - landmarks[263, :2]))

    def hull(ring: tuple[int, ...], grow: float) -> np.ndarray:
        canvas = np.zeros((height, width), np.uint8)
        points = cv2.convexHull(landmarks[list(ring), :2].round().astype(np.int32))
        cv2.fillConvexPoly(canvas, points, 1)
        radius = max(1, round(grow * scale))
        return cv2.dilate(canvas, np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)) > 0

    mouth = hull(LIP_RING, 0.12)
    eyes = hull(RIGHT_EYE_RING, 0.12) | hull(LEFT_EYE_RING, 0.12)
    above_chin = np.arange(height)[:, None] < landmarks[152, 1]
    hair = (matte > 0.5) & ~hull(FACE_RING, 0.02) & above_chin
    return {"mouth": mouth, "eyes": eyes, "hair": hair}


def inner_face(image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The square of an image [H,W,C] around eyes and mouth, resampled to FACE_SIDE pixels per side.

    Args:
        image: float32; pixels outside of it repeat its edge.
        landmarks: [478,2+] pixels.
    """
    rings = landmarks[[*LIP_RING, *RIGHT_EYE_RING, *LEFT_EYE_RING], :2]
    low = rings.min(0)
    high = rings.max(0)
    scale = FACE_SIDE / (1.2 * float((high - low).max()))
    shift = FACE_SIDE / 2 - scale * (low + high) / 2
    shift += 0.5 * (scale - 1)  # OpenCV counts from the center of the first pixel
    placed = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    side = (FACE_SIDE, FACE_SIDE)
    return cv2.warpAffine(image, placed, side, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE).clip(0, 1)


def head_box(pixels: np.ndarray, width: int, height: int) -> tuple[slice, slice]:
    """Rows and columns of the box around projected head vertices [n,2], enlarged by 12 % of its height for the hair."""
    low = pixels.min(0)
    high = pixels.max(0)
    tall = high[1] - low[1]
    top = int(max(0, low[1] - 0.12 * tall))
    bottom = int(np.clip(high[1], 1, height))
    left = int(max(0, low[0] - 0.04 * tall))
    right = int(np.clip(high[0] + 0.04 * tall, 1, width))
    return slice(min(top, bottom - 1), bottom), slice(min(left, right - 1), right)
