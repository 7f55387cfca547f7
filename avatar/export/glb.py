"""The head as a glTF 2.0 binary: mesh, ARKit's expressions as morph targets, a skin of five joints, an animation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avatar import __version__
from avatar.common.files import atomic_path
from avatar.errors import HeadsplatError
from avatar.geometry.rotations import axis_angle_to_matrix, matrix_to_quat
from avatar.head.model import HeadModel
from avatar.head.shading import vertex_normals
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import CONSENT
from avatar.types import JOINT_NAMES, ROOT, HeadParams

from .face import ArkitFace
from .gltf import ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER, Buffer, glb
from .mesh import Seams, vertex_colors
from .placement import Place

Floats = NDArray[np.float32]
_MESH_NODE = len(JOINT_NAMES)
#: What a vertex can follow in one set of joints and weights.
_INFLUENCES = 4


@torch.no_grad()
def write_glb(
    path: str | Path, avatar: Avatar, params: HeadParams, times: Tensor | None = None, consent: str = CONSENT
) -> None:
    """Write the head's mesh with its expressions, whole or not at all; meters, y up, the face looks along +z.

    The file opens in the pose of the first frame. Weights of expressions are absolute: all at 0 is the head model's
    neutral of this person (for a head without ARKit's names, the person's resting face).

    Args:
        path: the file to write; an existing one is replaced.
        avatar: whose head.
        params: [T] frames; more than one become an animation of weights and joints.
        times: [T] seconds, increasing; needed where T > 1.
        consent: a sentence kept in the file.

    Raises:
        HeadsplatError: there are frames without times, or times that do not increase.
    """
    if len(params) > 1 and (times is None or len(times) != len(params) or not bool((times.diff() > 0).all())):
        raise HeadsplatError(f"{path}: an animation of {len(params)} frames needs as many times that increase")
    face, buffer = ArkitFace.of(avatar), Buffer()
    poses = _Poses.of(avatar, face, params)
    document: dict[str, Any] = {
        "asset": _asset(avatar.head, consent),
        "scene": 0,
        "scenes": [{"name": "headsplat", "nodes": [ROOT, _MESH_NODE]}],
        "nodes": [*_joints(avatar.head, poses), {"name": "head", "mesh": 0, "skin": 0}],
        "meshes": [_mesh(avatar, face, poses, buffer)],
        "materials": [_MATERIAL],
        "skins": [_skin(avatar.head, buffer)],
    }
    if times is not None and len(params) > 1:
        document["animations"] = [_animation(poses, times, buffer)]
    with atomic_path(path) as part:
        part.write_bytes(glb(document, buffer))


#: Lips, lids and the mouth's inside are seen from both sides; skin is no metal.
_MATERIAL = {
    "name": "vertex colors",
    "pbrMetallicRoughness": {"baseColorFactor": [1.0, 1.0, 1.0, 1.0], "metallicFactor": 0.0, "roughnessFactor": 0.7},
    "doubleSided": True,
}


class _Poses:
    """What moves: weights [T,E], rotations [T,J,4] xyzw of the joints and the root's place [T,3]."""

    def __init__(self, weights: Tensor, joint_rot: Tensor, root: Tensor) -> None:
        quats = matrix_to_quat(axis_angle_to_matrix(joint_rot))
        self.weights = _floats(weights)
        self.rotations = _one_side(_floats(quats[..., [1, 2, 3, 0]]))
        self.root = _floats(root)

    @staticmethod
    def of(avatar: Avatar, face: ArkitFace, params: HeadParams) -> _Poses:
        """The frames of `params` [T], centered."""
        here = Place.centered(avatar).params(avatar, params)
        weights, joint_rot = face.weights(here)
        return _Poses(weights, joint_rot, here.translation + avatar.head.joint_locations(here.identity)[ROOT])


def _one_side(quats: Floats) -> Floats:
    """Quaternions [T,J,4] with the sign of the frame before: interpolation then goes the short way everywhere."""
    agree = np.where((quats[1:] * quats[:-1]).sum(-1, keepdims=True) < 0, -1.0, 1.0)
    quats[1:] *= np.cumprod(agree, axis=0).astype(np.float32)
    return quats


def _floats(values: Tensor) -> Floats:
    return values.detach().cpu().numpy().astype(np.float32)


def _asset(head: HeadModel, consent: str) -> dict[str, Any]:
    return {
        "version": "2.0",
        "generator": f"headsplat {__version__}",
        "copyright": f"head model {head.name}: {head.license}",
        "extras": {"headModel": head.name, "headModelLicence": head.license, "consent": consent},
    }


