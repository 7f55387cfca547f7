"""Selection and split of the views of a capture, and the views that the joint track uses at each time step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from avatar.errors import HeadsplatError
from capture.layouts import View, ViewSet
from capture.options import CaptureOptions
from capture.video.split import MAX_TEST

# fps: faster videos are reduced to about the target
_FAST = 45.0
_TARGET = 30.0
MIN_IMAGES = 16


@dataclass(frozen=True)
class ViewPlan:
    """Selected views, each with its `is_test`, and the split."""

    views: tuple[View, ...]  # by time step, then by camera
    cameras: tuple[str, ...]  # names
    mode: str  # "camera", "fraction", "every", "file" or "none"
    value: str | float | None  # name of the camera, or parameter of the split
    warnings: tuple[str, ...] = ()  # sentences
    still: bool = False  # whether all views show one time step

    @cached_property
    def streams(self) -> list[tuple[View, ...]]:
        """The views of each camera; those of a camera that was carried around as one."""
        if self.still:
            return [self.views]
        return [tuple(view for view in self.views if view.camera == camera) for camera in range(len(self.cameras))]

    @cached_property
    def training_steps(self) -> list[int]:
        """Time steps with a training view, in order."""
        return sorted({view.time_step for view in self.views if not view.is_test})

    @cached_property
    def held_out_steps(self) -> list[int]:
        """Time steps without a training view, in order."""
        training = set(self.training_steps)
        return sorted({view.time_step for view in self.views} - training)

    def tracks(self, view: View) -> bool:
        """Whether the landmarks of the view are used to track the head.

        At training time steps only training views; at held-out time steps the views of training cameras, if any.
        """
        if not view.is_test:
            return True
        if view.time_step not in self._held_out_cameras:
            return False
        known = {other.camera for other in self.views if not other.is_test}
        return view.camera in known or not self._held_out_cameras[view.time_step] & known

    @cached_property
    def _held_out_cameras(self) -> dict[int, set[int]]:
        """Cameras of each held-out time step."""
        return {step: {view.camera for view in self.views if view.time_step == step} for step in self.held_out_steps}

    @cached_property
    def _step_indices(self) -> dict[int, int]:
        return {step: index for index, step in enumerate(sorted({view.time_step for view in self.views}))}

    def number(self, view: View) -> int:
        """The number of the image in the capture, unique: of a walk that of the frame in the video."""
        if self.still and view.frame is not None:
            return view.frame
        return self._step_indices[view.time_step] * len(self.cameras) + view.camera


def plan_views(views: ViewSet, options: CaptureOptions) -> ViewPlan:
    """Choose the split, and select time steps evenly up to the requested number of images.

    Raises:
        HeadsplatError: the camera to hold out does not exist, or too few training images remain.
    """
    if options.test_yaw is not None:
        raise HeadsplatError(
            f"{views.root}: --test-yaw is for a video of one camera; give --test-camera or --test-fraction instead"
        )
    steps = _reduce_rate(views)
    split = options.split
    value: str | float | None
    if options.test_camera is not None:
        camera = views.camera_index(options.test_camera)
        if len(views.cameras) < 2:
            raise HeadsplatError(f"{views.root}: one camera alone cannot be held out; give --test-fraction instead")
        chosen = [replace(view, is_test=view.camera == camera) for view in views.views]
        mode = "camera"
        value = views.cameras[camera]
    elif split.mode != "none" and views.still:
        mask = split.held_out(len(views))
        chosen = [replace(view, is_test=bool(held_out)) for view, held_out in zip(views.views, mask, strict=True)]
        mode = split.mode
        value = split.value
    elif split.mode != "none":
        held_out = set(steps[split.held_out(len(steps))].tolist())
        chosen = [replace(view, is_test=view.time_step in held_out) for view in views.views]
        mode = split.mode
        value = split.value
    else:
        chosen = [replace(view, is_test=bool(view.is_test)) for view in views.views]
        mode, value = ("file", None) if views.has_split else ("none", None)
    eligible = [view for view in chosen if view.time_step in set(steps.tolist())]
    selected = tuple(_select(eligible, len(views.cameras), options.max_frames))
    plan = _without_empty_cameras(ViewPlan(selected, views.cameras, mode, value, still=views.still), views)
    training = sum(not view.is_test for view in plan.views)
    if training < MIN_IMAGES:
        raise HeadsplatError(
            f"{views.root}: {training} training images, at least {MIN_IMAGES} are needed; "
            "give more images or hold out less"
        )
    return plan


def _without_empty_cameras(plan: ViewPlan, views: ViewSet) -> ViewPlan:
    """The plan without cameras of which no image remains; raises HeadsplatError where one is held out."""
    remaining = sorted({view.camera for view in plan.views})
    if len(remaining) == len(plan.cameras):
        return plan
    empty = [name for camera, name in enumerate(plan.cameras) if camera not in remaining]
    if plan.mode == "camera" and plan.value in empty:
        raise HeadsplatError(
            f"{views.root}: the camera {plan.value} has no image at the selected time steps, so it cannot be "
            "held out; hold out another camera or give a larger --max-frames"
        )
    warning = f"{views.root.name}: no image of the camera {', '.join(empty)} at the selected time steps; left out"
    renumbered = tuple(replace(view, camera=remaining.index(view.camera)) for view in plan.views)
    cameras = tuple(plan.cameras[camera] for camera in remaining)
    return replace(plan, views=renumbered, cameras=cameras, warnings=(warning,))


def _reduce_rate(views: ViewSet) -> np.ndarray:
    """The time steps [n] to use: the rate of fast videos is divided by an integer, as for videos of one camera."""
    steps = views.time_steps
    time = {view.time_step: view.time for view in views.views}
    gaps = np.diff([time[step] for step in steps.tolist()])
    rate = 1 / float(np.median(gaps)) if views.layout == "videos" and len(gaps) else 0.0
    return steps[:: round(rate / _TARGET)] if rate > _FAST else steps


def _select(views: Sequence[View], cameras: int, max_images: int) -> list[View]:
    """Views at evenly spaced training and held-out time steps; about `max_images` training images."""
    training = {view.time_step for view in views if not view.is_test}
    held_out = {view.time_step for view in views} - training
    chosen: set[int] = set()
    for steps, limit in ((sorted(training), max_images), (sorted(held_out), MAX_TEST)):
        count = min(len(steps), max(1, limit // cameras))
        chosen |= {steps[k] for k in np.linspace(0, len(steps) - 1, count).round().astype(int)} if steps else set()
    return sorted((view for view in views if view.time_step in chosen), key=lambda view: (view.time_step, view.camera))
