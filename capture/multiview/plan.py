"""Which views a capture uses, which are held out, and what the joint track may see of each moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from avatar.errors import HeadsplatError
from capture.layouts import View, ViewSet
from capture.options import CaptureOptions
from capture.video.split import MAX_TEST

_FAST, _TARGET = 45.0, 30.0
LEAST_IMAGES = 16


@dataclass(frozen=True)
class ViewPlan:
    """Chosen views, each with its `is_test`, and how they were split."""

    views: tuple[View, ...]  # by time step, then by camera
    cameras: tuple[str, ...]  # names
    mode: str  # "camera", "fraction", "every", "file" or "none"
    value: Any
    warnings: tuple[str, ...] = ()  # sentences

    @cached_property
    def training_steps(self) -> list[int]:
        """Moments with a view that training may see, in order."""
        return sorted({view.time_step for view in self.views if not view.is_test})

    @cached_property
    def held_out_steps(self) -> list[int]:
        """Moments of which training may see nothing, in order."""
        training = set(self.training_steps)
        return sorted({view.time_step for view in self.views} - training)

    def tracks(self, view: View) -> bool:
        """Whether the view's landmarks may place the head.

        At training moments training views alone; at held-out moments the cameras that training knows, if any is there.
        """
        if not view.is_test:
            return True
        if view.time_step not in self._held_out_cameras:
            return False
        known = {other.camera for other in self.views if not other.is_test}
        return view.camera in known or not self._held_out_cameras[view.time_step] & known

    @cached_property
    def _held_out_cameras(self) -> dict[int, set[int]]:
        """Cameras of each held-out moment."""
        return {step: {view.camera for view in self.views if view.time_step == step} for step in self.held_out_steps}

    @cached_property
    def _places(self) -> dict[int, int]:
        return {step: place for place, step in enumerate(sorted({view.time_step for view in self.views}))}

    def number(self, view: View) -> int:
        """The image's number in the capture, unique."""
        return self._places[view.time_step] * len(self.cameras) + view.camera


def plan_views(views: ViewSet, options: CaptureOptions) -> ViewPlan:
    """Decide on the split and thin the moments evenly to the images asked for.

    Raises:
        HeadsplatError: the camera to hold out does not exist, or too little is left for training.
    """
    steps = _thin_fast(views)
    split = options.split
    if options.test_camera is not None:
        camera = views.camera_index(options.test_camera)
        if len(views.cameras) < 2:
            raise HeadsplatError(f"{views.root}: one camera alone cannot be held out; give --test-fraction instead")
        chosen = [replace(view, is_test=view.camera == camera) for view in views.views]
        mode, value = "camera", views.cameras[camera]
    elif split.mode != "none":
        held_out = set(steps[split.held_out(len(steps))].tolist())
        chosen = [replace(view, is_test=view.time_step in held_out) for view in views.views]
        mode, value = split.mode, split.value
    else:
        chosen = [replace(view, is_test=bool(view.is_test)) for view in views.views]
        mode, value = ("file", None) if views.has_split else ("none", None)
    kept = [view for view in chosen if view.time_step in set(steps.tolist())]
    thinned = tuple(_thin(kept, len(views.cameras), options.max_frames))
    plan = _without_blind(ViewPlan(thinned, views.cameras, mode, value), views)
    training = sum(not view.is_test for view in plan.views)
    if training < LEAST_IMAGES:
        raise HeadsplatError(
            f"{views.root}: {training} training images, at least {LEAST_IMAGES} are needed; "
            "give more images or hold out less"
        )
    return plan


def _without_blind(plan: ViewPlan, views: ViewSet) -> ViewPlan:
    """The plan without cameras of which no image is left; raises HeadsplatError where one is held out."""
    left = sorted({view.camera for view in plan.views})
    if len(left) == len(plan.cameras):
        return plan
    blind = [name for camera, name in enumerate(plan.cameras) if camera not in left]
    if plan.mode == "camera" and plan.value in blind:
        raise HeadsplatError(
            f"{views.root}: the camera {plan.value} has no image at the moments that count, so holding it out "
            "measures nothing; hold out another camera or give a larger --max-frames"
        )
    warning = f"{views.root.name}: no image of the camera {', '.join(blind)} at the moments that count; left out"
    kept = tuple(replace(view, camera=left.index(view.camera)) for view in plan.views)
    return replace(plan, views=kept, cameras=tuple(plan.cameras[camera] for camera in left), warnings=(warning,))


def _thin_fast(views: ViewSet) -> np.ndarray:
    """The moments [n] that count: fast videos are thinned by a whole factor, as videos of one camera are."""
    steps = views.time_steps
    time = {view.time_step: view.time for view in views.views}
    gaps = np.diff([time[step] for step in steps.tolist()])
    rate = 1 / float(np.median(gaps)) if views.layout == "videos" and len(gaps) else 0.0
    return steps[:: round(rate / _TARGET)] if rate > _FAST else steps


def _thin(views: Sequence[View], cameras: int, most: int) -> list[View]:
    """Views of an even choice of training and held-out moments, so that about `most` training images are left."""
    training = {view.time_step for view in views if not view.is_test}
    held_out = {view.time_step for view in views} - training
    kept: set[int] = set()
    for steps, limit in ((sorted(training), most), (sorted(held_out), MAX_TEST)):
        count = min(len(steps), max(1, limit // cameras))
        kept |= {steps[k] for k in np.linspace(0, len(steps) - 1, count).round().astype(int)} if steps else set()
    return sorted((view for view in views if view.time_step in kept), key=lambda view: (view.time_step, view.camera))
