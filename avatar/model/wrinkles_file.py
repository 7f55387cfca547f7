"""The wrinkles of an .avatar file: optional tensors with a checksum of their own; programs without them ignore them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from avatar.model.avatar import Avatar
from avatar.model.avatar_checks import checksum
from avatar.model.avatar_header import WRINKLES
from avatar.model.wrinkles import CHANNELS, FEATURES, Wrinkles
from avatar.types import check_shape

_NAMES = ("coefficients", "limit")
_LOW, _HIGH = {"coefficients": -1e4, "limit": 0.0}, {"coefficients": 1e4, "limit": 1e4}


def wrinkle_tensors(avatar: Avatar) -> dict[str, Tensor]:
    """The tensors of the wrinkles by their names in the file; none without wrinkles."""
    wrinkles = avatar.wrinkles
    return {} if wrinkles is None else {f"{WRINKLES}{name}": getattr(wrinkles, name).detach().cpu() for name in _NAMES}


def wrinkle_entry(avatar: Avatar) -> dict[str, Any]:
    """The entry `wrinkles` of the header; none without wrinkles."""
    if avatar.wrinkles is None:
        return {}
    return {
        "wrinkles": {"gaussians": avatar.wrinkles.count, "tensors_sha256": checksum(wrinkle_tensors(avatar), WRINKLES)}
    }


def restore_wrinkles(avatar: Avatar, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Give `avatar` the wrinkles of a file with this header and these tensors.

    Raises:
        ValueError: a tensor is missing, unknown or damaged; the text names it.
    """
    stored = {name for name in tensors if name.startswith(WRINKLES)}
    entry = header.get("wrinkles")
    expected = set() if entry is None else {f"{WRINKLES}{name}" for name in _NAMES}
    for name in sorted(stored ^ expected):
        raise ValueError(f"{name}: {'this tensor is missing' if name in expected else 'no header entry goes with it'}")
    if entry is None:
        return
    if not isinstance(entry, dict) or entry.get("tensors_sha256") != checksum(tensors, WRINKLES):
        raise ValueError("the tensors of its entry 'wrinkles' do not match their checksum")
    if avatar.rig.stretch is None:
        raise ValueError("wrinkles.coefficients: no vertex of avatar.rig.stretch stretches")
    wrinkles = Wrinkles(avatar.blendshapes.count)
    shapes = {"coefficients": (wrinkles.count, FEATURES, CHANNELS), "limit": (wrinkles.count, FEATURES)}
    for name in _NAMES:
        value = tensors[f"{WRINKLES}{name}"]
        if value.dtype != torch.float32:
            raise ValueError(f"{WRINKLES}{name}: expected torch.float32, got {value.dtype}")
        check_shape(f"{WRINKLES}{name}", value, shapes[name])
        if not bool(((value >= _LOW[name]) & (value <= _HIGH[name])).all()):
            raise ValueError(f"{WRINKLES}{name}: expected numbers in {_LOW[name]:g}..{_HIGH[name]:g}")
        getattr(wrinkles, name).data.copy_(value)
    avatar.wrinkles = wrinkles.requires_grad_(False)
