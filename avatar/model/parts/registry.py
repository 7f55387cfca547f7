"""The kinds of parts that files keep, in the order of their entries in the header."""

from __future__ import annotations

from avatar.model.avatar import AvatarPart
from avatar.model.avatar_header import PREFIXES
from avatar.model.parts.appearance import Appearances
from avatar.model.parts.light.head_light import HeadLight
from avatar.model.parts.mesh_layer import MeshLayer
from avatar.model.parts.person import PoseCorrector, TorsoRegression
from avatar.model.parts.pose_blendshapes import PoseBlendshapes
from avatar.model.parts.weight_network import WeightNetwork
from avatar.model.parts.wrinkles import Wrinkles

_KINDS: dict[str, type[AvatarPart]] = {
    kind.key: kind
    for kind in (
        MeshLayer,
        WeightNetwork,
        TorsoRegression,
        PoseCorrector,
        HeadLight,
        Appearances,
        Wrinkles,
        PoseBlendshapes,
    )
}


def register(kind: type[AvatarPart]) -> None:
    """Keep a further kind of part in files, from now on in this process; programs without it ignore it in files.

    Raises:
        ValueError: its key, its entry or its prefix is that of another kind or of the format itself.
    """
    others = [other for other in _KINDS.values() if other is not kind]
    if kind.entry is None or not kind.prefix.endswith(".") or kind.prefix.startswith(PREFIXES):
        raise ValueError(f"part {kind.key!r}: expected an entry of the header and a prefix of its own, such as 'glow.'")
    for other in others:
        if kind.key == other.key or kind.entry == other.entry or root(kind) == root(other):
            raise ValueError(f"part {kind.key!r}: key, entry or prefix is that of {other.__name__}")
    _KINDS[kind.key] = kind


def part_kinds() -> tuple[type[AvatarPart], ...]:
    """All kinds of parts that files keep."""
    return tuple(_KINDS.values())


def root(kind: type[AvatarPart]) -> str:
    """The first name in the prefix of a kind: all tensors whose names start so belong to the entry of the header."""
    return kind.prefix.split(".")[0] + "."
