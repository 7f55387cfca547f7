"""All avatars of a scene rasterized together: their Gaussians are sorted by depth in one splat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from avatar.model.avatar import Avatar
from avatar.model.to_device import to_device
from avatar.rendering.animator import Animator, PosedFrame, Raster
from avatar.rendering.frame_renderer import STRIP_PIXELS, FrameRenderer, RenderedPasses, raster_size
from avatar.rendering.mesh_shader import gaussian_normals
from avatar.rendering.settings import RenderSettings
from avatar.scenes.layers import scene_layer, scene_normals
from avatar.scenes.placement import Placement
from avatar.types import Camera, Gaussians, HeadParams, TorsoPose
from avatar.video.offline_render import ColumnRenderer, FramePoses


@dataclass(frozen=True)
class SceneGaussians(Gaussians):
    """The Gaussians of all avatars of a scene, one avatar after another."""

    parts: tuple[Gaussians, ...] = ()  # [1,N] of each avatar

    @staticmethod
    def of(parts: Sequence[Gaussians]) -> SceneGaussians:
        """The Gaussians [1,N] of several avatars in one scene."""
        terms = max(part.sh.shape[2] for part in parts)
        sh = [torch.nn.functional.pad(part.sh, (0, 0, 0, terms - part.sh.shape[2])) for part in parts]
        means, quats, scales, opacities = (
            torch.cat([getattr(part, name) for part in parts], 1) for name in ("means", "quats", "scales", "opacities")
        )
        dilation = min(part.dilation for part in parts)
        return SceneGaussians(means, quats, scales, opacities, torch.cat(sh, 1), dilation, None, tuple(parts))

    def dilated(self, camera: Camera) -> Gaussians:
        """With the dilation of each avatar, which is one for a splat: that beyond the least one as a wider Gaussian."""
        more = [part.dilation - self.dilation for part in self.parts]
        if not any(more):
            return self
        counts = torch.tensor([len(part) for part in self.parts], device=self.means.device)
        pixels = self.means.new_tensor(more).repeat_interleave(counts)[:, None]
        meters = camera.to_camera(self.means[0])[:, 2:] / camera.K[0, 0, 0]
        return replace(self, scales=(self.scales**2 + pixels * meters**2).sqrt())


@dataclass(frozen=True)
class SceneFrame(PosedFrame):
    """One frame of a scene; its `head` is that of the first avatar."""

    actors: tuple[PosedFrame, ...] = ()  # with placed Gaussians


@dataclass(frozen=True)
class Actor:
    """An avatar of a scene with its parameters for every frame."""

    name: str
    avatar: Avatar
    params: HeadParams  # T frames
    torso: TorsoPose | None = None  # T frames, where it is measured; None: from the torso map
    placement: Placement | None = None  # None: where it was captured

    def in_scene(self, points: Tensor) -> Tensor:
        """Points [...,3] of the avatar's world in the scene, meters."""
        return points if self.placement is None else self.placement.points(points)

    def to(self, device: torch.device) -> Actor:
        """This actor on a device; its avatar is moved there, not copied."""
        params, torso = to_device(self.params, device), to_device(self.torso, device)
        placement = None if self.placement is None else self.placement.to(device)
        return Actor(self.name, self.avatar.to(device), params, torso, placement)


class SceneRaster(Raster):
    """Rasterizes frames of a scene."""

    def __init__(self, avatars: Sequence[Avatar], settings: RenderSettings) -> None:
        """Args: the avatars in their order in frames; size and passes."""
        width, height = raster_size(settings, STRIP_PIXELS)
        super().__init__(
            sum(map(len, avatars)), width, height, device=avatars[0].offsets.device,
            with_depth="depth" in settings.passes, rasterizer=settings.rasterizer,
        )  # fmt: skip
        self._avatars = avatars

    @torch.no_grad()
    def rasterize(self, gaussians: Gaussians, camera: Camera) -> None:
        """See `Raster.rasterize`."""
        assert isinstance(gaussians, SceneGaussians)
        layer = scene_layer(gaussians.parts, camera)
        self.buffers, self._features_handle = self._backend.rasterize_into(
            self.buffers, gaussians.dilated(camera), camera, layer
        )

    def normals(self, frame: PosedFrame, camera: Camera) -> tuple[Tensor, Tensor | None]:
        """See `Raster.normals`."""
        assert isinstance(frame, SceneFrame)
        normals = [
            gaussian_normals(avatar, actor.head, actor.gaussians, camera)
            for avatar, actor in zip(self._avatars, frame.actors, strict=True)
        ]
        return torch.cat(normals), scene_normals([actor.gaussians for actor in frame.actors], camera)


@dataclass(frozen=True)
class SceneColumn:
    """The frames of a scene, as a column of `avatar.video.offline_render`."""

    actors: tuple[Actor, ...]
    camera: Camera  # [T], or [1] if it does not move; of the size of the settings

    def __len__(self) -> int:
        return len(self.actors[0].params)

    @property
    def avatars(self) -> tuple[Avatar, ...]:
        """The avatars of the scene."""
        return tuple(actor.avatar for actor in self.actors)

    def to(self, device: torch.device) -> SceneColumn:
        """This scene on a device; its avatars are moved there, not copied."""
        return SceneColumn(tuple(actor.to(device) for actor in self.actors), to_device(self.camera, device))

    def camera_at(self, frame: int) -> Camera:
        """The camera [1] of a frame."""
        return self.camera[frame if len(self.camera) > 1 else 0]

    def renderer(self, settings: RenderSettings) -> ColumnRenderer:
        """A renderer of the scene, for one thread."""
        return _SceneRenderer(self, settings)


class _SceneRenderer(ColumnRenderer):
    """Renders a scene."""

    def __init__(self, scene: SceneColumn, settings: RenderSettings) -> None:
        self._scene = scene
        self._poses = [FramePoses(Animator(each.avatar, 1, 1), each.params, each.torso) for each in scene.actors]
        self._renderer = FrameRenderer(SceneRaster(scene.avatars, settings), settings)

    def _start(self, frame: int) -> Callable[[], RenderedPasses]:
        posed = [
            placed(poses.frame(frame), actor.placement)
            for poses, actor in zip(self._poses, self._scene.actors, strict=True)
        ]
        return self._renderer.start(scene_frame(posed), self._scene.camera_at(frame))


def placed(frame: PosedFrame, placement: Placement | None) -> PosedFrame:
    """A frame of an avatar in the scene; `placement` None: where it was captured."""
    if placement is None:
        return frame
    # The rotations of the bones are of the avatar's world: normals are computed from them.
    bones = replace(frame.head.bones, quats=placement.quats(frame.head.bones.quats))
    return PosedFrame(replace(frame.head, bones=bones), placement.gaussians(frame.gaussians))


def scene_frame(actors: Sequence[PosedFrame]) -> SceneFrame:
    """The frame of a scene from those of its avatars, in the scene."""
    return SceneFrame(actors[0].head, SceneGaussians.of([actor.gaussians for actor in actors]), tuple(actors))
