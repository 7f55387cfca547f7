"""Export of the head as VRM 1.0, the avatar format of VTuber and chat programs: glTF 2.0 with `VRMC_vrm`.

The mesh, its texture and its morph targets are those of a .glb. VRM requires a whole humanoid: the bones below the
shoulders have no mesh. Specification: https://github.com/vrm-c/vrm-specification, VRMC_vrm 1.0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avatar import __version__
from avatar.common.files import atomic_path
from avatar.common.printable import single_line
from avatar.head.arkit import ARKIT_52
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import CONSENT
from avatar.types import JAW, LEFT_EYE, NECK, RIGHT_EYE, ROOT

from .glb import ArkitFace, Floats, asset, face_mesh, joint_places, material, skin
from .gltf import Buffer, glb
from .texture import mesh_colors

EXTENSION = "VRMC_vrm"
_UNLIT = "KHR_materials_unlit"
#: Meters from the ground to the origin of the head model, between the eyes: that of a standing adult.
EYE_HEIGHT = 1.6
#: Bones of the head by joint. The jaw is none of VRM's: programs that move it would open the mouth a second time.
_JOINTS = {ROOT: "upperChest", NECK: "head", JAW: None, LEFT_EYE: "leftEye", RIGHT_EYE: "rightEye"}
#: Bones without a mesh: parent, and place in meters above the ground and in front of the spine, to the person's left.
_TRUNK = {"hips": (None, 0.95), "spine": ("hips", 1.05), "chest": ("spine", 1.2)}
_LIMBS = {
    "Shoulder": ("upperChest", (0.04, 1.38)),
    "UpperArm": ("Shoulder", (0.17, 1.38)),
    "LowerArm": ("UpperArm", (0.43, 1.38)),
    "Hand": ("LowerArm", (0.67, 1.38)),
    "UpperLeg": ("hips", (0.09, 0.9)),
    "LowerLeg": ("UpperLeg", (0.09, 0.5)),
    "Foot": ("LowerLeg", (0.09, 0.08)),
}
#: Presets of lids and gaze, of ARKit's weights at 1.
_EYES = {
    "blink": ("eyeBlinkLeft", "eyeBlinkRight"),
    "blinkLeft": ("eyeBlinkLeft",),
    "blinkRight": ("eyeBlinkRight",),
    "lookUp": ("eyeLookUpLeft", "eyeLookUpRight"),
    "lookDown": ("eyeLookDownLeft", "eyeLookDownRight"),
    "lookLeft": ("eyeLookOutLeft", "eyeLookInRight"),
    "lookRight": ("eyeLookInLeft", "eyeLookOutRight"),
}
#: Degrees that such a weight turns the eyes of the head models.
_GAZE = {"HorizontalInner": 28.0, "HorizontalOuter": 28.0, "VerticalDown": 26.0, "VerticalUp": 22.0}
_MESH_NODE = len(_JOINTS)
_NAME_LENGTH = 80


@dataclass(frozen=True)
class _Bone:
    """A node of the humanoid; `place` is in meters, +x to the person's left, y up from the ground, +z forward."""

    name: str
    parent: str | None
    place: Floats  # [3]
    humanoid: bool = True


@torch.no_grad()
def write_vrm(
    path: str | Path, avatar: Avatar, presets: Mapping[str, Mapping[str, float]], consent: str = CONSENT
) -> Tensor:
    """Write the head mesh of an avatar as VRM 1.0 atomically; an existing file is replaced.

    Meters, feet on the ground, the face looks along +z, all expressions at 0: the person's resting face. Expressions
    of VRM are the presets, and ARKit's 52 by the names of "perfect sync" (`JawOpen`).

    Args:
        path: the file to write.
        avatar: the avatar.
        presets: ARKit weights by name of the preset of VRM: happy, aa, ...; those of lids and gaze are known.
        consent: the consent statement stored in the file.

    Returns:
        The colors of the mesh: its texture [S,S,3], or those of its vertices [V,3]; sRGB.
    """
    face = ArkitFace.of(avatar, resting=True)
    colors = mesh_colors(avatar)
    lift = np.array([0.0, EYE_HEIGHT, 0.0], np.float32)
    face = replace(face, neutral_mesh=face.neutral_mesh + torch.from_numpy(lift))
    places = joint_places(avatar) + lift
    bones = _bones(places)
    buffer = Buffer()
    document: dict[str, Any] = {
        "asset": asset(avatar.head, consent),
        "extensionsUsed": [EXTENSION, _UNLIT],
        "scene": 0,
        "scenes": [{"name": "headsplat", "nodes": [_node_of(bones, "hips"), _MESH_NODE]}],
        "nodes": _nodes(bones),
        "meshes": [face_mesh(avatar, face, [0.0] * len(face.names), colors, buffer)],
        "skins": [skin(places, buffer) | {"skeleton": _node_of(bones, "hips")}],
        **material(colors, buffer),
        "extensions": {
            EXTENSION: {
                "specVersion": "1.0",
                "meta": _meta(Path(path).stem, avatar, consent),
                "humanoid": {
                    "humanBones": {bone.name: {"node": _node_of(bones, bone.name)} for bone in bones if bone.humanoid}
                },
                "firstPerson": {"meshAnnotations": [{"node": _MESH_NODE, "type": "auto"}]},
                "lookAt": _look_at(places),
                "expressions": _expressions(face.names, presets),
            }
        },
    }
    # The texture has the light of the video: another one would shade the face twice.
    for entry in document["materials"]:
        entry["extensions"] = {_UNLIT: {}}
    with atomic_path(path) as part:
        part.write_bytes(glb(document, buffer))
    return colors


