"""Export as an avatar bundle of LAM (Large Avatar Model): a .zip for its web renderer and OpenAvatarChat.

A folder in the .zip has `skin.glb`, a mesh with a vertex for each Gaussian and ARKit's morph targets; `offset.ply`, the
Gaussians by their offset from the vertices; `animation.glb`, clips for the states of a conversation; and
`vertex_order.json`. The layout is that which `gaussian-splat-renderer-for-lam` 0.0.8 (npm, MIT) reads. LAM's own
avatars have the vertices of FLAME there; the renderer only needs as many vertices as Gaussians. It moves centers, by
morph targets and the bone `head`: rotations, sizes and colors of Gaussians are those of the resting face.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avatar import __version__
from avatar.common.files import atomic_path
from avatar.errors import HeadsplatError
from avatar.geometry.rotations import SH_C0
from avatar.head.arkit import ARKIT_52
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import CONSENT
from avatar.types import NECK, Gaussians

from .glb import joint_places, skin
from .gltf import ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER, Buffer, glb
from .layer_gaussians import FaceGaussians, with_layer
from .placement import Placement
from .ply import ply_bytes, remarks
from .posed import posed

_FOLDER = "avatar"
#: Meters above the ground of the point between the eyes, so that the head is before the renderer's camera.
EYE_HEIGHT = 1.63
_HIP = (0.0, 0.95, 0.0)
_HEAD_BONE = 1
#: Clips in the order in which the renderer takes them: hello, idle (listening too), speaking, thinking.
_CLIPS = {"hello": 2, "idle": 1, "speak": 6, "think": 3}
_CLIP_SECONDS = 4.0
#: The renderer keeps all morph targets and the mesh in a texture of this many texels.
_TEXELS = 4096 * 2048
_DATE = (1980, 1, 1, 0, 0, 0)


@torch.no_grad()
def write_lam(path: str | Path, avatar: Avatar, consent: str = CONSENT) -> None:
    """Write the bundle of an avatar atomically; an existing file is replaced.

    Meters, y up, the face looks along +z. All weights at 0 are the person's resting face.

    Args:
        path: the .zip to write.
        avatar: the avatar.
        consent: the consent statement stored in its files.

    Raises:
        HeadsplatError: the renderer cannot store as many Gaussians.
    """
    names = [
        name for name in ARKIT_52 if "arkit" not in avatar.head.capabilities or name in avatar.head.expression_names
    ]
    rest = _placed(avatar, {})
    gaussians = _complete(avatar, rest)
    count = gaussians.means.shape[1]
    most = _TEXELS // (len(names) + 1)
    if count > most:
        raise HeadsplatError(
            f"{path}: LAM's renderer stores up to {most} Gaussians, the avatar has {count}; train it with fewer"
        )
    targets = _targets(avatar, rest, names)
    lifted = gaussians.means[0] + gaussians.means.new_tensor([0.0, EYE_HEIGHT, 0.0])
    info = {"version": "2.0", "generator": f"headsplat {__version__}", "extras": {"consent": consent}}
    bones = np.array([_HIP, joint_places(avatar)[NECK] + (0, EYE_HEIGHT, 0)], np.float32)
    offsets = ply_bytes(
        _as_offsets(gaussians), remarks("offsets from the vertices of skin.glb", consent, avatar.sampling)
    )
    files = {
        "skin.glb": _skin(lifted, targets, names, bones, info),
        "offset.ply": offsets,
        "animation.glb": _animation(bones, info),
        "vertex_order.json": json.dumps(list(range(count))).encode(),
    }
    with atomic_path(path) as part:
        part.write_bytes(_zipped(files))


def _placed(avatar: Avatar, weights: dict[str, float]) -> Gaussians:
    return Placement.centered(avatar).gaussians(avatar(posed(avatar, weights)))


def _complete(avatar: Avatar, rest: Gaussians) -> Gaussians:
    """Gaussians [1,N] of the resting face, those in place of its layer included."""
    if rest.layer is None:
        return rest
    # Closed lips darken what is behind them, where an open mouth shows it.
    opened = _placed(avatar, {"jawOpen": 0.5}).layer
    assert opened is not None
    return with_layer(replace(rest, layer=replace(rest.layer, shade=opened.shade)))


def _targets(avatar: Avatar, rest: Gaussians, names: list[str]) -> Tensor:
    """How the centers of the Gaussians move [E,N,3] with each expression of `names`, meters."""
    faces = _layer_faces(rest)
    start = _centers(rest, faces)
    return torch.stack([_centers(_placed(avatar, {name: 1.0}), faces) - start for name in names])


def _layer_faces(rest: Gaussians) -> Tensor | None:
    """The faces [M,3] of the layer that `with_layer` makes Gaussians of."""
    layer = rest.layer
    return (
        None
        if layer is None
        else FaceGaussians.of(layer.mesh, _layer_vertices(rest), layer.shade[0], layer.texels).faces
    )


def _layer_vertices(gaussians: Gaussians) -> Tensor:
    layer = gaussians.layer
    assert layer is not None
    return layer.vertices[0] @ layer.rotation[0].T + layer.translation[0]


def _centers(gaussians: Gaussians, faces: Tensor | None) -> Tensor:
    """Centers [N,3] of Gaussians [1,...] and of faces [M,3] of their layer, meters."""
    if faces is None:
        return gaussians.means[0]
    return torch.cat([gaussians.means[0], _layer_vertices(gaussians)[faces].mean(1)])


def _as_offsets(gaussians: Gaussians) -> Gaussians:
    """Gaussians at offset 0, with colors 0..1 in place of coefficients; the renderer cuts them off at full steps."""
    colors = (0.5 + SH_C0 * gaussians.sh[:, :, :1] + 0.5 / 255).clamp(0, 1)
    return replace(gaussians, means=torch.zeros_like(gaussians.means), sh=colors)


def _bones(places: np.ndarray) -> list[dict[str, Any]]:
    """The nodes `hip` and `head`, which the renderer looks for by name, at [2,3] meters."""
    return [
        {"name": "hip", "translation": places[0].tolist(), "children": [_HEAD_BONE]},
        {"name": "head", "translation": (places[1] - places[0]).tolist()},
    ]


def _skin(centers: Tensor, targets: Tensor, names: list[str], bones: np.ndarray, info: dict[str, Any]) -> bytes:
    """`skin.glb`: vertices [N,3], all moved by the bone `head`, and targets [E,N,3]; one triangle makes it a mesh."""
    buffer = Buffer()
    joints = np.zeros((len(centers), 4), np.uint8)
    joints[:, 0] = _HEAD_BONE
    weights = np.zeros((len(centers), 4), np.float32)
    weights[:, 0] = 1

    def stored(values: Tensor) -> int:
        return buffer.add(values.numpy().astype(np.float32), ARRAY_BUFFER, bounds=True)

    primitive = {
        "attributes": {
            "POSITION": stored(centers),
            "JOINTS_0": buffer.add(joints, ARRAY_BUFFER),
            "WEIGHTS_0": buffer.add(weights, ARRAY_BUFFER),
        },
        "indices": buffer.add(np.arange(3, dtype=np.uint32), ELEMENT_ARRAY_BUFFER),
        "mode": 4,
        "targets": [{"POSITION": stored(target)} for target in targets],
    }
    document = {
        "asset": info,
        "scene": 0,
        "scenes": [{"nodes": [0, 2]}],
        "nodes": [*_bones(bones), {"name": "gaussians", "mesh": 0, "skin": 0}],
        "meshes": [{"primitives": [primitive], "extras": {"targetNames": names}}],
        "skins": [{"joints": [0, 1], "skeleton": 0, **skin(bones, buffer)}],
    }
    return glb(document, buffer)


def _animation(bones: np.ndarray, info: dict[str, Any]) -> bytes:
    """`animation.glb`: in each clip the head is still; the expressions come from the program."""
    buffer = Buffer()
    times = buffer.add(np.array([0.0, _CLIP_SECONDS], np.float32), bounds=True)
    still = buffer.add(np.tile(np.array([0, 0, 0, 1], np.float32), (2, 1)))
    clip = {
        "samplers": [{"input": times, "output": still, "interpolation": "LINEAR"}],
        "channels": [{"sampler": 0, "target": {"node": _HEAD_BONE, "path": "rotation"}}],
    }
    names = [f"{state}{number}" for state, count in _CLIPS.items() for number in range(count)]
    document = {
        "asset": info,
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": _bones(bones),
        "animations": [{"name": name, **clip} for name in names],
    }
    return glb(document, buffer)


def _zipped(files: dict[str, bytes]) -> bytes:
    """A .zip with a folder, which the renderer finds by its own entry; equal for equal files."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in {"": b"", **files}.items():
            entry = zipfile.ZipInfo(f"{_FOLDER}/{name}", _DATE)
            entry.external_attr = (0o100644 if name else 0o040755) << 16
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED if name else zipfile.ZIP_STORED)
    return content.getvalue()
