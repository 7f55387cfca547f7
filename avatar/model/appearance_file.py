"""The part of an .avatar file that holds its appearances: tensors `appearance.*` and an entry of the header."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from avatar.model.appearance import CHANGED, Appearances
from avatar.model.avatar import Avatar
from avatar.model.avatar_checks import checksum
from avatar.model.avatar_header import APPEARANCE, ENTRY, recordings_of

#: Largest offset of each parameter: display sRGB, logit, meters.
_LIMITS = {"colors": 100.0, "logit_opacities": 100.0, "offsets": 10.0}


def appearance_tensors(avatar: Avatar) -> dict[str, Tensor]:
    """The tensors [A,N,...] of the appearances by their names in the file; none for an avatar without them."""
    appearance = avatar.appearance
    if appearance is None:
        return {}
    return {
        f"{APPEARANCE}{name}": appearance.table(name).detach().cpu().half().contiguous() for name in sorted(CHANGED)
    }


def appearance_entry(avatar: Avatar) -> dict[str, Any]:
    """The entry of the header; empty for an avatar without appearances."""
    if avatar.appearance is None:
        return {}
    recordings = [
        {"name": entry.name, "fingerprint": entry.fingerprint, "consent": entry.consent}
        for entry in avatar.appearance.recordings
    ]
    return {ENTRY: {"recordings": recordings, "tensors_sha256": checksum(appearance_tensors(avatar), APPEARANCE)}}


def check_appearance(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Raise ValueError unless the appearances of a file are complete and undamaged, the first one zero.

    Args:
        tensors: by name, as stored; those of the avatar are checked.
        header: of the same file.
    """
    recordings = recordings_of(header)
    stored = {name: value for name, value in tensors.items() if name.startswith(APPEARANCE)}
    known = {f"{APPEARANCE}{name}" for name in CHANGED} if recordings else set()
    for name in sorted(set(stored) ^ known):
        missing = name in known
        raise ValueError(f"{name}: " + ("this tensor is missing" if missing else "a tensor that this format lacks"))
    count = len(tensors["avatar.offsets"])
    for name, limit in _LIMITS.items() if recordings else ():
        value, key = stored[APPEARANCE + name], APPEARANCE + name
        shape = (len(recordings), count, *((CHANGED[name],) if CHANGED[name] > 1 else ()))
        if value.dtype != torch.float16 or tuple(value.shape) != shape:
            raise ValueError(f"{key}: expected torch.float16 {shape}, got {value.dtype} {tuple(value.shape)}")
        if not bool((value.float().abs() <= limit).all()):
            raise ValueError(f"{key}: expected numbers in {-limit:g}..{limit:g}")
        if bool(value[0].any()):
            raise ValueError(f"{key}: expected zeros for the first recording")
    if recordings and header[ENTRY].get("tensors_sha256") != checksum(stored, APPEARANCE):
        raise ValueError(f"the tensors of its entry '{ENTRY}' do not match their checksum")


def restore_appearance(avatar: Avatar, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Give `avatar` the appearances of a file with this header and these tensors, which were checked."""
    recordings = recordings_of(header)
    if not recordings:
        return
    appearance = Appearances(recordings, len(avatar))
    with torch.no_grad():
        for name in CHANGED:
            appearance.table(name).copy_(tensors[APPEARANCE + name].float())
    avatar.appearance = appearance.requires_grad_(False)
