"""headsplat's engine: a real-time 3D Gaussian-splatting head avatar, from head parameters to pixels.

The public names load on first use, so that `import avatar` is quick and needs no optional package.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from avatar.animate import Animator
    from avatar.asset import load_avatar, save_avatar
    from avatar.captured import Capture
    from avatar.drive import DriveOptions, Driver, drive
    from avatar.errors import HeadsplatError
    from avatar.evaluate import evaluate
    from avatar.head import HeadModel, load_head
    from avatar.model import Avatar
    from avatar.motion import read_motion, write_motion
    from avatar.motion.edit import resample
    from avatar.output import open_output
    from avatar.records import Camera, Gaussians, HeadParams, Motion, RenderOutput
    from avatar.render import render
    from avatar.train import fit
    from avatar.train_config import TrainConfig

_HOMES = {
    "Animator": "avatar.animate",
    "Avatar": "avatar.model",
    "Camera": "avatar.records",
    "Capture": "avatar.captured",
    "DriveOptions": "avatar.drive",
    "Driver": "avatar.drive",
    "Gaussians": "avatar.records",
    "HeadModel": "avatar.head",
    "HeadParams": "avatar.records",
    "HeadsplatError": "avatar.errors",
    "Motion": "avatar.records",
    "RenderOutput": "avatar.records",
    "TrainConfig": "avatar.train_config",
    "drive": "avatar.drive",
    "evaluate": "avatar.evaluate",
    "fit": "avatar.train",
    "load_avatar": "avatar.asset",
    "load_head": "avatar.head",
    "open_output": "avatar.output",
    "read_motion": "avatar.motion",
    "render": "avatar.render",
    "resample": "avatar.motion.edit",
    "save_avatar": "avatar.asset",
    "write_motion": "avatar.motion",
}

__all__ = [
    "Animator",
    "Avatar",
    "Camera",
    "Capture",
    "DriveOptions",
    "Driver",
    "Gaussians",
    "HeadModel",
    "HeadParams",
    "HeadsplatError",
    "Motion",
    "RenderOutput",
    "TrainConfig",
    "__version__",
    "drive",
    "evaluate",
    "fit",
    "load_avatar",
    "load_head",
    "open_output",
    "read_motion",
    "render",
    "resample",
    "save_avatar",
    "write_motion",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'avatar' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)


class _Package(ModuleType):
    """A package in which `render`, `drive` and `evaluate` are the functions, even once their modules are imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (isinstance(value, ModuleType) and name in _HOMES):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
