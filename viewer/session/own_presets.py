"""The sliders' pose as a preset of the avatar, and back."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from avatar.head.arkit import ARKIT_52
from avatar.motion.presets import FacePreset
from viewer.session.expressions import at_rest
from viewer.session.pose_sources import gaze_weights
from viewer.session.state import Sliders

_LEAST_DEGREES = 0.05


def preset_of(sliders: Sliders, name: str) -> tuple[FacePreset, str]:
    """The pose of the sliders as a preset without a key, and a sentence on what of it is not kept, or an empty text.

    Directions of the gaze become weights of ARKit's expressions, which pages, mixes and voices show too.

    Raises:
        ValueError: the name is none.
    """
    gaze, missed = gaze_weights(sliders.gaze)
    weights: dict[str, float] = {}
    for part in (sliders.weights, gaze, sliders.model_weights):
        for expression, weight in part.items():
            weights[expression] = weights.get(expression, 0.0) + weight
    kept = {name: min(max(weight, -1.0), 1.0) if name in ARKIT_52 else weight for name, weight in weights.items()}
    note = f"; without the last {missed:.1f} degrees of the gaze" if missed > _LEAST_DEGREES else ""
    return FacePreset(name, kept, sliders.head, sliders.jaw, source="the sliders of the window"), note


def sliders_of(preset: FacePreset, sliders: Sliders, expressions: Collection[str]) -> tuple[Sliders, str]:
    """The sliders with the pose of a preset, and a sentence on what of it they do not show, or an empty text.

    Args:
        preset: the pose.
        sliders: whose options stay.
        expressions: of the avatar's head.
    """
    own = {name: weight for name, weight in preset.weights.items() if name not in ARKIT_52 or weight < 0}
    missing = sorted(set(own) - set(expressions))
    posed = replace(
        at_rest(sliders),
        weights={name: weight for name, weight in preset.arkit_weights.items() if weight},
        model_weights={name: weight for name, weight in own.items() if name in expressions and weight},
        head=preset.head,
        jaw=preset.jaw,
    )
    return posed, f"{preset.name}: {', '.join(missing)} is no expression of this avatar" if missing else ""
