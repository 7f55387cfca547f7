"""Avatars beside the one of the window, each with a source of its own, rendered with it in one space."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from avatar.driving.trained_range import TrainedRange
from avatar.export.posed import posed
from avatar.model.avatar import Avatar
from avatar.model.torso import Torso
from avatar.rendering.animator import Animator, PosedFrame, Raster
from avatar.rendering.cameras import Subject, subject_of
from avatar.rendering.frame_renderer import raster_size
from avatar.rendering.settings import RenderSettings
from avatar.scenes.looking import Looking, eyes_of, look
from avatar.scenes.placement import Placement
from avatar.scenes.scene_file import ActorSpec, CameraSpec
from avatar.scenes.scene_renderer import SceneRaster, placed, scene_frame
from avatar.scenes.shots import framed
from avatar.scenes.staging import place_of
from avatar.types import Camera, HeadParams
from viewer.render.renderer import Renderer
from viewer.render.view_settings import ViewSettings
from viewer.session.viewport import equal_params

#: Sizes whose cameras are cached.
_MOST_CAMERAS = 16


@dataclass(frozen=True, eq=False)
class Partner:
    """An avatar beside that of the window."""

    avatar: Avatar
    latest: Callable[[], HeadParams]  # parameters [1] now


class SceneRenderer(Renderer):
    """Renders the window's avatar, where it was captured, with others beside it; they look at each other."""

    def __init__(self, partners: Sequence[Partner], avatar: Avatar, **options: Any) -> None:
        """Args: the others; the avatar of the window; what `Renderer` takes."""
        super().__init__(avatar, **options)
        count = len(partners) + 1
        avatars = (avatar, *(partner.avatar for partner in partners))
        places = [place_of(ActorSpec(), index, count) for index in range(count)]
        in_scene = [
            Placement.of(one, place.position, place.yaw, 1.0) for one, place in zip(avatars, places, strict=True)
        ]
        self._partners = partners
        #: of the partners, in the world of the window's avatar
        self._placements = [one.seen_from(in_scene[0]) for one in in_scene[1:]]
        self._front_yaw = -in_scene[0].turn
        self._ranges = [TrainedRange.of(one) for one in avatars]
        self._animators = [Animator(partner.avatar, 1, 1) for partner in partners]
        self._rasters: dict[tuple[int, int, bool], SceneRaster] = {}
        self._cameras: dict[tuple[int, int], Camera] = {}
        self._newest: list[HeadParams] = []
        self._rendered: list[HeadParams] = []

    def is_stale(self) -> bool:
        """Whether a partner has moved since the last image."""
        self._newest = [partner.latest() for partner in self._partners]
        return len(self._rendered) != len(self._newest) or not all(map(equal_params, self._newest, self._rendered))

    def front(self, width: int, height: int) -> Camera:
        """The camera [1] that shows everybody."""
        size = width, height
        if size not in self._cameras:
            if len(self._cameras) > _MOST_CAMERAS:
                self._cameras.clear()
            self._cameras[size] = framed(self._subjects, self._front_yaw, CameraSpec(), size)
        return self._cameras[size]

    @cached_property
    def center(self) -> Tensor:  # type: ignore[override]
        """The middle of the heads [3], meters: a camera orbits it."""
        return torch.stack([subject.center for subject in self._subjects]).mean(0)

    @cached_property
    def _subjects(self) -> list[Subject]:
        others = [
            placement.subject(subject_of(partner.avatar, posed(partner.avatar)))
            for partner, placement in zip(self._partners, self._placements, strict=True)
        ]
        return [self._subject, *others]

    def _posed_frame(self, params: HeadParams, view: ViewSettings, torso: Torso | None) -> PosedFrame:
        if not self._newest:
            self._newest = [partner.latest() for partner in self._partners]
        self._rendered = self._newest
        eyes = eyes_of(self.avatar, params)
        others = [
            placement.points(eyes_of(partner.avatar, now))
            for partner, placement, now in zip(self._partners, self._placements, self._rendered, strict=True)
        ]
        nearest = min(others, key=lambda one: float((one - eyes).norm()))
        own = super()._posed_frame(self._looking(0, self.avatar, params, nearest), view, torso)
        frames = [own]
        for index, (partner, placement) in enumerate(zip(self._partners, self._placements, strict=True), 1):
            now = self._looking(index, partner.avatar, self._rendered[index - 1], placement.inverse(eyes))
            animator = self._animators[index - 1]
            frames.append(placed(animator.frame(animator.poses(now), 0), placement))
        return scene_frame(frames)

    def _looking(self, index: int, avatar: Avatar, params: HeadParams, target: Tensor) -> HeadParams:
        looking = Looking(target, torch.ones(1, dtype=torch.bool))
        return look(avatar, replace(params), looking, 0.0, self._ranges[index])

    def _animator_of(self, settings: RenderSettings) -> Raster:
        size = (*raster_size(settings), "depth" in settings.passes)
        if size not in self._rasters:
            if len(self._rasters) > 2:
                self._rasters.clear()
            avatars = [self.avatar, *(partner.avatar for partner in self._partners)]
            self._rasters[size] = SceneRaster(avatars, settings)
        return self._rasters[size]
