"""headsplat's engine: a real-time 3D Gaussian-splatting head avatar, from head parameters to pixels.

The public names load on first use, so that `import avatar` is quick and needs no optional package.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from avatar.animate import Animator
    from avatar.asset import load_avatar, save_avatar
    from avatar.captured import Capture
    from avatar.errors import HeadsplatError
    from avatar.evaluate import evaluate
    from avatar.head import HeadModel, load_head
    from avatar.model import Avatar
    from avatar.records import Camera, Gaussians, HeadParams, Motion, RenderOutput
    from avatar.render import render
    from avatar.train import fit
    from avatar.train_config import TrainConfig

_HOMES = {
    "Animator": "avatar.animate",
    "Avatar": "avatar.model",
    "Camera": "avatar.records",
    "Capture": "avatar.captured",
    "Gaussians": "avatar.records",
    "HeadModel": "avatar.head",
    "HeadParams": "avatar.records",
    "HeadsplatError": "avatar.errors",
    "Motion": "avatar.records",
    "RenderOutput": "avatar.records",
    "TrainConfig": "avatar.train_config",
    "evaluate": "avatar.evaluate",
    "fit": "avatar.train",
    "load_avatar": "avatar.asset",
    "load_head": "avatar.head",
    "render": "avatar.render",
    "save_avatar": "avatar.asset",
}

__all__ = [
    "Animator",
    "Avatar",
    "Camera",
    "Capture",
    "Gaussians",
    "HeadModel",
    "HeadParams",
    "HeadsplatError",
    "Motion",
    "RenderOutput",
    "TrainConfig",
    "__version__",
    "evaluate",
    "fit",
    "load_avatar",
    "load_head",
    "render",
    "save_avatar",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'avatar' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