def _bones(places: Floats) -> list[_Bone]:
    """The joints of the head at `places` [J,3], in their order, then the bones without a mesh."""
    depth = float(places[ROOT, 2])
    parents = {ROOT: "chest", NECK: "neck"}
    bones = [
        _Bone(name or "jaw", parents.get(joint, "head"), places[joint], name is not None)
        for joint, name in _JOINTS.items()
    ]
    bones += [_Bone(name, parent, _at(0, height, depth)) for name, (parent, height) in _TRUNK.items()]
    bones.append(_Bone("neck", "upperChest", (places[ROOT] + places[NECK]) / 2))
    for side, sign in (("left", 1), ("right", -1)):
        for name, (parent, (aside, height)) in _LIMBS.items():
            above = f"{side}{parent}" if parent in _LIMBS else parent
            bones.append(_Bone(f"{side}{name}", above, _at(sign * aside, height, depth)))
    return bones


def _at(*place: float) -> Floats:
    return np.array(place, np.float32)


def _node_of(bones: list[_Bone], name: str) -> int:
    """The number of the node of a bone; that of the mesh is behind the joints of the head."""
    row = [bone.name for bone in bones].index(name)
    return row + (row >= _MESH_NODE)


def _nodes(bones: list[_Bone]) -> list[dict[str, Any]]:
    by_name = {bone.name: bone for bone in bones}
    nodes: list[dict[str, Any]] = []
    for bone in bones:
        origin = 0 if bone.parent is None else by_name[bone.parent].place
        node: dict[str, Any] = {"name": bone.name, "translation": (bone.place - origin).tolist()}
        children = [_node_of(bones, child.name) for child in bones if child.parent == bone.name]
        nodes.append(node | ({"children": children} if children else {}))
    nodes.insert(_MESH_NODE, {"name": "face", "mesh": 0, "skin": 0})
    return nodes


def _meta(name: str, avatar: Avatar, consent: str) -> dict[str, Any]:
    """Who may use the file: the most restrictive answer to each question of VRM."""
    return {
        "name": single_line(name)[:_NAME_LENGTH],
        "version": f"headsplat {__version__}",
        "authors": ["the person shown"],
        "copyrightInformation": single_line(consent),
        "thirdPartyLicenses": f"head model {avatar.head.name}: {avatar.head.license}",
        "licenseUrl": "https://vrm.dev/licenses/1.0/",
        "avatarPermission": "onlyAuthor",
        "allowExcessivelyViolentUsage": False,
        "allowExcessivelySexualUsage": False,
        "commercialUsage": "personalNonProfit",
        "allowPoliticalOrReligiousUsage": False,
        "allowAntisocialOrHateUsage": False,
        "creditNotation": "required",
        "allowRedistribution": False,
        "modification": "prohibited",
    }


def _look_at(places: Floats) -> dict[str, Any]:
    """The gaze by expressions, so that the lids follow it as in the head model."""
    eyes = (places[LEFT_EYE] + places[RIGHT_EYE]) / 2
    ranges = {f"rangeMap{key}": {"inputMaxValue": degrees, "outputScale": 1.0} for key, degrees in _GAZE.items()}
    return {"type": "expression", "offsetFromHeadBone": (eyes - places[NECK]).tolist(), **ranges}


def perfect_sync(name: str) -> str:
    """ARKit's name in the spelling that programs with "perfect sync" look for: `JawOpen`."""
    return name[0].upper() + name[1:]


def _expressions(names: tuple[str, ...], presets: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    def bound(weights: Iterable[tuple[str, float]]) -> dict[str, Any]:
        binds = [
            {"node": _MESH_NODE, "index": names.index(name), "weight": weight}
            for name, weight in weights
            if name in names
        ]
        return {"morphTargetBinds": binds, "isBinary": False}

    return {
        "preset": {
            **{name: bound(weights.items()) for name, weights in presets.items()},
            **{name: bound((side, 1.0) for side in sides) for name, sides in _EYES.items()},
        },
        "custom": {perfect_sync(name): bound([(name, 1.0)]) for name in ARKIT_52 if name in names},
    }