def _joints(head: HeadModel, poses: _Poses) -> list[dict[str, Any]]:
    """A node for each joint, in the pose of the first frame."""
    rest = _floats(head.joint_locations(head.neutral_params().identity))
    nodes: list[dict[str, Any]] = []
    for joint, parent in enumerate(head.parents):
        place = poses.root[0] if parent < 0 else rest[joint] - rest[parent]
        children = [child for child, above in enumerate(head.parents) if above == joint]
        node = {
            "name": JOINT_NAMES[joint],
            "translation": place.tolist(),
            "rotation": poses.rotations[0, joint].tolist(),
        }
        nodes.append(node | ({"children": children} if children else {}))
    return nodes


def _skin(head: HeadModel, buffer: Buffer) -> dict[str, Any]:
    rest = _floats(head.joint_locations(head.neutral_params().identity))
    inverse = np.tile(np.eye(4, dtype=np.float32), (len(rest), 1, 1))
    inverse[:, 3, :3] = -rest  # column after column, as the format keeps matrices
    return {
        "name": "head",
        "joints": list(range(len(rest))),
        "skeleton": ROOT,
        "inverseBindMatrices": buffer.add(inverse.reshape(-1, 16)),
    }


def _mesh(avatar: Avatar, face: ArkitFace, poses: _Poses, buffer: Buffer) -> dict[str, Any]:
    head, seams = avatar.head, Seams.of(avatar.head)
    joints, weights = _influences(head.lbs_weights[seams.vertex])

    def vertices(values: Tensor, bounds: bool = False) -> int:
        return buffer.add(_floats(values), ARRAY_BUFFER, bounds=bounds)

    uv = seams.uv * seams.uv.new_tensor([1.0, -1.0]) + seams.uv.new_tensor([0.0, 1.0])
    attributes = {
        "POSITION": vertices(face.rest[seams.vertex], bounds=True),
        "NORMAL": vertices(vertex_normals(face.rest, head.faces)[seams.vertex]),
        "TEXCOORD_0": vertices(uv),
        "COLOR_0": vertices(_linear(vertex_colors(avatar)[seams.vertex])),
        "JOINTS_0": buffer.add(joints, ARRAY_BUFFER),
        "WEIGHTS_0": vertices(weights),
    }
    primitive = {
        "attributes": attributes,
        "indices": buffer.add(seams.faces.numpy().astype("<u4").reshape(-1), ELEMENT_ARRAY_BUFFER),
        "material": 0,
        "mode": 4,
        "targets": [{"POSITION": vertices(target[seams.vertex], bounds=True)} for target in face.targets],
    }
    return {
        "name": "head",
        "primitives": [primitive],
        "weights": poses.weights[0].tolist(),
        "extras": {"targetNames": list(face.names)},
    }


def _influences(lbs_weights: Tensor) -> tuple[NDArray[np.uint8], Tensor]:
    """The strongest joints [M,4] of each vertex and their weights [M,4], of sum 1; joint 0 where there is none."""
    weights, joints = lbs_weights.topk(_INFLUENCES, dim=1)
    weights = weights / weights.sum(1, keepdim=True)
    return torch.where(weights > 0, joints, 0).numpy().astype(np.uint8), weights


def _linear(srgb: Tensor) -> Tensor:
    """Linear values of sRGB 0..1: what the format asks of vertex colors (IEC 61966-2-1)."""
    return torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _animation(poses: _Poses, times: Tensor, buffer: Buffer) -> dict[str, Any]:
    """Linear keys of all weights, the root's place and the rotation of every joint that turns."""
    start = buffer.add(_floats(times - times[0]), bounds=True)
    samplers: list[dict[str, Any]] = []
    channels: list[dict[str, Any]] = []

    def drive(node: int, path: str, values: Floats) -> None:
        channels.append({"sampler": len(samplers), "target": {"node": node, "path": path}})
        samplers.append({"input": start, "output": buffer.add(values), "interpolation": "LINEAR"})

    drive(_MESH_NODE, "weights", poses.weights.reshape(-1, 1))
    drive(ROOT, "translation", poses.root)
    for joint in range(len(JOINT_NAMES)):
        if np.ptp(poses.rotations[:, joint], axis=0).max() > 0:
            drive(joint, "rotation", poses.rotations[:, joint])
    return {"name": "motion", "samplers": samplers, "channels": channels}
