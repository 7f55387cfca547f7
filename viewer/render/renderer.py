"""The one render function the window knows: parameters, camera and look -> picture.

It uses `avatar.rendering.frame_renderer`, as the offline renderer does: the same parameters, camera and background
give the same bytes.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from avatar import ops
from avatar.export.posed import posed
from avatar.model.avatar import Avatar
from avatar.rendering.animator import Animator
from avatar.rendering.backends import Rasterizer, backend_of
from avatar.rendering.cameras import HEAD_CENTER, Subject, front_camera, subject_of
from avatar.rendering.frame_renderer import FrameRenderer, PosedFrame, raster_size
from avatar.rendering.mesh_shader import MeshShader
from avatar.rendering.settings import Background, RenderSettings
from avatar.types import Camera, Gaussians, HeadParams
from avatar.video import Pass
from viewer.render.inspection import drawing_order, part_colors, shaded
from viewer.render.view_settings import Kind, Look

#: What is drawn for each kind of picture.
_PASSES: dict[Kind, Pass] = {"rgb": "rgb", "alpha": "alpha", "depth": "depth", "mesh": "mesh", "binding": "rgb"}
_SIZES_KEPT = 4  # whose memory stays; the window changes between two or three
_FRONTS_KEPT = 16
#: Meters before and behind the head's center that are the brightest and the darkest color of a depth picture.
_BEFORE, _BEHIND = 0.12, 0.08
_COLORS = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_INFERNO)[..., ::-1].copy()


class Engine:
    """Pictures of one avatar, in memory that stays: all that is made of the avatar is made once, whatever the size.

    To be called by one thread at a time, any one; the kernels run on all of theirs and let other Python threads go on.
    """

    def __init__(self, avatar: Avatar, rasterizer: Rasterizer = "native") -> None:
        """Args: whom to draw, and with which kernels; raises HeadsplatError where those cannot run here."""
        backend_of(rasterizer).check()
        self.avatar = avatar
        self._rasterizer = rasterizer
        self._home = avatar.offsets.device
        self._animator = Animator(avatar, 1, 1, rasterizer=rasterizer)
        self._sized: dict[tuple[int, int, bool], Animator] = {}
        self._renderers: dict[Pass, tuple[Animator, FrameRenderer]] = {}
        self._fronts: dict[tuple[int, int], Camera] = {}

    @torch.no_grad()
    def render(self, params: HeadParams, camera: Camera, look: Look) -> np.ndarray:
        """The picture of `params` [1] as `camera` [1] sees it: uint8 [H,W,3], overwritten by the next call."""
        camera = replace(camera, K=self._own(camera.K), world_to_cam=self._own(camera.world_to_cam))
        with ops.one_thread():
            frame = self._posed_frame(params, look)
            picture = self._picture(frame, camera, look)
            if look.mesh_overlay and look.kind != "mesh":
                self._lay_mesh_over(picture, frame, camera, look.mesh_overlay)
        return picture

    def front(self, width: int, height: int) -> Camera:
        """The camera [1] straight before the avatar's face, at the pose it was filmed at on average."""
        size = width, height
        if size not in self._fronts:
            _make_room(self._fronts, _FRONTS_KEPT)
            self._fronts[size] = front_camera(self._subject, width, height)
        return self._fronts[size]

    @property
    def center(self) -> Tensor:
        """The middle of the head [3] at that pose, meters, world: what a camera turns about."""
        return self._subject.center

    @cached_property
    def _subject(self) -> Subject:
        return subject_of(self.avatar, posed(self.avatar))

    @cached_property
    def _shader(self) -> MeshShader:
        return MeshShader(self.avatar)

    @cached_property
    def _part_colors(self) -> Tensor:
        return part_colors(self.avatar)

    @cached_property
    def _order(self) -> Tensor:
        return drawing_order(self.avatar)

    def _own(self, values: Tensor) -> Tensor:
        return values.to(self._home, torch.float32).contiguous()

    def _posed_frame(self, params: HeadParams, look: Look) -> PosedFrame:
        own = (self._own(part) for part in (params.identity, params.expression, params.joint_rot, params.translation))
        frame = PosedFrame.of(self._animator, self._animator.poses(HeadParams(*own)), 0)
        return replace(frame, gaussians=self._looked_at(frame.gaussians, look))

    def _looked_at(self, gaussians: Gaussians, look: Look) -> Gaussians:
        """What `look` makes of the Gaussians [1,N]; at its defaults the same ones."""
        if look.splat_scale != 1:
            gaussians = replace(gaussians, scales=gaussians.scales * look.splat_scale)
        if look.sh_degree is not None:
            gaussians = replace(gaussians, sh=gaussians.sh[:, :, : (look.sh_degree + 1) ** 2].contiguous())
        if look.count is not None:
            gaussians = replace(gaussians, opacities=gaussians.opacities * (self._order < look.count))
        if look.kind == "binding":
            gaussians = replace(gaussians, sh=shaded(self._part_colors, gaussians.sh))
        return gaussians

    def _picture(self, frame: PosedFrame, camera: Camera, look: Look) -> np.ndarray:
        name = _PASSES[look.kind]
        picture = self._renderer(name, camera, Background(look.background)).render(frame, camera)[name]
        if look.kind == "alpha":
            return cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB)
        if look.kind == "depth":
            return self._shown_depth(picture, frame, camera, look.background)
        return picture

    def _renderer(self, name: Pass, camera: Camera, background: Background) -> FrameRenderer:
        """The renderer of one pass; the last one of each pass is kept."""
        settings = RenderSettings(camera.width, camera.height, 1, background, (name,), self._rasterizer)
        animator = self._animator_of(settings)
        known = self._renderers.get(name)
        if known is None or known[0] is not animator or known[1].settings != settings:
            shader = self._shader if name == "mesh" else None
            known = self._renderers[name] = animator, FrameRenderer(animator, settings, shader)
        return known[1]

    def _animator_of(self, settings: RenderSettings) -> Animator:
        with_depth = "depth" in settings.passes
        size = (*raster_size(settings), with_depth)
        animator = self._sized.pop(size, None)
        if animator is None:
            _make_room(self._sized, _SIZES_KEPT)
            animator = self._animator.resized(*size[:2], with_depth=with_depth)
        self._sized[size] = animator  # the one used last stays longest
        return animator

    def _shown_depth(
        self, depth: np.ndarray, frame: PosedFrame, camera: Camera, background: tuple[float, float, float]
    ) -> np.ndarray:
        """Depth [H,W] meters in colors, near ones bright; the scale goes with the head."""
        poses, view = frame.poses, camera.world_to_cam[0]
        center = poses.rotations[0, 0] @ view.new_tensor(HEAD_CENTER) + poses.translations[0, 0]
        far = float(view[2, :3] @ center + view[2, 3]) + _BEHIND
        scale = -255 / (_BEFORE + _BEHIND)
        shown = cv2.applyColorMap(cv2.convertScaleAbs(np.minimum(depth, far), alpha=scale, beta=-scale * far), _COLORS)
        shown[depth == 0] = np.rint(255 * np.array(background))
        return shown

    def _lay_mesh_over(self, picture: np.ndarray, frame: PosedFrame, camera: Camera, share: float) -> None:
        poses = frame.poses
        rgb, alpha = self._shader.render(frame.vertices, poses.quats[0], poses.translations[0], camera)
        mesh = ops.to_bytes(rgb[None], alpha[None], torch.zeros_like(rgb[0, 0]))[0].cpu().numpy()
        mixed = cv2.addWeighted(picture, 1 - share, mesh, share, 0)
        cv2.copyTo(mixed, alpha.to(torch.uint8).cpu().numpy(), picture)


def _make_room(kept: dict[Any, Any], most: int) -> None:
    """Forget what was kept first, so that another one fits."""
    while len(kept) >= most:
        del kept[next(iter(kept))]
