"""A slot for an image prior of your own: it judges the avatar from where no frame was taken.

headsplat has no such network. `fit(..., guidance=...)` takes any function of a `GuidedView` that returns a loss, for
example the distance to what a generative model makes of the image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from avatar.data.training_frames import pick
from avatar.geometry.rotations import axis_angle_to_matrix
from avatar.rendering.backends import backend_of
from avatar.training.matte_sampling import HEAD_CENTER
from avatar.training.parts.part import PartTraining, Step, Training
from avatar.training.prediction import predict
from avatar.types import Camera

#: Steps between two guided views, and the largest angles of the camera to both sides, degrees.
EVERY = 4
YAW = 110.0
ELEVATION = 30.0


@dataclass(frozen=True)
class GuidedView:
    """The avatar in a frame of the video, seen from another side."""

    rgb: Tensor  # [H,W,3] sRGB 0..1 over black, with gradients
    alpha: Tensor  # [H,W] 0..1, with gradients
    yaw: float  # degrees from the front of the face to the camera, to the person's left
    elevation: float  # degrees, upwards
    fraction: float  # of the training that is done, 0..1


#: Returns the loss of a view, a scalar with gradients that is added to the mean absolute error of an image, or None
#: to leave this view out.
Guidance = Callable[[GuidedView], Tensor | None]


def orbit_camera(camera: Camera, rotation: Tensor, translation: Tensor, yaw: float, elevation: float) -> Camera:
    """The camera [1] turned around the head, at the same distance.

    Args:
        camera: of a frame.
        rotation: [3,3] skull -> world in that frame.
        translation: [3] meters.
        yaw: degrees to the person's left.
        elevation: degrees upwards.
    """
    up, right = (
        axis_angle_to_matrix(torch.deg2rad(rotation.new_tensor(turn))) for turn in ([0, yaw, 0], [-elevation, 0, 0])
    )
    around = rotation @ up @ right @ rotation.T
    center = rotation @ torch.from_numpy(HEAD_CENTER).float().to(rotation.device) + translation
    view = camera.world_to_cam.clone()
    view[0, :3, :3] = camera.world_to_cam[0, :3, :3] @ around.T
    view[0, :3, 3] += camera.world_to_cam[0, :3, :3] @ center - view[0, :3, :3] @ center
    return replace(camera, world_to_cam=view)


class GuidanceTraining(PartTraining):
    """Adds the gradients of a guided view, of a random frame from a random side, every few steps."""

    key = "guidance"

    def __init__(self, training: Training, guidance: Guidance) -> None:
        """
        Args:
            training: see `PartTraining`.
            guidance: the caller's function.
        """
        super().__init__(training)
        self._guidance = guidance

    def backward(self, step: Step) -> None:
        """Add the gradients of one guided view, in the first process; blendshapes have none.

        Raises:
            ValueError: the guidance returns no scalar.
        """
        if step.number % EVERY or self.training.processes.rank:
            return
        avatar = self.training.avatar
        frames = step.frames
        config = self.training.config
        rng = np.random.default_rng((config.seed, step.number, 17))
        frame = torch.tensor([int(rng.integers(len(frames)))])
        yaw = float(rng.uniform(-YAW, YAW))
        elevation = float(rng.uniform(-ELEVATION, ELEVATION))
        with torch.no_grad():
            features = pick(frames.states.features, pick(frames.step, frame))
            extra = avatar.blendshapes(avatar.weights(features))
        pose = frames.rotation[int(frame)], frames.translation[int(frame)]
        camera = orbit_camera(frames.views(frame), *pose, yaw, elevation)
        gaussians = predict(avatar, frames, frame, extra)
        rgb, alpha, _ = backend_of(config.rasterizer).rasterize(gaussians, camera, with_depth=False)
        loss = self._guidance(GuidedView(rgb[0], alpha[0], yaw, elevation, step.fraction))
        if loss is None:
            return
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            raise ValueError(f"guidance: expected a tensor with one value or None, got {_describe(loss)}")
        loss.sum().backward()


def _describe(value: object) -> str:
    return f"a tensor {list(value.shape)}" if isinstance(value, Tensor) else f"{type(value).__name__}"
