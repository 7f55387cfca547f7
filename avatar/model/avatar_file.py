"""The .avatar file: one safetensors file with a JSON header; all that rendering needs, no pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from avatar import ops
from avatar.common.files import atomic_path
from avatar.head.model import HeadModel
from avatar.model.appearance_file import appearance_entry, appearance_tensors, check_appearance, restore_appearance
from avatar.model.avatar import Avatar
from avatar.model.avatar_checks import DTYPES, check_light, check_person, check_tensors, checksum
from avatar.model.avatar_header import (
    APPEARANCE,
    ENTRY,
    LIGHT,
    MAGIC,
    VERSION,
    WRINKLES,
    StoredTensor,
    damaged,
    read_stored,
)
from avatar.model.avatar_header import read_header as read_header
from avatar.model.blendshapes import Blendshapes
from avatar.model.light.light_file import light_entry, light_tensors, restore_light
from avatar.model.mesh_layer import MeshLayer, has_parts
from avatar.model.person_file import person_entry, person_tensors, restore_person
from avatar.model.rig import Rig
from avatar.model.sampling import Sampling
from avatar.model.stretch import Stretch
from avatar.model.torso import TorsoMap
from avatar.model.weight_network import WeightNetwork
from avatar.model.wrinkles_file import restore_wrinkles, wrinkle_entry, wrinkle_tensors
from avatar.ops.devices import chosen_device
from avatar.types import JOINT_NAMES, LOCAL_NAMES, Binding, LocalGaussians, check_shape

#: That of avatars without a network for the weights of blendshapes, which earlier versions of headsplat can read.
_WITHOUT_NETWORK = 4
CONSENT = "Avatars are of people: use this one only as the person it shows has agreed to."
AXES = "world: meters, y up, the face looks along +z; quaternions wxyz; colors display sRGB"
#: Tensors of the head model that the file carries, the expression basis in half precision.
HEAD_TENSORS = (
    "v_template", "faces", "exprdirs", "joint_dirs", "curvedirs", "curve_columns", "posedirs", "J_regressor",
    "lbs_weights", "landmark_faces", "landmark_bary", "uv", "uv_faces", "colors",
)  # fmt: skip
HALF = {"head.exprdirs", "head.curvedirs", "head.posedirs", "layer.texels"}
NARROW = {"head.faces", "head.uv_faces", "head.landmark_faces", "avatar.rig.triangles"}


def save_avatar(path: str | Path, avatar: Avatar, extras: Mapping[str, Any] | None = None) -> None:
    """Write `avatar` to `path`, whole or not at all.

    Args:
        path: the file to write; replaced if it exists.
        avatar: the avatar to store.
        extras: further entries of the header (settings, capture, consent note); plain JSON values.
    """
    apart = ("layer.", LIGHT, APPEARANCE, WRINKLES)  # stored under names of their own
    tensors = {f"avatar.{name}": value for name, value in avatar.state_dict().items() if not name.startswith(apart)}
    if avatar.layer is not None:
        tensors["layer.texels"] = avatar.layer.texels()
        tensors["layer.shadow"] = avatar.layer.eye_light.shadow
        # Training limits them every few steps only.
        tensors["layer.reflections"] = avatar.layer.eye_light.reflections.clamp(0, 1)
    tensors |= {"avatar.sampling": avatar.sampling.tensor(), "avatar.rig.stretch": _stretch_mask(avatar)}
    tensors |= {f"head.{name}": getattr(avatar.head, name) for name in HEAD_TENSORS}
    tensors |= {f"region.{name}": mask for name, mask in avatar.head.regions.items()}
    packed = {name: _pack(name, value) for name, value in tensors.items()}
    header = describe(avatar) | dict(extras or {}) | {"tensors_sha256": checksum(packed)}
    for name in ("person", "light", ENTRY, "wrinkles"):  # of the avatar, not of the file that `extras` come from
        header.pop(name, None)
    header |= person_entry(avatar) | light_entry(avatar) | appearance_entry(avatar) | wrinkle_entry(avatar)
    packed |= {name: _pack(name, value) for name, value in person_tensors(avatar).items()}
    packed |= light_tensors(avatar) | appearance_tensors(avatar) | wrinkle_tensors(avatar)
    with atomic_path(Path(path), SafetensorError, RuntimeError) as part:
        save_file(packed, part, metadata={"headsplat": json.dumps(header)})


def describe(avatar: Avatar) -> dict[str, Any]:
    """The header of the file `save_avatar` writes."""
    return {
        "magic": MAGIC,
        "version": _WITHOUT_NETWORK if avatar.blendshapes.network is None else VERSION,
        "axes": AXES,
        "units": "metres, radians, seconds",
        "joints": list(JOINT_NAMES),
        "layer_skin": avatar.layer is not None and avatar.layer.skin,
        "gaussians": len(avatar),
        "blendshapes": {"mode": avatar.blendshapes.mode, "count": avatar.blendshapes.basis.shape[0]},
        "expression_names": list(avatar.head.expression_names),
        "head": {
            "name": avatar.head.name,
            "licence": avatar.head.license,
            "parents": list(avatar.head.parents),
            "capabilities": sorted(avatar.head.capabilities),
        },
        "training": dict(avatar.provenance),
        "consent": CONSENT,
    }


def load_avatar(path: str | Path, device: str | torch.device = "cpu") -> Avatar:
    """Read an avatar file.

    The file is read once: the avatar does not change with it.

    Args:
        path: the .avatar file.
        device: where its tensors go: `cpu`, `cuda`, `cuda:N`, or `auto`: a GPU that native kernels can use, else the
            CPU. The CUDA kernels have been tested on an emulator only.

    Raises:
        HeadsplatError: no file, not an avatar, damaged, or of a newer version; an unknown device, or no such GPU.
    """
    place = chosen_device(device)
    avatar = read_avatar(path)[1]
    return avatar if place.type == "cpu" else avatar.to(place)


def read_avatar(path: str | Path) -> tuple[dict[str, Any], Avatar]:
    """The header and the avatar of a file, from one reading of it.

    Raises:
        HeadsplatError: no file, not an avatar, damaged, or of a newer version.
    """
    header, stored = read_stored(Path(path))
    tensors = {name: _tensor(value) for name, value in stored.items()}
    with ops.one_thread():
        try:
            check_tensors(tensors, header)
            check_person(tensors, header)
            check_light(tensors, header)
            check_appearance(tensors, header)
        except ValueError as error:
            raise damaged(Path(path), str(error)) from error
        avatar = _assemble(header, {name: _unpack(name, value) for name, value in tensors.items()})
        try:
            _add_layer(avatar, tensors, header.get("layer_skin") is True)
            restore_wrinkles(avatar, header, tensors)
        except ValueError as error:
            raise damaged(Path(path), str(error)) from error
    restore_person(avatar, header, tensors)
    restore_light(avatar, tensors)
    restore_appearance(avatar, header, tensors)
    return header, avatar


def _tensor(value: StoredTensor) -> Tensor:
    """A stored tensor, in the memory that it was read to."""
    dtype = DTYPES[value.dtype]
    if not len(value.data):
        return torch.empty(value.shape, dtype=dtype)
    return torch.frombuffer(value.data, dtype=dtype).reshape(value.shape)


def _assemble(header: Mapping[str, Any], stored: Mapping[str, Tensor]) -> Avatar:
    def group(prefix: str) -> dict[str, Tensor]:
        return {name[len(prefix) :]: value for name, value in stored.items() if name.startswith(prefix)}

    geometry, state = group("head."), group("avatar.")
    if header["version"] == 1:
        geometry |= _straight(len(geometry["v_template"]), len(header["expression_names"]))
    head = HeadModel(
        name=header["head"]["name"],
        license=header["head"]["licence"],
        shapedirs=torch.zeros(len(geometry["v_template"]), 3, 0),
        parents=tuple(header["head"]["parents"]),
        expression_names=tuple(header["expression_names"]),
        regions=group("region."),
        capabilities=frozenset(header["head"]["capabilities"]),
        **geometry,
    )
    torso = TorsoMap(*(state[f"rig.torso.{name}"] for name in ("mean_rotation", "mean_translation", "pivot")))
    rig = Rig(Binding(state["rig.triangles"], state["rig.bary"], state["rig.skin"]), torso)
    bases, count, _ = state["blendshapes.basis"].shape
    blank = torch.zeros(2, len(state["blendshapes.mean"]))
    blendshapes = Blendshapes(header["blendshapes"]["mode"], blank, bases, count)
    if header["version"] >= 5:
        features, hidden = state["blendshapes.network.hidden"].shape
        blendshapes.network = WeightNetwork(features, bases, hidden)
    local = LocalGaussians(**{name: state[name] for name in LOCAL_NAMES})
    avatar = Avatar(head, rig, blendshapes, local, state["neutral"])
    sampling, stretch = state.pop("sampling", None), state.pop("rig.stretch", None)
    avatar.load_state_dict(state)
    if stretch is not None and bool(stretch.any()):
        rig.stretch = Stretch(head, stretch, rig.triangles)
    avatar.sampling = Sampling() if sampling is None else Sampling.of(sampling)
    avatar.provenance = dict(header["training"])
    return avatar.requires_grad_(False)


def _add_layer(avatar: Avatar, tensors: Mapping[str, Tensor], skin: bool) -> None:
    """Add the mesh layer, with or without `skin`, and its stored tensors.

    Raises:
        ValueError: the head has no layer of that size.
    """
    texels = tensors.get("layer.texels")
    if texels is None:
        return
    if not has_parts(avatar.head):
        raise ValueError("layer.texels: its head has no parts of a layer")
    layer = MeshLayer(avatar.head, skin)
    check_shape("layer.texels", texels, tuple(layer.start.shape))
    layer.set_texels(texels.float())
    # Files of early layers have eyes without shadow and reflections.
    for name in ("shadow", "reflections"):
        own = getattr(layer.eye_light, name)
        stored = tensors.get(f"layer.{name}", torch.zeros_like(own))
        check_shape(f"layer.{name}", stored, tuple(own.shape))
        own.data.copy_(stored)
    avatar.layer = layer.requires_grad_(False)


def _straight(vertices: int, expressions: int) -> dict[str, Tensor]:
    """The tensors that a head of version 1 lacks: its expressions rotate no joint and have no quadratic term."""
    return {
        "joint_dirs": torch.zeros(len(JOINT_NAMES), 3, expressions),
        "curvedirs": torch.zeros(vertices, 3, 0),
        "curve_columns": torch.zeros(0, dtype=torch.int64),
    }


def _stretch_mask(avatar: Avatar) -> Tensor:
    """Mask [V] of the vertices that stretch the avatar's Gaussians."""
    stretch = avatar.rig.stretch
    return torch.zeros(len(avatar.head.v_template), dtype=torch.bool) if stretch is None else stretch.mask


def _pack(name: str, value: Tensor) -> Tensor:
    value = value.detach().cpu().contiguous()
    if name in HALF:
        return value.half()
    if name in NARROW:
        return value.to(torch.int32)
    if value.dtype == torch.bool:
        return value.to(torch.uint8)
    return value


def _unpack(name: str, value: Tensor) -> Tensor:
    if name in HALF:
        return value.float()
    if name in NARROW:
        return value.to(torch.int64)
    if name.startswith("region.") or name == "avatar.rig.stretch":
        return value.to(torch.bool)
    return value
