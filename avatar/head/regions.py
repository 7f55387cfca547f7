"""The named regions of a head model; `HeadModel.mask` gives their vertices."""

from __future__ import annotations

from typing import Literal

#: A name of a region; a head may lack some (FLAME without a completed mouth has no teeth).
Region = Literal[
    "boundary",
    "eye_region",
    "eyelids",
    "face",
    "forehead",
    "hair_cap",
    "iris",
    "left_ear",
    "left_eye_region",
    "left_eyeball",
    "lid_interior",
    "lips",
    "lips_inner",
    "mouth_interior",
    "neck",
    "nose",
    "right_ear",
    "right_eye_region",
    "right_eyeball",
    "scalp",
    "sclera",
    "skin",
    "teeth_lower",
    "teeth_upper",
    "tongue",
    "torso",
]

INSIDE: tuple[Region, ...] = (
    "left_eyeball",
    "right_eyeball",
    "teeth_upper",
    "teeth_lower",
    "tongue",
    "mouth_interior",
)
