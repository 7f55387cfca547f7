"""The names of expressions: ARKit's, and those of numbered components of a basis."""

from __future__ import annotations

import re
from collections.abc import Sequence

_EYE = ("eyeBlink", "eyeLookDown", "eyeLookIn", "eyeLookOut", "eyeLookUp", "eyeSquint", "eyeWide")

#: Apple's 52 in the order in which Live Link sends them; files are matched by name.
ARKIT_52 = (
    *(f"{name}Left" for name in _EYE),
    *(f"{name}Right" for name in _EYE),
    "jawForward", "jawLeft", "jawRight", "jawOpen", "mouthClose", "mouthFunnel", "mouthPucker", "mouthLeft",
    "mouthRight", "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft", "mouthFrownRight", "mouthDimpleLeft",
    "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight", "mouthRollLower", "mouthRollUpper",
    "mouthShrugLower", "mouthShrugUpper", "mouthPressLeft", "mouthPressRight", "mouthLowerDownLeft",
    "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight", "browDownLeft", "browDownRight", "browInnerUp",
    "browOuterUpLeft", "browOuterUpRight", "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "noseSneerLeft",
    "noseSneerRight", "tongueOut",
)  # fmt: skip
_MODE = re.compile(r"[a-z]+_?\d+")


def is_mode(name: str) -> bool:
    """Whether an expression is a numbered component of a basis (expr7): it has no meaning alone and may be negative."""
    return _MODE.fullmatch(name) is not None


#: Regions of a face that something can hide, and the starts of the names of the expressions that move them.
HIDEABLE = {
    "eyes": ("eye", "brow", "cheekSquint"),
    "mouth": ("jaw", "mouth", "tongue", "cheekPuff"),
}


def region_columns(names: Sequence[str], region: str) -> list[int]:
    """Columns of the expressions `names` that move a region of HIDEABLE."""
    return [column for column, name in enumerate(names) if name.startswith(HIDEABLE[region])]
