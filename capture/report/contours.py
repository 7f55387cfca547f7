"""Polylines of MediaPipe landmarks along the parts of a face (indices of the canonical face mesh)."""

from __future__ import annotations

import numpy as np

from capture.tracker.indices import OVAL

_LIPS_OUTER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185, 61)
_LIPS_INNER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191, 78)
_RIGHT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246, 33)
_LEFT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466, 263)
_RIGHT_BROW = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46, 70)
_LEFT_BROW = (300, 293, 334, 296, 336, 285, 295, 282, 283, 276, 300)
_NOSE_RIDGE, _NOSE_WINGS = (168, 6, 197, 195, 5, 4, 1, 19, 94, 2), (64, 98, 97, 2, 326, 327, 294)
_RIGHT_IRIS, _LEFT_IRIS = (469, 470, 471, 472, 469), (474, 475, 476, 477, 474)

CONTOURS = tuple(
    np.array(line)
    for line in (
        _LIPS_OUTER,
        _LIPS_INNER,
        _RIGHT_EYE,
        _LEFT_EYE,
        _RIGHT_BROW,
        _LEFT_BROW,
        _NOSE_RIDGE,
        _NOSE_WINGS,
        _RIGHT_IRIS,
        _LEFT_IRIS,
        (*OVAL, OVAL[0]),
    )
)
