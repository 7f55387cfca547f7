"""Export of the head as binary glTF 2.0: mesh, texture, ARKit's expressions as morph targets, joints, animation.

ARKit's expressions as morph targets of any head, and their weights for given head parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avatar import __version__
from avatar.common.files import atomic_path
from avatar.common.image_io import encode_png
from avatar.errors import HeadsplatError
from avatar.geometry.rotations import axis_angle_to_matrix, matrix_to_quat
from avatar.head import load_head
from avatar.head.model import HeadModel
from avatar.head.shading import vertex_normals
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import CONSENT
from avatar.motion import Bridge, load_bridge
from avatar.types import JOINT_NAMES, ROOT, HeadParams

from .gltf import ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER, Buffer, glb
from .mesh import SplitSeams
from .placement import Placement
from .texture import mesh_colors

Floats = NDArray[np.float32]
_MESH_NODE = len(JOINT_NAMES)
#: Joints per vertex in one set of joints and weights.
_INFLUENCES = 4


@dataclass(frozen=True)
class ArkitFace:
    """A neutral mesh and E named morph targets: ARKit's 52 expressions and the two eyelid expressions of headsplat.

    A target is the displacement of the skinned mesh at weight 1, joint rotations included: jawOpen alone opens the
    mouth and moves the chin. So the joints of an animation have only the rotations that are not in the expressions
    (`HeadParams.joint_rot`).
    """

    names: tuple[str, ...]
    neutral_mesh: Tensor  # [V,3] true meters, joints not rotated
    targets: Tensor  # [E,V,3] true meters
    neutral: Tensor  # [F] weights of the head for `neutral_mesh`
    to_arkit: Bridge | None  # from the head's weights to those of `names`; None if they are the same

    @staticmethod
    def of(avatar: Avatar, *, resting: bool = False) -> ArkitFace:
        """The targets of an avatar's head; for a head without ARKit's names they come from the bridge.

        Args:
            avatar: the avatar.
            resting: the neutral mesh is the person's resting face in place of the head model's neutral, and a target
                ends at the limits of the head.
        """
        head = avatar.head
        scale = avatar.true_size.scale
        if "arkit" in head.capabilities:
            neutral = avatar.neutral if resting else torch.zeros_like(avatar.neutral)
            ones = torch.eye(len(neutral))
            low, high = head.expression_limits
            added = (neutral + ones).clamp(torch.minimum(low, ones), torch.maximum(high, ones)) - neutral
            neutral_mesh, targets = _targets(head, neutral, added, None)
            return ArkitFace(head.expression_names, scale * neutral_mesh, scale * targets, neutral, None)
        arkit = load_head()
        count = len(arkit.expression_names)
        weights, joint_rot = load_bridge(arkit, head)(torch.eye(count), arkit.neutral_params(count).joint_rot)
        neutral_mesh, targets = _targets(head, avatar.neutral, weights, joint_rot)
        to_arkit = load_bridge(head, arkit)
        return ArkitFace(arkit.expression_names, scale * neutral_mesh, scale * targets, avatar.neutral, to_arkit)

    def weights(self, params: HeadParams) -> tuple[Tensor, Tensor]:
        """Weights [T,E] of the targets and remaining joint rotations [T,J,3], for parameters [T] of the head."""
        if self.to_arkit is None:
            return params.expression, params.joint_rot
        return self.to_arkit(params.expression - self.neutral, params.joint_rot)


def _targets(head: HeadModel, neutral: Tensor, weights: Tensor, joint_rot: Tensor | None) -> tuple[Tensor, Tensor]:
    """Neutral vertices and the displacements of E targets.

    Args:
        head: the head model.
        neutral: [F] weights.
        weights: [E,F] added to `neutral`, a row for each target.
        joint_rot: [E,J,3] axis-angle radians; None: none.

    Returns:
        [V,3] and [E,V,3], meters.
    """
    params = head.neutral_params(len(weights) + 1)
    params.expression[:] = neutral
    params.expression[1:] += weights
    if joint_rot is not None:
        params.joint_rot[1:] = joint_rot
    vertices = head.vertices(params)
    return vertices[0], vertices[1:] - vertices[0]


@torch.no_grad()
def write_glb(
    path: str | Path, avatar: Avatar, params: HeadParams, times: Tensor | None = None, consent: str = CONSENT
) -> Tensor:
    """Write the head mesh with its expressions atomically; meters, y up, the face looks along +z.

    Viewers show the pose of the first frame. Weights are absolute: with all weights at 0 the mesh is the head model's
    neutral for this person (for a head without ARKit's names the neutral expression of the avatar).

    Args:
        path: the file to write; an existing one is replaced.
        avatar: the avatar.
        params: [T] frames; with T > 1 they become an animation of weights and joints.
        times: [T] seconds, increasing; required for T > 1.
        consent: the consent statement stored in the file.

    Returns:
        The colors of the mesh: its texture [S,S,3], or those of its vertices [V,3]; sRGB.

    Raises:
        HeadsplatError: times are missing, or they do not increase.
    """
    if len(params) > 1 and (times is None or len(times) != len(params) or not bool((times.diff() > 0).all())):
        raise HeadsplatError(f"{path}: an animation of {len(params)} frames needs as many increasing times")
    face = ArkitFace.of(avatar)
    colors = mesh_colors(avatar)
    buffer = Buffer()
    poses = _Poses.of(avatar, face, params)
    document: dict[str, Any] = {
        "asset": asset(avatar.head, consent),
        "scene": 0,
        "scenes": [{"name": "headsplat", "nodes": [ROOT, _MESH_NODE]}],
        "nodes": [*_joints(avatar, poses), {"name": "head", "mesh": 0, "skin": 0}],
        "meshes": [face_mesh(avatar, face, poses.weights[0].tolist(), colors, buffer)],
        "skins": [skin(joint_places(avatar), buffer)],
        **material(colors, buffer),
    }
    if times is not None and len(params) > 1:
        document["animations"] = [_animation(poses, times, buffer)]
    with atomic_path(path) as part:
        part.write_bytes(glb(document, buffer))
    return colors


def material(colors: Tensor, buffer: Buffer) -> dict[str, Any]:
    """The only material, with a texture [S,S,3] if `colors` are one; those of vertices [V,3] are in the mesh."""
    surface: dict[str, Any] = {"metallicFactor": 0.0, "roughnessFactor": 0.7}  # skin is not metallic
    # Lips, lids and the mouth interior are visible from both sides.
    material = {"name": "head", "pbrMetallicRoughness": surface, "doubleSided": True}
    if colors.ndim == 2:
        return {"materials": [material]}
    surface["baseColorTexture"] = {"index": 0}
    image = (colors.clamp(0, 1) * 255).round().byte().flip(2).numpy()
    linear = 9729
    mipmaps = 9987
    clamp = 33071
    return {
        "materials": [material],
        "textures": [{"sampler": 0, "source": 0}],
        "samplers": [{"magFilter": linear, "minFilter": mipmaps, "wrapS": clamp, "wrapT": clamp}],
        "images": [{"name": "head", "mimeType": "image/png", "bufferView": buffer.add_file(encode_png(image))}],
    }


class _Poses:
    """Animated values: weights [T,E], joint rotations [T,J,4] xyzw, root position [T,3]."""

    def __init__(self, weights: Tensor, joint_rot: Tensor, root: Tensor) -> None:
        quats = matrix_to_quat(axis_angle_to_matrix(joint_rot))
        self.weights = _floats(weights)
        self.rotations = _same_hemisphere(_floats(quats[..., [1, 2, 3, 0]]))
        self.root = _floats(root)

    @staticmethod
    def of(avatar: Avatar, face: ArkitFace, params: HeadParams) -> _Poses:
        """The frames of `params` [T], centered."""
        placement = Placement.centered(avatar)
        centered = placement.params(avatar, params)
        weights, joint_rot = face.weights(centered)
        root = centered.translation + avatar.head.joint_locations(centered.identity)[ROOT]
        return _Poses(weights, joint_rot, placement.lengths(root))


def _same_hemisphere(quats: Floats) -> Floats:
    """Quaternions [T,J,4] in the hemisphere of the frame before, so that interpolation takes the shorter arc."""
    signs = np.where((quats[1:] * quats[:-1]).sum(-1, keepdims=True) < 0, -1.0, 1.0)
    quats[1:] *= np.cumprod(signs, axis=0).astype(np.float32)
    return quats


def _floats(values: Tensor) -> Floats:
    return values.detach().cpu().numpy().astype(np.float32)


def asset(head: HeadModel, consent: str) -> dict[str, Any]:
    """Who made the file, the license of the head model, and the consent statement."""
    return {
        "version": "2.0",
        "generator": f"headsplat {__version__}",
        "copyright": f"head model {head.name}: {head.license}",
        "extras": {"headModel": head.name, "headModelLicence": head.license, "consent": consent},
    }


def _joints(avatar: Avatar, poses: _Poses) -> list[dict[str, Any]]:
    """The node of each joint, in the pose of the first frame."""
    head = avatar.head
    rest = joint_places(avatar)
    nodes: list[dict[str, Any]] = []
    for joint, parent in enumerate(head.parents):
        position = poses.root[0] if parent < 0 else rest[joint] - rest[parent]
        children = [child for child, its_parent in enumerate(head.parents) if its_parent == joint]
        node = {
            "name": JOINT_NAMES[joint],
            "translation": position.tolist(),
            "rotation": poses.rotations[0, joint].tolist(),
        }
        nodes.append(node | ({"children": children} if children else {}))
    return nodes


def joint_places(avatar: Avatar) -> Floats:
    """Where the joints [J,3] of the head are, true meters, no joint rotated."""
    head = avatar.head
    return _floats(avatar.true_size.scale * head.joint_locations(head.neutral_params().identity))


def skin(rest: Floats, buffer: Buffer) -> dict[str, Any]:
    """The skin of the first J nodes, which are at `rest` [J,3] and not rotated."""
    inverse = np.tile(np.eye(4, dtype=np.float32), (len(rest), 1, 1))
    inverse[:, 3, :3] = -rest  # column-major, as required by the format
    return {
        "name": "head",
        "joints": list(range(len(rest))),
        "skeleton": ROOT,
        "inverseBindMatrices": buffer.add(inverse.reshape(-1, 16)),
    }


def face_mesh(avatar: Avatar, face: ArkitFace, shown: list[float], colors: Tensor, buffer: Buffer) -> dict[str, Any]:
    """The mesh with its E morph targets.

    Args:
        avatar: the avatar.
        face: its targets.
        shown: weights of the targets until a program sets others.
        colors: as of `mesh_colors`.
        buffer: where the arrays go.
    """
    head = avatar.head
    seams = SplitSeams.of(avatar.head)
    joints, weights = _influences(head.lbs_weights[seams.vertex])

    def vertices(values: Tensor, bounds: bool = False) -> int:
        return buffer.add(_floats(values), ARRAY_BUFFER, bounds=bounds)

    uv = seams.uv * seams.uv.new_tensor([1.0, -1.0]) + seams.uv.new_tensor([0.0, 1.0])
    attributes = {
        "POSITION": vertices(face.neutral_mesh[seams.vertex], bounds=True),
        "NORMAL": vertices(vertex_normals(face.neutral_mesh, head.faces)[seams.vertex]),
        "TEXCOORD_0": vertices(uv),
        "JOINTS_0": buffer.add(joints, ARRAY_BUFFER),
        "WEIGHTS_0": vertices(weights),
    }
    if colors.ndim == 2:
        attributes["COLOR_0"] = vertices(to_linear(colors[seams.vertex]))
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
        "weights": shown,
        "extras": {"targetNames": list(face.names)},
    }


def _influences(lbs_weights: Tensor) -> tuple[NDArray[np.uint8], Tensor]:
    """The joints [M,4] of each vertex with the largest weights, and these weights [M,4], normalized; 0 if unused."""
    weights, joints = lbs_weights.topk(_INFLUENCES, dim=1)
    weights = weights / weights.sum(1, keepdim=True)
    return torch.where(weights > 0, joints, 0).numpy().astype(np.uint8), weights


def to_linear(srgb: Tensor) -> Tensor:
    """sRGB 0..1 to linear (IEC 61966-2-1), as the format requires for vertex colors."""
    return torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _animation(poses: _Poses, times: Tensor, buffer: Buffer) -> dict[str, Any]:
    """Linear keyframes of all weights, the root position, and the rotations of joints that move."""
    start = buffer.add(_floats(times - times[0]), bounds=True)
    samplers: list[dict[str, Any]] = []
    channels: list[dict[str, Any]] = []

    def animate(node: int, path: str, values: Floats) -> None:
        channels.append({"sampler": len(samplers), "target": {"node": node, "path": path}})
        samplers.append({"input": start, "output": buffer.add(values), "interpolation": "LINEAR"})

    animate(_MESH_NODE, "weights", poses.weights.reshape(-1, 1))
    animate(ROOT, "translation", poses.root)
    for joint in range(len(JOINT_NAMES)):
        if np.ptp(poses.rotations[:, joint], axis=0).max() > 0:
            animate(joint, "rotation", poses.rotations[:, joint])
    return {"name": "motion", "samplers": samplers, "channels": channels}
