"""What every .avatar file stores of head, Gaussians, rig and blendshapes, and how its tensors are checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from avatar.model.avatar_header import PREFIXES
from avatar.model.blendshapes import CHANNELS
from avatar.model.layout import Layout, TensorLayout, check_layout
from avatar.types import JOINT_NAMES

_METERS = 100.0  # no point of a head is farther from its origin
_SUM_TOLERANCE = 1e-2

#: All tensors but those of optional parts, of the regions and of the two modes of blendshapes.
TENSORS = {
    "avatar.offsets": TensorLayout("F32", "N 3", -_METERS, _METERS),
    "avatar.quats": TensorLayout("F32", "N 4"),
    "avatar.log_scales": TensorLayout("F32", "N 3", -60, 3),
    "avatar.logit_opacities": TensorLayout("F32", "N", -1e4, 1e4),
    "avatar.colors": TensorLayout("F32", "N 3", -1e3, 1e3),
    "avatar.neutral": TensorLayout("F32", "E", -1e3, 1e3),
    "avatar.sampling": TensorLayout("F32", "2", 0, 100, since=3),  # meters, pixels^2
    "head.v_template": TensorLayout("F32", "V 3", -_METERS, _METERS),
    "head.faces": TensorLayout("I32", "T 3", 0, "V"),
    "head.exprdirs": TensorLayout("F16", "V 3 E", -_METERS, _METERS),
    "head.joint_dirs": TensorLayout("F32", "J 3 E", -_METERS, _METERS, since=2),
    "head.curve_columns": TensorLayout("I64", "C", 0, "E", since=2),
    "head.curvedirs": TensorLayout("F16", "V 3 C", -_METERS, _METERS, since=2),
    "head.posedirs": TensorLayout("F16", "V 3 P", -_METERS, _METERS),
    "head.J_regressor": TensorLayout("F32", "J V", -_METERS, _METERS),
    "head.lbs_weights": TensorLayout("F32", "V J", -1, 2),
    "head.landmark_faces": TensorLayout("I32", "L", 0, "T"),
    "head.landmark_bary": TensorLayout("F32", "L 3", -_METERS, _METERS),
    "head.uv": TensorLayout("F32", "U 2", -1e3, 1e3),
    "head.uv_faces": TensorLayout("I32", "T 3", 0, "U"),
    "head.colors": TensorLayout("F32", "V 3", -1e3, 1e3),
    "avatar.rig.triangles": TensorLayout("I32", "N 3", 0, "V"),
    "avatar.rig.bary": TensorLayout("F32", "N 3", -_METERS, _METERS),
    "avatar.rig.skin": TensorLayout("F32", "N", -1e-3, 1.001),
    "avatar.rig.stretch": TensorLayout("U8", "V", 0, 1, since=4),
    "avatar.rig.torso.mean_rotation": TensorLayout("F32", "3 3", -1.01, 1.01),
    "avatar.rig.torso.mean_translation": TensorLayout("F32", "3", -1e4, 1e4),
    "avatar.rig.torso.pivot": TensorLayout("F32", "3", -_METERS, _METERS),
    "avatar.rig.torso.weight": TensorLayout("F32", "6 7", -1e4, 1e4),
    "avatar.rig.torso.limit": TensorLayout("F32", "7", 0),
    "avatar.blendshapes.basis": TensorLayout("F32", f"K M {CHANNELS}"),
    "avatar.blendshapes.units": TensorLayout("F32", f"{CHANNELS}", 0, 1e3),
    "avatar.blendshapes.mask": TensorLayout("F32", "K M", -1e-3, 1.001),
    "avatar.blendshapes.mean": TensorLayout("F32", "F", -1e3, 1e3),
    "avatar.blendshapes.spread": TensorLayout("F32", "F", 1e-6, 1e3),
    "avatar.blendshapes.low": TensorLayout("F32", "F", -1e3, 1e3),
    "avatar.blendshapes.high": TensorLayout("F32", "F", -1e3, 1e3),
}
#: Fields of `HeadModel` that every file has.
HEAD_TENSORS = tuple(name.removeprefix("head.") for name in TENSORS if name.startswith("head."))
_MIXING = {
    "reduced": {
        "avatar.blendshapes.components": TensorLayout("F32", "F K"),
        "avatar.blendshapes.mix": TensorLayout("F32", "K K"),
    },
    "expression": {
        "avatar.blendshapes.components": TensorLayout("F32", "0"),
        "avatar.blendshapes.mix": TensorLayout("F32", "0"),
    },
}
#: The tensor of each region of the head, `region.NAME`.
REGION = TensorLayout("U8", "V", 0, 1)


def core_layout(version: int, mode: str) -> dict[str, TensorLayout]:
    """The table of a file of `version` whose blendshapes are of `mode`, without regions and optional parts."""
    return {name: layout for name, layout in (TENSORS | _MIXING[mode]).items() if layout.since <= version}


def check_tensors(
    tensors: Mapping[str, Tensor], header: Mapping[str, Any], parts: Mapping[str, TensorLayout]
) -> dict[str, int]:
    """Raise ValueError unless the tensors of a file are complete, fit each other and `header`, and can be rendered.

    Args:
        tensors: by name, as stored; those with one of PREFIXES are checked.
        header: of the same file, checked by `check_header`.
        parts: table of the optional parts that the file has.

    Returns:
        Lengths of the axes by their letters.
    """
    mode = header["blendshapes"]["mode"]
    layout: Layout = core_layout(header["version"], mode) | {
        name: REGION for name in tensors if name.startswith("region.")
    }
    for name in sorted(tensors):
        if name.startswith(PREFIXES) and name not in layout and name not in parts:
            raise ValueError(f"{name}: a tensor that this format does not have")
    expressions = len(header["expression_names"])
    sizes = {"E": expressions, "F": expressions + 9, "J": len(JOINT_NAMES)}
    if mode == "expression":
        sizes["K"] = sizes["F"]
    check_layout(layout, tensors, sizes)
    _check_sizes(header, sizes)
    _check_relations(tensors)
    return sizes


def _check_sizes(header: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    count = sizes["N"]
    bases = sizes["K"]
    if not (count and sizes["V"] and sizes["T"]):
        raise ValueError("it has no Gaussians or no mesh")
    if sizes["M"] > count:
        raise ValueError(f"avatar.blendshapes.basis: offsets of {sizes['M']} Gaussians, but there are {count}")
    if sizes["P"] not in (0, 9 * (len(JOINT_NAMES) - 1)):
        raise ValueError(f"head.posedirs: {sizes['P']} pose correctives")
    if sizes["L"] not in (0, 478):
        raise ValueError(f"head.landmark_faces: expected 478 landmarks, got {sizes['L']}")
    for key, stated, actual in (
        ("gaussians", header.get("gaussians", count), count),
        ("blendshapes.count", header["blendshapes"].get("count", bases), bases),
    ):
        if stated != actual:
            raise ValueError(f"its header has a wrong entry {key!r}: the tensors have {actual}")


def _check_relations(tensors: Mapping[str, Tensor]) -> None:
    for name in ("avatar.rig.bary", "head.lbs_weights", "head.landmark_bary"):
        if not bool(((tensors[name].sum(1) - 1).abs() <= _SUM_TOLERANCE).all()):
            raise ValueError(f"{name}: expected rows that sum to 1")
    rotation = tensors["avatar.rig.torso.mean_rotation"].double()
    error = (rotation @ rotation.T - torch.eye(3, dtype=rotation.dtype)).abs().max()
    if not (error <= _SUM_TOLERANCE and torch.linalg.det(rotation) > 0):
        raise ValueError("avatar.rig.torso.mean_rotation: expected a rotation")
    if not bool((tensors["avatar.blendshapes.low"] <= tensors["avatar.blendshapes.high"]).all()):
        raise ValueError("avatar.blendshapes.low: above avatar.blendshapes.high")
