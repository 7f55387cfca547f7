"""All parts of a training in the order in which their hooks are called; `register` adds one from other code."""

from __future__ import annotations

from collections.abc import Sequence

from avatar.training.parts.appearances import AppearanceTraining
from avatar.training.parts.backing import BackingTraining
from avatar.training.parts.blendshapes import BlendshapeTraining, WeightNetworkTraining
from avatar.training.parts.head_light import LightTraining
from avatar.training.parts.head_prior import PriorTraining
from avatar.training.parts.local_bases import LocalBasesTraining
from avatar.training.parts.mesh_layer import LayerTraining
from avatar.training.parts.mouth_limits import MouthTraining
from avatar.training.parts.offset_network.training import OffsetNetworkTraining
from avatar.training.parts.part import PartTraining, Training
from avatar.training.parts.perceptual.loss import PerceptualTraining
from avatar.training.parts.pose_blendshapes import PoseBlendshapeTraining
from avatar.training.parts.unseen import UnseenTraining
from avatar.training.parts.wrinkles import WrinkleTraining

#: The order matters: appearances settle before the light is found from the colors, the prior sees the contribution
#: before the mouth changes it, the backing undoes limits of the mouth, and blendshapes come last, for a step without
#: offsets of another part.
_PARTS: list[type[PartTraining]] = [
    AppearanceTraining,
    PriorTraining,
    UnseenTraining,
    LayerTraining,
    MouthTraining,
    BackingTraining,
    LightTraining,
    WrinkleTraining,
    PoseBlendshapeTraining,
    WeightNetworkTraining,
    PerceptualTraining,
    LocalBasesTraining,
    OffsetNetworkTraining,
    BlendshapeTraining,
]


def register(part: type[PartTraining]) -> None:
    """Add a part to all later trainings of this process, before those that are there.

    Raises:
        ValueError: there is one with its key.
    """
    if part.key in [known.key for known in _PARTS]:
        raise ValueError(f"part {part.key}: there is one with this key")
    _PARTS.insert(0, part)


def part_kinds() -> Sequence[type[PartTraining]]:
    """All parts."""
    return tuple(_PARTS)


def parts_of(training: Training) -> list[PartTraining]:
    """The parts of a training before its first step, with avatar and frames on the host."""
    parts = [part.of(training) for part in _PARTS]
    return [part for part in parts if part is not None]
