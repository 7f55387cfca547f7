"""Groups of MediaPipe's 478 face landmarks that the tracker treats differently (indices of the canonical face mesh)."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

#: Landmarks of the face surface; 468..472 are the right iris, 473..477 the left one, centers first.
FACE_COUNT = 468
RIGHT_IRIS = 468
LEFT_IRIS = 473
#: Outer eye corners: their distance, the inter-ocular distance, is the unit of all errors.
RIGHT_CORNER = 33
LEFT_CORNER = 263
#: Centers of the inner lips (upper, lower) and mouth corners; centers of the lids (upper, lower) of each eye.
LIP_GAP = (13, 14)
MOUTH_CORNERS = (61, 291)
RIGHT_LIDS = (159, 145)
LEFT_LIDS = (386, 374)

OVAL = np.array(
    [
        10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
        152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
    ]
)  # fmt: skip
LIPS = np.array(
    [
        61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409,
        78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415,
    ]
)  # fmt: skip
EYES = np.array(
    [
        33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173,
        263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398,
    ]
)  # fmt: skip
BROWS = np.array(
    [70, 63, 105, 66, 107, 55, 65, 52, 53, 46, 300, 293, 334, 296, 336, 285, 295, 282, 283, 276]
)  # fmt: skip
NOSE = np.array(
    [168, 6, 197, 195, 5, 4, 1, 19, 94, 2, 98, 97, 326, 327, 294, 278, 344, 440, 275, 45, 220, 115, 48, 64]
)  # fmt: skip
#: Points that expressions hardly move: nose bridge and wings, inner and outer eye corners, temples, forehead.
STABLE_LANDMARKS = np.array(
    [33, 133, 263, 362, 168, 6, 197, 195, 5, 4, 1, 2, 98, 327, 10, 151, 9, 8, 109, 338, 67, 297, 103, 332, 127, 356]
)

#: Skin around both eyes; lips beside their rims, skin around them, and the chin.
_AROUND_EYES = (
    247, 30, 29, 27, 28, 56, 225, 224, 223, 222, 110, 24, 23, 22, 26, 112, 228, 229, 230, 231, 232,
    467, 260, 259, 257, 258, 286, 445, 444, 443, 442, 339, 254, 253, 252, 256, 341, 448, 449, 450, 451, 452,
)  # fmt: skip
_AROUND_LIPS = (
    72, 11, 302, 38, 268, 73, 303, 12, 15, 16, 85, 315, 86, 316, 74, 304, 41, 271, 180, 404, 90, 320, 179, 403,
    164, 167, 393, 165, 391, 18, 83, 313, 200, 201, 421, 92, 322, 57, 287, 43, 273, 106, 335, 182, 406,
    202, 422, 212, 432, 186, 410, 199, 175, 152, 148, 377, 176, 400, 169, 394, 204, 424, 210, 430, 194, 418,
    208, 428, 32, 262, 140, 369, 171, 396, 2, 97, 326, 98, 327, 216, 436, 214, 434,
)  # fmt: skip
#: Landmarks that are a guess where a hand or another thing is before a region (avatar.head.arkit.HIDEABLE).
HIDEABLE_LANDMARKS = {
    "eyes": np.concatenate([EYES, BROWS, _AROUND_EYES, np.arange(RIGHT_IRIS, LEFT_IRIS + 5)]),
    "mouth": np.concatenate([LIPS, _AROUND_LIPS]),
}
#: Those of them where what is seen comes and goes with the expression: the inner edge of the lips, the lids.
CHANGING = np.concatenate([LIPS[20:], EYES])


def without_hidden(points: np.ndarray, hidden: Collection[str]) -> np.ndarray:
    """Landmarks [478,C] of which those of the regions `hidden` are missing (NaN)."""
    if not hidden:
        return points
    points = points.copy()
    for region in hidden:
        points[HIDEABLE_LANDMARKS[region]] = np.nan
    return points


def inter_ocular(points: np.ndarray) -> np.ndarray:
    """Distance [...] in the image between the outer eye corners of landmarks [...,L,2 or 3]."""
    return np.linalg.norm(points[..., RIGHT_CORNER, :2] - points[..., LEFT_CORNER, :2], axis=-1)


def point_weights() -> np.ndarray:
    """Weight [468] of each landmark in every fit: high for lips and eyes, low for the oval, which slides."""
    weights = np.ones(FACE_COUNT)
    weights[LIPS] = 2.5
    weights[EYES] = 2.5
    weights[OVAL] = 0.15
    return weights
