"""What headsplat does for its users, as calls: capture, train, render, live, view, evaluate.

Each takes the files to read and to write, its options, and `notify`, which receives progress and messages. The command
line holds the options and prints; a program of your own calls the same functions. Of the packages of `avatar` only this
one imports `capture` and `viewer`. The names load on first use.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from avatar.jobs.capturing import CaptureOptions, capture
    from avatar.jobs.evaluating import EvaluateOptions, evaluate
    from avatar.jobs.live_sources import SourceOptions
    from avatar.jobs.live_web import PageOpened, live_page
    from avatar.jobs.live_window import LiveOptions, live, view
    from avatar.jobs.motion_options import MotionOptions
    from avatar.jobs.notices import Message, Progress, Result
    from avatar.jobs.relight_options import RelightOptions
    from avatar.jobs.rendering import EncodingOptions, ImageOptions, RenderOptions, render
    from avatar.jobs.speech_options import SpeechOptions
    from avatar.jobs.training import TrainOptions, train

_HOMES = {
    "CaptureOptions": "avatar.jobs.capturing",
    "EncodingOptions": "avatar.jobs.rendering",
    "EvaluateOptions": "avatar.jobs.evaluating",
    "ImageOptions": "avatar.jobs.rendering",
    "LiveOptions": "avatar.jobs.live_window",
    "Message": "avatar.jobs.notices",
    "MotionOptions": "avatar.jobs.motion_options",
    "PageOpened": "avatar.jobs.live_web",
    "Progress": "avatar.jobs.notices",
    "RelightOptions": "avatar.jobs.relight_options",
    "RenderOptions": "avatar.jobs.rendering",
    "Result": "avatar.jobs.notices",
    "SourceOptions": "avatar.jobs.live_sources",
    "SpeechOptions": "avatar.jobs.speech_options",
    "TrainOptions": "avatar.jobs.training",
    "capture": "avatar.jobs.capturing",
    "evaluate": "avatar.jobs.evaluating",
    "live": "avatar.jobs.live_window",
    "live_page": "avatar.jobs.live_web",
    "render": "avatar.jobs.rendering",
    "train": "avatar.jobs.training",
    "view": "avatar.jobs.live_window",
}

__all__ = [
    "CaptureOptions",
    "EncodingOptions",
    "EvaluateOptions",
    "ImageOptions",
    "LiveOptions",
    "Message",
    "MotionOptions",
    "PageOpened",
    "Progress",
    "RelightOptions",
    "RenderOptions",
    "Result",
    "SourceOptions",
    "SpeechOptions",
    "TrainOptions",
    "capture",
    "evaluate",
    "live",
    "live_page",
    "render",
    "train",
    "view",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'avatar.jobs' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
