"""The avatar's image: renderer, camera and size, rendered when something has changed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from avatar.driving.live.samples import AvatarPose
from avatar.model.avatar import Avatar
from avatar.rendering.frame_graph import DeviceImage
from avatar.types import Camera, HeadParams
from viewer.render.orbit import Orbit
from viewer.render.renderer import Renderer
from viewer.render.view_settings import ViewSettings
from viewer.session.state import CameraSettings, State

_MOVING_SECONDS = 0.2  # after the camera's last change, during which it counts as moving


@dataclass(frozen=True)
class ImageRequest:
    """What an image depends on besides the avatar's parameters."""

    view: ViewSettings
    size: tuple[int, int]  # pixels, width and height
    orbit: Orbit


def equal_params(first: HeadParams, second: HeadParams) -> bool:
    """Whether two frames have equal parameters."""
    return first is second or all(
        torch.equal(getattr(first, name), getattr(second, name)) for name in ("expression", "joint_rot", "translation")
    )


def equal_poses(first: AvatarPose, second: AvatarPose) -> bool:
    """Whether two poses have equal parameters and torsos."""
    torso = first.torso
    return equal_params(first.params, second.params) and (torso.equals(second.torso) if torso else not second.torso)


class Viewport:
    """The image of an avatar that the window shows."""

    def __init__(
        self, avatar: Avatar, device: torch.device | None = None, make: Callable[..., Renderer] = Renderer
    ) -> None:
        """Args: the avatar; where to render it, None: where it is; what makes its renderer, as `Renderer`."""
        self._device = device
        self._make = make
        #: pixels of the window that the image may fill; None: not known yet, and nothing is rendered
        self.available: tuple[int, int] | None = (512, 512)
        #: whether images stay on the GPU that renders them, because the window takes them from there
        self.keeps_images = False
        self._image: np.ndarray | DeviceImage | None = None
        self.image_number = 0  # counts images
        self.renderer = self._framing = self.renderer_of(avatar)
        #: what the image was rendered from
        self._rendered: tuple[ImageRequest, AvatarPose] | None = None
        #: the same of the image that is shown, though it may have to be rendered again
        self._displayed: tuple[ImageRequest, AvatarPose] | None = None
        self._moved_at = -math.inf  # seconds

    @property
    def image(self) -> np.ndarray | None:
        """uint8 [H,W,3], overwritten by the next one; copied to the host if it is still on the GPU."""
        if isinstance(self._image, DeviceImage):
            self._image = self._image.host()
        return self._image

    @property
    def kept_image(self) -> DeviceImage | None:
        """The image where nobody has needed it on the host yet."""
        return self._image if isinstance(self._image, DeviceImage) else None

    @property
    def avatar(self) -> Avatar:
        """The avatar that is rendered."""
        return self.renderer.avatar

    def renderer_of(self, avatar: Avatar) -> Renderer:
        """A renderer of another avatar on the same device."""
        return self._make(avatar, device=self._device)

    def replace_avatar(self, renderer: Renderer) -> None:
        """Show another avatar."""
        self.renderer = self._framing = renderer
        self._rendered = self._displayed = None

    def update_avatar(self, avatar: Avatar) -> None:
        """Show a newer snapshot of the same avatar; the front camera stays that of the first one."""
        self.renderer = self._make(avatar, device=self._device, before=self.renderer)
        self._rendered = None

    def invalidate(self) -> None:
        """Render the image again, though nothing has changed."""
        self._rendered = None

    def record_motion(self, now: float) -> None:
        """Record that the camera was moved at `now` seconds."""
        self._moved_at = now

    def is_reduced(self, settings: CameraSettings, now: float) -> bool:
        """Whether the resolution is halved at `now` seconds."""
        return settings.reduce_while_moving and now - self._moved_at < _MOVING_SECONDS

    def size(self, settings: CameraSettings, now: float) -> tuple[int, int]:
        """Pixels of the image at `now` seconds, width and height."""
        width = settings.width
        height = settings.height
        if width is None:
            columns, rows = self.available or (1, 1)
            width = 16 * round(height * min(max(columns / max(rows, 1), 0.5), 2.0) / 16)
        if self.is_reduced(settings, now):
            width = max(width // 2, 1)
            height = max(height // 2, 1)
        return width, height

    def camera(self, orbit: Orbit, width: int, height: int) -> Camera:
        """The camera [1] of an image of that size."""
        return orbit.camera(self._framing.front(width, height), self._framing.center)

    @property
    def rendered_view(self) -> tuple[Camera, AvatarPose] | None:
        """The camera [1] and the pose of the image; None before there is one."""
        if self._displayed is None:
            return None
        request, pose = self._displayed
        return self.camera(request.orbit, *request.size), pose

    def request(self, state: State, now: float) -> ImageRequest:
        """What the image at `now` seconds depends on."""
        return ImageRequest(state.view, self.size(state.camera, now), state.camera.orbit)

    def is_current(self, request: ImageRequest, pose: AvatarPose, ignore_pose: bool = False) -> bool:
        """Whether the image was rendered from this request and, unless that is ignored, this pose."""
        if self.renderer.is_stale() or self._rendered is None or self._rendered[0] != request:
            return False
        return ignore_pose or equal_poses(self._rendered[1], pose)

    def render(self, request: ImageRequest, pose: AvatarPose, on_host: bool = True) -> None:
        """Render the image; `on_host`: somebody beside the window needs it."""
        self._rendered = self._displayed = request, pose
        camera = self.camera(request.orbit, *request.size)
        render = self.renderer.render_kept if self.keeps_images and not on_host else self.renderer.render
        self._image = render(pose.params, camera, request.view, pose.torso)
        self.image_number += 1
