"""Checks of the tensors of an .avatar file: shapes, dtypes, indices, values, checksum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from avatar.types import JOINT_NAMES, check_shape

from .avatar_header import LIGHT, PERSON, PREFIXES, StoredTensor, check_entry, stored_checksum
from .blendshapes import CHANNELS

#: The dtypes of the format by their names in safetensors.
DTYPES = {
    "F32": torch.float32,
    "F16": torch.float16,
    "I32": torch.int32,
    "I64": torch.int64,
    "U8": torch.uint8,
}
_DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}

_METERS = 100.0  # no point of a head is farther from its origin
_SUM_TOLERANCE = 1e-2


class _Values(NamedTuple):
    """Dtype, axes and least and largest values of a tensor; a name as largest value: below the length of that axis."""

    dtype: str
    axes: str
    low: float = -1e6
    high: float | str = 1e6


#: Letters of the axes as in docs/formats/avatar.md; the first tensor with a letter sets its length.
_TENSORS = {
    "avatar.offsets": _Values("F32", "N 3", -_METERS, _METERS),
    "avatar.quats": _Values("F32", "N 4"),
    "avatar.log_scales": _Values("F32", "N 3", -60, 3),
    "avatar.logit_opacities": _Values("F32", "N", -1e4, 1e4),
    "avatar.colors": _Values("F32", "N 3", -1e3, 1e3),
    "avatar.neutral": _Values("F32", "E", -1e3, 1e3),
    "avatar.sampling": _Values("F32", "2", 0, 100),  # meters, pixels^2
    "head.v_template": _Values("F32", "V 3", -_METERS, _METERS),
    "head.faces": _Values("I32", "T 3", 0, "V"),
    "head.exprdirs": _Values("F16", "V 3 E", -_METERS, _METERS),
    "head.joint_dirs": _Values("F32", "J 3 E", -_METERS, _METERS),
    "head.curve_columns": _Values("I64", "C", 0, "E"),
    "head.curvedirs": _Values("F16", "V 3 C", -_METERS, _METERS),
    "head.posedirs": _Values("F16", "V 3 P", -_METERS, _METERS),
    "head.J_regressor": _Values("F32", "J V", -_METERS, _METERS),
    "head.lbs_weights": _Values("F32", "V J", -1, 2),
    "head.landmark_faces": _Values("I32", "L", 0, "T"),
    "head.landmark_bary": _Values("F32", "L 3", -_METERS, _METERS),
    "head.uv": _Values("F32", "U 2", -1e3, 1e3),
    "head.uv_faces": _Values("I32", "T 3", 0, "U"),
    "head.colors": _Values("F32", "V 3", -1e3, 1e3),
    "avatar.rig.triangles": _Values("I32", "N 3", 0, "V"),
    "avatar.rig.bary": _Values("F32", "N 3", -_METERS, _METERS),
    "avatar.rig.skin": _Values("F32", "N", -1e-3, 1.001),
    "avatar.rig.stretch": _Values("U8", "V", 0, 1),
    "avatar.rig.torso.mean_rotation": _Values("F32", "3 3", -1.01, 1.01),
    "avatar.rig.torso.mean_translation": _Values("F32", "3", -1e4, 1e4),
    "avatar.rig.torso.pivot": _Values("F32", "3", -_METERS, _METERS),
    "avatar.rig.torso.weight": _Values("F32", "6 7", -1e4, 1e4),
    "avatar.rig.torso.limit": _Values("F32", "7", 0),
    "avatar.blendshapes.basis": _Values("F32", f"K M {CHANNELS}"),
    "avatar.blendshapes.units": _Values("F32", f"{CHANNELS}", 0, 1e3),
    "avatar.blendshapes.mask": _Values("F32", "K M", -1e-3, 1.001),
    "avatar.blendshapes.mean": _Values("F32", "F", -1e3, 1e3),
    "avatar.blendshapes.spread": _Values("F32", "F", 1e-6, 1e3),
    "avatar.blendshapes.low": _Values("F32", "F", -1e3, 1e3),
    "avatar.blendshapes.high": _Values("F32", "F", -1e3, 1e3),
}
_MIXING = {
    "reduced": {
        "avatar.blendshapes.components": _Values("F32", "F K"),
        "avatar.blendshapes.mix": _Values("F32", "K K"),
    },
    "expression": {
        "avatar.blendshapes.components": _Values("F32", "0"),
        "avatar.blendshapes.mix": _Values("F32", "0"),
    },
}
#: Tensors that a file may lack; only versions from 4 on have them.
_OPTIONAL = {
    "layer.texels": _Values("F16", "X 3", -100, 100),
    "layer.shadow": _Values("F32", "2", 0, 1),
    "layer.reflections": _Values("F32", "2 R R", 0, 1),
}
#: The network that adds to the weights of reduced blendshapes: all in files of version 5, none in earlier ones.
_WEIGHT_NETWORK = {
    "avatar.blendshapes.network.hidden": _Values("F32", "F H"),
    "avatar.blendshapes.network.hidden_bias": _Values("F32", "H"),
    "avatar.blendshapes.network.output": _Values("F32", "H K"),
    "avatar.blendshapes.network.output_bias": _Values("F32", "K"),
}
_PERSON = {
    "person.torso": {
        "person.torso.weight": _Values("F32", "6 7", -1e4, 1e4),
        "person.torso.limit": _Values("F32", "7", 0, 1e4),
    },
    "person.pose": {
        "person.pose.landmark_mean": _Values("F32", "1434", -1e3, 1e3),
        "person.pose.landmark_basis": _Values("F32", "1434 C"),
        "person.pose.low": _Values("F32", "D"),
        "person.pose.high": _Values("F32", "D"),
        "person.pose.weight": _Values("F32", "6 D", -1e4, 1e4),
    },
}
_LIGHT = {
    "light.transfer": _Values("F16", "N 9", -10, 10),
    "light.surface": _Values("F16", "V 9", -10, 10),
    "light.coefficients": _Values("F32", "9 3", -1e4, 1e4),
}
#: Inputs of the pose corrector besides expressions and landmark components: 1, pose, its products, joints, outline.
_POSE_INPUTS = 1 + 6 + 21 + 9 + 12
#: Tensors that files of versions below these lack.
NEW_IN = {
    2: {"head.joint_dirs", "head.curvedirs", "head.curve_columns"},
    3: {"avatar.sampling"},
    4: {"avatar.rig.stretch"},
}


def checksum(tensors: Mapping[str, Tensor], prefixes: str | tuple[str, ...] = PREFIXES) -> str:
    """The checksum (`stored_checksum`) of tensors with one of `prefixes`."""
    chosen = {name: value.contiguous() for name, value in tensors.items() if name.startswith(prefixes)}
    return stored_checksum(
        {
            name: StoredTensor(str(_DTYPE_NAMES.get(value.dtype)), tuple(value.shape), value.numpy().data)
            for name, value in chosen.items()
        },
        prefixes,
    )


def check_tensors(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Raise ValueError unless the tensors of a file are complete, fit each other and `header`, and can be rendered.

    Args:
        tensors: by name, as stored.
        header: of the same file, checked by `check_header`.
    """
    layout = _TENSORS | _MIXING[header["blendshapes"]["mode"]]
    for version, new in NEW_IN.items():
        if header["version"] < version:
            layout = {name: values for name, values in layout.items() if name not in new}
    if header["version"] >= 4:
        layout |= {name: values for name, values in _OPTIONAL.items() if name in tensors}
    if header["version"] >= 5:
        layout |= _WEIGHT_NETWORK
    regions = {name: _Values("U8", "V", 0, 1) for name in tensors if name.startswith("region.")}
    for name in sorted(tensors):
        if name.startswith(PREFIXES) and name not in layout and name not in regions:
            raise ValueError(f"{name}: a tensor that this format does not have")
    expressions = len(header["expression_names"])
    sizes = {"E": expressions, "F": expressions + 9, "J": len(JOINT_NAMES)}
    if header["blendshapes"]["mode"] == "expression":
        sizes["K"] = sizes["F"]
    for name, values in (layout | regions).items():
        if name not in tensors:
            raise ValueError(f"{name}: this tensor is missing")
        _check_tensor(name, tensors[name], values, sizes)
    _check_sizes(header, sizes)
    _check_relations(tensors)


