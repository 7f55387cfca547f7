"""The one render function of the viewer."""

from __future__ import annotations

import numpy as np

from avatar.animate import Animator
from avatar.model import Avatar
from avatar.offline.cameras import front_camera, subject_of
from avatar.records import Camera, HeadParams
from viewer.look import Look
from viewer.performers import Puppet
from viewer.state import Sliders


class Engine:
    """Draws one avatar."""

    def __init__(self, avatar: Avatar) -> None:
        self.avatar = avatar
        self._animators: dict[tuple[int, int], Animator] = {}
        self._subject = subject_of(avatar, Puppet(avatar).params(Sliders()))
        self.centre = self._subject.centre
        self._fronts: dict[tuple[int, int], Camera] = {}

    def front(self, width: int, height: int) -> Camera:
        """The camera [1] straight before the resting face, for pictures of that size."""
        if (width, height) not in self._fronts:
            self._fronts[width, height] = front_camera(self._subject, width, height)
        return self._fronts[width, height]

    def render(self, params: HeadParams, camera: Camera, look: Look) -> np.ndarray:
        """The picture, uint8 [H,W,3], of one frame [1] of parameters; overwritten by the next call."""
        size = camera.width, camera.height
        if size not in self._animators:
            self._animators[size] = Animator(self.avatar, *size, look.background)
        return self._animators[size].draw(params, camera).numpy()
