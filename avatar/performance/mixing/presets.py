"""Faces by name, as ARKit weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from avatar.motion import presets as own_presets
from avatar.motion.presets import FacePreset


@dataclass(frozen=True)
class Preset:
    """A predefined face."""

    name: str
    both: Mapping[str, float] = field(default_factory=dict)  # stem -> weight on both sides
    single: Mapping[str, float] = field(default_factory=dict)  # name -> weight

    @property
    def weights(self) -> dict[str, float]:
        """ARKit weights."""
        sides = {f"{stem}{side}": weight for stem, weight in self.both.items() for side in ("Left", "Right")}
        return {**sides, **self.single}


PRESETS = (
    Preset("neutral"),
    Preset("smile", {"mouthSmile": 0.6, "cheekSquint": 0.35, "eyeSquint": 0.15, "mouthDimple": 0.1}),
    Preset(
        "laugh",
        {"mouthSmile": 0.8, "cheekSquint": 0.7, "eyeSquint": 0.4, "mouthUpperUp": 0.3, "mouthLowerDown": 0.2},
        {"jawOpen": 0.4},
    ),
    Preset("surprise", {"eyeWide": 0.8, "browOuterUp": 0.8}, {"browInnerUp": 0.8, "jawOpen": 0.35, "mouthFunnel": 0.2}),
    Preset("angry", {"browDown": 0.9, "eyeSquint": 0.4, "noseSneer": 0.5, "mouthPress": 0.5, "mouthFrown": 0.4}),
    Preset("sad", {"mouthFrown": 0.7, "mouthStretch": 0.15}, {"browInnerUp": 0.8, "mouthShrugLower": 0.4}),
    Preset("disgust", {"noseSneer": 0.8, "browDown": 0.5, "mouthUpperUp": 0.4, "eyeSquint": 0.4, "mouthFrown": 0.3}),
    Preset("blink", {"eyeBlink": 1.0}),
    Preset("wink", single={"eyeBlinkLeft": 1.0, "cheekSquintLeft": 0.5, "mouthSmileLeft": 0.35}),
    Preset("kiss", single={"mouthPucker": 0.9, "mouthFunnel": 0.15}),
    Preset("ah", {"mouthLowerDown": 0.15}, {"jawOpen": 0.55}),
    Preset(
        "ee", {"mouthSmile": 0.3, "mouthStretch": 0.4, "mouthUpperUp": 0.2, "mouthLowerDown": 0.35}, {"jawOpen": 0.08}
    ),
    Preset("oh", single={"jawOpen": 0.4, "mouthFunnel": 0.6, "mouthPucker": 0.2}),
    Preset("oo", single={"jawOpen": 0.12, "mouthPucker": 0.7, "mouthFunnel": 0.35}),
    Preset("mm", {"mouthPress": 0.5}, {"mouthRollLower": 0.4, "mouthRollUpper": 0.4}),
    Preset("puff", {"mouthPress": 0.3}, {"cheekPuff": 1.0}),
    Preset("tongue", single={"jawOpen": 0.4, "tongueOut": 1.0}),
)


def preset_named(name: str, own: Sequence[FacePreset] = ()) -> Preset | FacePreset | None:
    """The preset of that name, in any case: one of `own`, or else of PRESETS; None where there is none."""
    found = own_presets.preset_named(own, name)
    return found or next((preset for preset in PRESETS if preset.name == name.strip().lower()), None)


def known_names(own: Sequence[FacePreset] = ()) -> str:
    """The names of presets, for messages: the first ones of `own`, and all that are built in."""
    names = ", ".join(preset.name for preset in PRESETS)
    return f"{own_presets.first_names(own)}, {names}" if own else names