def check_person(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Raise ValueError unless the tensors of the entry `person` of a file are complete and undamaged.

    Args:
        tensors: by name, as stored.
        header: of the same file, checked by `check_header`; without the entry there must be no such tensors.
    """
    person, sizes = header.get("person"), dict[str, int]()
    stored = sorted(name for name in tensors if name.startswith(PERSON))
    layout = {
        name: values
        for group, members in _PERSON.items()
        for name, values in members.items()
        if person is not None and any(each.startswith(f"{group}.") for each in stored)
    }
    for name in stored:
        if name not in layout:
            raise ValueError(f"{name}: a tensor that this format does not have")
    if person is None:
        return
    check_entry("capture" in person, "person.capture")
    for name, values in layout.items():
        if name not in tensors:
            raise ValueError(f"{name}: this tensor is missing")
        _check_tensor(name, tensors[name], values, sizes)
    inputs = _POSE_INPUTS + len(header["expression_names"]) + sizes.get("C", 0)
    if sizes.get("D", inputs) != inputs:
        raise ValueError(f"person.pose.weight: expected {inputs} inputs, got {sizes['D']}")
    if person.get("tensors_sha256") != checksum(tensors, PERSON):
        raise ValueError("the tensors of its entry 'person' do not match their checksum")


def check_light(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Raise ValueError unless the tensors of the entry `light` of a file are complete and undamaged.

    Args:
        tensors: by name, as stored.
        header: of the same file, checked by `check_header`; without the entry there must be no such tensors.
    """
    layout = _LIGHT if "light" in header else {}
    for name in sorted(tensors):
        if name.startswith(LIGHT) and name not in layout:
            raise ValueError(f"{name}: a tensor that this format does not have")
    sizes = {"N": len(tensors["avatar.offsets"]), "V": len(tensors["head.v_template"])}
    for name, values in layout.items():
        if name not in tensors:
            raise ValueError(f"{name}: this tensor is missing")
        _check_tensor(name, tensors[name], values, sizes)
    if layout and not bool((tensors["light.coefficients"][0] > 0).all()):
        raise ValueError("light.coefficients: expected a mean light above 0")
    if layout and header["light"].get("tensors_sha256") != checksum(tensors, LIGHT):
        raise ValueError("the tensors of its entry 'light' do not match their checksum")


def _check_tensor(name: str, value: Tensor, expected: _Values, sizes: dict[str, int]) -> None:
    """Check one tensor; axes that it is the first to have are added to `sizes`."""
    if value.dtype != DTYPES[expected.dtype]:
        raise ValueError(f"{name}: expected {DTYPES[expected.dtype]}, got {value.dtype}")
    axes = expected.axes.split()
    check_shape(name, value, tuple(int(axis) if axis.isdigit() else sizes.get(axis, axis) for axis in axes))
    sizes |= dict(zip(axes, value.shape, strict=True))
    if not value.numel():
        return
    low, high = (float(bound) for bound in torch.aminmax(value))  # NaN if any value is
    if isinstance(expected.high, str):
        size = sizes[expected.high]
        if not (low >= 0 and high < size):
            raise ValueError(f"{name}: expected indices in 0..{size - 1}, got {low:.0f}..{high:.0f}")
    elif not (low >= expected.low and high <= expected.high):
        raise ValueError(f"{name}: expected numbers in {expected.low:g}..{expected.high:g}, got {low:g}..{high:g}")


def _check_sizes(header: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    count, bases = sizes["N"], sizes["K"]
    if not (count and sizes["V"] and sizes["T"]):
        raise ValueError("it has no Gaussians or no mesh")
    if sizes["M"] > count:
        raise ValueError(f"avatar.blendshapes.basis: offsets of {sizes['M']} Gaussians, but there are {count}")
    if sizes["P"] not in (0, 9 * (len(JOINT_NAMES) - 1)):
        raise ValueError(f"head.posedirs: {sizes['P']} pose correctives")
    if sizes["L"] not in (0, 478):
        raise ValueError(f"head.landmark_faces: expected 478 landmarks, got {sizes['L']}")
    for key, stated, found in (
        ("gaussians", header.get("gaussians", count), count),
        ("blendshapes.count", header["blendshapes"].get("count", bases), bases),
    ):
        if stated != found:
            raise ValueError(f"its header has a wrong entry {key!r}: the tensors have {found}")


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
