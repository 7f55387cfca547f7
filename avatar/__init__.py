"""headsplat's engine: a real-time 3D Gaussian-splatting head avatar, from head parameters to pixels.

The public names load on first use, so that `import avatar` is quick and needs no optional package.
"""

from __future__ import annotations

__version__ = "0.2.0"

TYPE_CHECKING = False  # not from `typing`: nothing is imported before the command handles Ctrl-C
if TYPE_CHECKING:
    from typing import Any

    from avatar.data.capture_folder import Capture
    from avatar.driving.driver import DriveOptions, Driver, drive
    from avatar.errors import HeadsplatError
    from avatar.evaluation.protocol import evaluate
    from avatar.head import HeadModel, load_head
    from avatar.model.avatar import Avatar
    from avatar.model.avatar_file import load_avatar, save_avatar
    from avatar.motion import read_motion, write_motion
    from avatar.motion.edit import resample
    from avatar.rendering.animator import Animator
    from avatar.rendering.render import render
    from avatar.training.config import TrainConfig
    from avatar.training.fit import fit
    from avatar.training.report import TrainResult
    from avatar.types import Camera, Gaussians, HeadParams, Motion, RenderOutput
    from avatar.video import open_output

_HOMES = {
    "Animator": "avatar.rendering.animator",
    "Avatar": "avatar.model.avatar",
    "Camera": "avatar.types",
    "Capture": "avatar.data.capture_folder",
    "DriveOptions": "avatar.driving.driver",
    "Driver": "avatar.driving.driver",
    "Gaussians": "avatar.types",
    "HeadModel": "avatar.head",
    "HeadParams": "avatar.types",
    "HeadsplatError": "avatar.errors",
    "Motion": "avatar.types",
    "RenderOutput": "avatar.types",
    "TrainConfig": "avatar.training.config",
    "TrainResult": "avatar.training.report",
    "drive": "avatar.driving.driver",
    "evaluate": "avatar.evaluation.protocol",
    "fit": "avatar.training.fit",
    "load_avatar": "avatar.model.avatar_file",
    "load_head": "avatar.head",
    "open_output": "avatar.video",
    "read_motion": "avatar.motion",
    "render": "avatar.rendering.render",
    "resample": "avatar.motion.edit",
    "save_avatar": "avatar.model.avatar_file",
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
    "TrainResult",
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
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
