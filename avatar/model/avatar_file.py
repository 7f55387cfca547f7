"""The .avatar file: one safetensors file with a JSON header; all that rendering needs, no pickle."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from avatar import ops
from avatar.common.files import atomic_path
from avatar.head.model import HeadModel
from avatar.model.avatar import Avatar, AvatarPart
from avatar.model.avatar_checks import HEAD_TENSORS, REGION, check_tensors, core_layout
from avatar.model.avatar_header import MAGIC, PREFIXES, VERSION, StoredTensor, check_entry, damage_error, read_stored
from avatar.model.avatar_header import read_header as read_header
from avatar.model.blendshapes import Blendshapes
from avatar.model.layout import DTYPES, check_layout, checksum, pack, unpack
from avatar.model.parts.registry import part_kinds, root
from avatar.model.rig import Rig
from avatar.model.sampling import Sampling
from avatar.model.stretch import Stretch
from avatar.model.torso import TorsoMap
from avatar.model.true_size import ENTRY, TrueSize
from avatar.ops.devices import chosen_device
from avatar.types import JOINT_NAMES, LOCAL_NAMES, Binding, LocalGaussians

#: Version of files whose parts need no later one, so that earlier versions of headsplat can read them.
_VERSION = 4
CONSENT = "Avatars are of people: use this one only as the person it shows has agreed to."
AXES = "world: meters, y up, the face looks along +z; quaternions wxyz; colors display sRGB"
#: Letters of axes with the same length in the tables of the format and of parts.
_SHARED_AXES = "NMVEFK"


def save_avatar(path: str | Path, avatar: Avatar, extras: Mapping[str, Any] | None = None) -> None:
    """Write `avatar` to `path`, whole or not at all.

    Args:
        path: the file to write; replaced if it exists.
        avatar: the avatar to store.
        extras: further entries of the header (settings, capture, consent note); plain JSON values.

    Raises:
        HeadsplatError: it cannot be written.
        ValueError: the avatar has a part of a kind that is not registered, which would be lost.
    """
    parts = tuple(avatar.parts.values())
    for part in parts:
        if type(part) not in part_kinds():
            raise ValueError(f"part {part.key!r}: a file would lose it; call `register({type(part).__name__})` first")
    packed = _core_tensors(avatar) | _part_tensors(part for part in parts if part.entry is None)
    header = describe(avatar) | dict(extras or {}) | {"tensors_sha256": checksum(packed)}
    # Parts may share an entry, whose checksum is of the tensors of all of them; the first one's values count.
    for entry in dict.fromkeys(kind.entry for kind in part_kinds() if kind.entry is not None):
        header.pop(entry, None)  # one in `extras` is of the file that they come from
        members = [part for part in parts if part.entry == entry]
        tensors = _part_tensors(members)
        packed |= tensors
        if members:
            content = {name: value for part in reversed(members) for name, value in part.header_entry().items()}
            header[entry] = content | {"tensors_sha256": checksum(tensors, tuple(tensors))}
    with atomic_path(Path(path), SafetensorError, RuntimeError) as written:
        save_file(packed, written, metadata={"headsplat": json.dumps(header)})


def _core_tensors(avatar: Avatar) -> dict[str, Tensor]:
    """What every file has: state of the avatar without its parts, and its head."""
    state = {name: value for name, value in avatar.state_dict().items() if not name.startswith("parts.")}
    tensors = {f"avatar.{name}": value for name, value in state.items()}
    tensors |= {"avatar.sampling": avatar.sampling.tensor(), "avatar.rig.stretch": _stretch_mask(avatar)}
    tensors |= {f"head.{name}": getattr(avatar.head, name) for name in HEAD_TENSORS}
    layout = core_layout(VERSION, avatar.blendshapes.mode)
    regions = {f"region.{name}": pack(mask, REGION) for name, mask in avatar.head.regions.items()}
    return {name: pack(value, layout[name]) for name, value in tensors.items()} | regions


def _part_tensors(parts: Iterable[AvatarPart]) -> dict[str, Tensor]:
    """The tensors of parts as a file has them."""
    return {
        part.prefix + name: pack(value, part.layout[name]) for part in parts for name, value in part.stored().items()
    }


def describe(avatar: Avatar) -> dict[str, Any]:
    """The header of the file `save_avatar` writes."""
    return {
        "magic": MAGIC,
        "version": max([_VERSION, *(part.version for part in avatar.parts.values())]),
        "axes": AXES,
        "units": "metres, radians, seconds",
        "joints": list(JOINT_NAMES),
        **{name: value for kind in part_kinds() for name, value in kind.header_fields(avatar.part(kind)).items()},
        "gaussians": len(avatar),
        "blendshapes": {"mode": avatar.blendshapes.mode, "count": avatar.blendshapes.basis.shape[0]},
        "expression_names": list(avatar.head.expression_names),
        "head": {
            "name": avatar.head.name,
            "licence": avatar.head.license,
            "parents": list(avatar.head.parents),
            "capabilities": sorted(avatar.head.capabilities),
        },
        **({ENTRY: avatar.true_size.entry()} if avatar.true_size.known else {}),
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
    kinds = part_kinds()
    header, stored = read_stored(Path(path), (*PREFIXES, *(root(kind) for kind in kinds)))
    tensors = {name: _tensor(value) for name, value in stored.items()}
    kinds = tuple(kind for kind in kinds if kind.is_stored(header, tensors))
    with ops.one_thread():
        try:
            _check(header, tensors, kinds)
            avatar = _assemble(header, {name: unpack(value) for name, value in tensors.items()})
            for kind in kinds:
                own = {name: unpack(value) for name, value in _without_prefix(tensors, kind.prefix).items()}
                avatar.add_part(kind.restore(avatar, header, own).requires_grad_(False))
        except ValueError as error:
            raise damage_error(Path(path), str(error)) from error
    return header, avatar


def _check(header: Mapping[str, Any], tensors: Mapping[str, Tensor], kinds: Sequence[type[AvatarPart]]) -> None:
    """Raise ValueError unless a file has what its header says, whole and undamaged.

    Args:
        header: checked by `check_header`.
        tensors: by name, as stored.
        kinds: the parts that the file has.
    """
    of_parts = {kind.prefix + name: layout for kind in kinds for name, layout in kind.layout.items()}
    sizes = check_tensors(tensors, header, of_parts)
    for name in sorted(tensors):
        if not name.startswith(PREFIXES) and name not in of_parts:
            raise ValueError(f"{name}: a tensor that this format does not have")
    entries = {kind.entry: root(kind) for kind in part_kinds() if kind.entry is not None and kind.entry in header}
    for entry in entries:
        check_entry(isinstance(header[entry], dict), entry)
    for kind in kinds:
        known = {letter: sizes[letter] for letter in _SHARED_AXES}
        check_layout(kind.layout, tensors, known, kind.prefix)
        kind.check(header, _without_prefix(tensors, kind.prefix), known)
    for entry, prefix in entries.items():
        if header[entry].get("tensors_sha256") != checksum(tensors, prefix):
            raise ValueError(f"the tensors of its entry {entry!r} do not match their checksum")


def _without_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names start with `prefix`, by the rest of their names."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _tensor(value: StoredTensor) -> Tensor:
    """A stored tensor, in the memory that it was read to."""
    dtype = DTYPES[value.dtype]
    if not len(value.data):
        return torch.empty(value.shape, dtype=dtype)
    return torch.frombuffer(value.data, dtype=dtype).reshape(value.shape)


def _assemble(header: Mapping[str, Any], stored: Mapping[str, Tensor]) -> Avatar:
    """The avatar of a file, without its parts."""
    layout = core_layout(header["version"], header["blendshapes"]["mode"])
    core = {name: value for name, value in stored.items() if name in layout}
    geometry = _without_prefix(core, "head.")
    state = _without_prefix(core, "avatar.")
    if header["version"] == 1:
        geometry |= _straight(len(geometry["v_template"]), len(header["expression_names"]))
    head = HeadModel(
        name=header["head"]["name"],
        license=header["head"]["licence"],
        shapedirs=torch.zeros(len(geometry["v_template"]), 3, 0),
        parents=tuple(header["head"]["parents"]),
        expression_names=tuple(header["expression_names"]),
        regions=_without_prefix(stored, "region."),
        capabilities=frozenset(header["head"]["capabilities"]),
        **geometry,
    )
    torso = TorsoMap(*(state[f"rig.torso.{name}"] for name in ("mean_rotation", "mean_translation", "pivot")))
    rig = Rig(Binding(state["rig.triangles"], state["rig.bary"], state["rig.skin"]), torso)
    bases, count, _ = state["blendshapes.basis"].shape
    blank = torch.zeros(2, len(state["blendshapes.mean"]))
    blendshapes = Blendshapes(header["blendshapes"]["mode"], blank, bases, count)
    local = LocalGaussians(**{name: state[name] for name in LOCAL_NAMES})
    avatar = Avatar(head, rig, blendshapes, local, state["neutral"])
    sampling = state.pop("sampling", None)
    stretch = state.pop("rig.stretch", None)
    avatar.load_state_dict(state)
    if stretch is not None and bool(stretch.any()):
        rig.stretch = Stretch(head, stretch, rig.triangles)
    avatar.sampling = Sampling() if sampling is None else Sampling.of(sampling)
    avatar.true_size = TrueSize.of_header(header)
    avatar.provenance = dict(header["training"])
    return avatar.requires_grad_(False)


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
