"""MediaPipe landmark indices by feature, of the subject's right side (x < 0) unless stated otherwise."""

from __future__ import annotations

#: the face's outline, clockwise in the image from the middle of the forehead (both sides)
OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip

#: eyelid edges from the outer to the inner corner, including both corners
LID_UPPER = (33, 246, 161, 160, 159, 158, 157, 173, 133)
LID_LOWER = (33, 7, 163, 144, 145, 153, 154, 155, 133)
#: the middle of both edges
MIDDLE_LIDS = (159, 158, 160, 145, 144, 153)
#: rows of skin next to the seven inner points of an edge, the nearer and the farther row
CREASE_UPPER = (247, 30, 29, 27, 28, 56, 190)
CREASE_UPPER_FAR = (113, 225, 224, 223, 222, 221, 189)
CREASE_LOWER = (25, 110, 24, 23, 22, 26, 112)
CREASE_LOWER_FAR = (31, 228, 229, 230, 231, 232, 233)

#: lip rows from the outer border to the contact line, each from the corner to the middle
LIP_UPPER = (
    (61, 185, 40, 39, 37, 0),
    (76, 184, 74, 73, 72, 11),
    (62, 183, 42, 41, 38, 12),
    (78, 191, 80, 81, 82, 13),
)
LIP_LOWER = (
    (61, 146, 91, 181, 84, 17),
    (76, 77, 90, 180, 85, 16),
    (62, 96, 89, 179, 86, 15),
    (78, 95, 88, 178, 87, 14),
)
CORNERS = (61, 76, 62, 78)

#: eyebrow from the outer to the inner end, and the forehead above it
BROW_LOWER = (46, 53, 52, 65, 55)
BROW_UPPER = (70, 63, 105, 66, 107)
FOREHEAD = (156, 71, 68, 104, 69, 108)

IRIS_RIGHT = 468
IRIS_LEFT = 473
NOSE_TIP = 1
TRAGI = (234, 454)
INFRAORBITAL = (118, 347)

UPPER_LIP_MIDDLE = 13
LOWER_LIP_MIDDLE = 14
FACE_POINTS = 468
