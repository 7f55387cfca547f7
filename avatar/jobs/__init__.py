"""What headsplat does for its users, as calls: film, capture, train, render, live, view, serve, track, evaluate.

Each takes the files to read and to write, its options, and `notify`, which receives progress and messages. The command
line holds the options and prints; a program of your own calls the same functions. Of the packages of `avatar` only this
one imports `capture` and `viewer`. The names load on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from avatar.common.lazy import on_first_use

if TYPE_CHECKING:
    from avatar.jobs.capturing import CaptureOptions, capture
    from avatar.jobs.evaluating import EvaluateOptions, evaluate
    from avatar.jobs.filming import FilmOptions, film
    from avatar.jobs.live_sources import FaceOptions, SourceOptions
    from avatar.jobs.live_web import PageOpened, live_page
    from avatar.jobs.live_window import LiveOptions, live, view
    from avatar.jobs.motion_options import MotionOptions
    from avatar.jobs.notices import Message, Progress, Result
    from avatar.jobs.relight_options import RelightOptions
    from avatar.jobs.rendering import EncodingOptions, ImageOptions, RenderOptions, render
    from avatar.jobs.scene_rendering import render_scene
    from avatar.jobs.serving import ServeOptions, serve
    from avatar.jobs.speech_options import SpeechOptions
    from avatar.jobs.tracking import TrackOptions, track
    from avatar.jobs.training import TrainOptions, train

__all__ = [
    "CaptureOptions",
    "EncodingOptions",
    "EvaluateOptions",
    "FaceOptions",
    "FilmOptions",
    "ImageOptions",
    "LiveOptions",
    "Message",
    "MotionOptions",
    "PageOpened",
    "Progress",
    "RelightOptions",
    "RenderOptions",
    "Result",
    "ServeOptions",
    "SourceOptions",
    "SpeechOptions",
    "TrackOptions",
    "TrainOptions",
    "capture",
    "evaluate",
    "film",
    "live",
    "live_page",
    "render",
    "render_scene",
    "serve",
    "track",
    "train",
    "view",
]

__getattr__ = on_first_use(
    __name__,
    {
        "CaptureOptions": "capturing",
        "EncodingOptions": "rendering",
        "EvaluateOptions": "evaluating",
        "FaceOptions": "live_sources",
        "FilmOptions": "filming",
        "ImageOptions": "rendering",
        "LiveOptions": "live_window",
        "Message": "notices",
        "MotionOptions": "motion_options",
        "PageOpened": "live_web",
        "Progress": "notices",
        "RelightOptions": "relight_options",
        "RenderOptions": "rendering",
        "Result": "notices",
        "ServeOptions": "serving",
        "SourceOptions": "live_sources",
        "SpeechOptions": "speech_options",
        "TrackOptions": "tracking",
        "TrainOptions": "training",
        "capture": "capturing",
        "evaluate": "evaluating",
        "film": "filming",
        "live": "live_window",
        "live_page": "live_web",
        "render": "rendering",
        "render_scene": "scene_rendering",
        "serve": "serving",
        "track": "tracking",
        "train": "training",
        "view": "live_window",
    },
)
