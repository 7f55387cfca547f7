"""Tensors inside of other values on another device: what `torch.nn.Module.to` leaves behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

T = TypeVar("T")


def to_device(value: T, device: torch.device) -> T:
    """`value` with its tensors on `device`: a tensor, or a dataclass, mapping, list or tuple that holds some.

    What is there already is not copied; a value with nothing to move is returned itself.
    """
    changed: Any = value
    if isinstance(value, Tensor):
        changed = value.to(device)
    elif isinstance(value, Mapping):
        entries = {name: to_device(entry, device) for name, entry in value.items()}
        changed = value if all(entries[name] is entry for name, entry in value.items()) else entries
    elif type(value) in (list, tuple):
        items = [to_device(entry, device) for entry in value]  # type: ignore[attr-defined]
        same = all(one is other for one, other in zip(items, value, strict=True))  # type: ignore[call-overload]
        changed = value if same else type(value)(items)  # type: ignore[call-arg]
    elif is_dataclass(value) and not isinstance(value, type):
        held = {field.name: getattr(value, field.name) for field in fields(value)}
        parts = {name: to_device(entry, device) for name, entry in held.items()}
        parts = {name: part for name, part in parts.items() if part is not held[name]}
        changed = replace(value, **parts) if parts else value
    return changed  # type: ignore[no-any-return]


def move_attributes(value: object, device: torch.device) -> None:
    """Move the attributes of `value`, in place, to `device`; modules are left to their `to`."""
    for name, held in vars(value).items():
        if not isinstance(held, nn.Module):
            setattr(value, name, to_device(held, device))
