"""The preset expressions of VRM models, as weights of ARKit's expressions.

Programs send these for a model without ARKit's shapes. VRM 0 calls them A I U E O, Blink, Blink_L, Joy, Sorrow, Fun,
LookUp; VRM 1 aa ih ou ee oh, blink, blinkLeft, happy, sad, relaxed, surprised, lookUp. The formats' descriptions say
what a preset means, not its shape: the amounts are our choice, so that at weight 1 the vowels are spoken clearly and
the emotions recognized. docs/guides/live.md has the same table.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from avatar.driving.live.samples import Floats
from avatar.head.arkit import ARKIT_52

#: Preset, in lower case -> ARKit expressions at its weight 1; a name that ends with * stands for its Left and Right.
_SHAPES: dict[tuple[str, ...], dict[str, float]] = {
    ("a", "aa"): {"jawOpen": 0.7, "mouthLowerDown*": 0.2},
    ("i", "ih"): {"jawOpen": 0.12, "mouthSmile*": 0.3, "mouthStretch*": 0.3},
    ("u", "ou"): {"jawOpen": 0.15, "mouthPucker": 0.8},
    ("e", "ee"): {"jawOpen": 0.3, "mouthSmile*": 0.25, "mouthStretch*": 0.25},
    ("o", "oh"): {"jawOpen": 0.45, "mouthFunnel": 0.6},
    ("blink",): {"eyeBlink*": 1.0},
    ("blink_l", "blinkleft"): {"eyeBlinkLeft": 1.0},
    ("blink_r", "blinkright"): {"eyeBlinkRight": 1.0},
    ("joy", "happy"): {"mouthSmile*": 0.8, "cheekSquint*": 0.5, "eyeSquint*": 0.4},
    ("angry",): {"browDown*": 0.9, "noseSneer*": 0.4, "eyeSquint*": 0.3, "mouthFrown*": 0.3},
    ("sorrow", "sad"): {"browInnerUp": 0.8, "mouthFrown*": 0.6},
    ("fun", "relaxed"): {"mouthSmile*": 0.5, "cheekSquint*": 0.2},
    ("surprised",): {"browInnerUp": 0.8, "browOuterUp*": 0.8, "eyeWide*": 0.7, "jawOpen": 0.3},
    ("lookup",): {"eyeLookUp*": 1.0},
    ("lookdown",): {"eyeLookDown*": 1.0},
    ("lookleft",): {"eyeLookOutLeft": 1.0, "eyeLookInRight": 1.0},
    ("lookright",): {"eyeLookInLeft": 1.0, "eyeLookOutRight": 1.0},
    ("neutral",): {},
}
#: Presets that do not add up: both lids and one lid.
_LIDS = ("blink", "blink_l", "blinkleft", "blink_r", "blinkright")


def _row(shape: Mapping[str, float]) -> Floats:
    row = np.zeros(len(ARKIT_52), np.float32)
    for name, amount in shape.items():
        both = (name[:-1] + "Left", name[:-1] + "Right") if name.endswith("*") else (name,)
        row[[ARKIT_52.index(each) for each in both]] = amount
    return row


_ROWS = MappingProxyType({name: _row(shape) for names, shape in _SHAPES.items() for name in names})


def preset_weights(values: Mapping[str, float]) -> tuple[Floats, tuple[str, ...]]:
    """ARKit weights [52] of presets by name, in any case, and the names that are no presets.

    Presets add up, as VRM demands, to at most 1; `Blink` and those of one eye do not.
    """
    weights = np.zeros(len(ARKIT_52), np.float32)
    lids = np.zeros(len(ARKIT_52), np.float32)
    others = []
    for name, value in values.items():
        row = _ROWS.get(name.strip().lower())
        if row is None:
            others.append(name)
        elif name.strip().lower() in _LIDS:
            lids = np.maximum(lids, row * np.float32(value))
        else:
            weights += row * np.float32(max(value, 0.0))
    return np.clip(weights + lids, 0, 1), tuple(others)
