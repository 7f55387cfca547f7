"""Dataclasses of tensors on another device: what `torch.nn.Module.to` leaves behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


def moved(value: T, device: torch.device) -> T:
    """The dataclass `value` with its tensors, and those of its mappings, on `device`; itself if all are there."""
    changed: dict[str, Any] = {}
    for field in fields(value):  # type: ignore[arg-type]
        held = getattr(value, field.name)
        if isinstance(held, Tensor) and held.device != device:
            changed[field.name] = held.to(device)
        elif isinstance(held, Mapping) and any(entry.device != device for entry in held.values()):
            changed[field.name] = {name: entry.to(device) for name, entry in held.items()}
    return replace(value, **changed) if changed else value  # type: ignore[type-var]
