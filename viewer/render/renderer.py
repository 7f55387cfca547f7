"""The window's renderer: parameters, camera and view settings to an image.

It uses `avatar.rendering.frame_renderer`, as the offline renderer does: the same parameters, camera and background
give the same bytes.
"""

from __future__ import annotations

import copy
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
from avatar.model.parts.light.relight import Relighting, shine, with_own_light
from avatar.model.poser import PosedFrames, Poser
from avatar.model.to_device import to_device
from avatar.model.torso import Torso
from avatar.rendering.animator import Animator, PosedFrame, Raster
from avatar.rendering.backends import Rasterizer, backend_of
from avatar.rendering.cameras import HEAD_CENTER, Subject, front_camera, subject_of
from avatar.rendering.frame_graph import DeviceImage, FrameGraph
from avatar.rendering.frame_renderer import FrameRenderer, PoseRenderer, raster_size
from avatar.rendering.mesh_shader import MeshShader
from avatar.rendering.readback import Readback
from avatar.rendering.settings import Background, RenderSettings
from avatar.types import Camera, Gaussians, HeadParams
from avatar.video import Pass
from viewer.render.inspection import importance_rank, part_colors, shade_by_luma
from viewer.render.view_settings import ViewKind, ViewSettings

#: The pass that is rendered for each kind of image.
_PASSES: dict[ViewKind, Pass] = {"rgb": "rgb", "alpha": "alpha", "depth": "depth", "mesh": "mesh", "binding": "rgb"}
_MAX_SIZES = 4  # whose buffers are cached; the window changes between two or three
_MAX_FRONT_CAMERAS = 16
#: Meters in front of and behind the head's center that have the brightest and the darkest color of a depth image.
_DEPTH_FRONT = 0.12
_DEPTH_BACK = 0.08
_COLORS = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_INFERNO)[..., ::-1].copy()


class Renderer:
    """Renders images of one avatar into cached buffers; what depends on the avatar only is computed once for all sizes.

    Not reentrant, but any thread may call it; the kernels use their own threads and release the interpreter lock. The
    avatar that drivers and panels use stays where it is: on another device a copy of it is rendered, to which each
    frame sends its parameters, and from which it gets the image.
    """

    def __init__(
        self,
        avatar: Avatar,
        rasterizer: Rasterizer = "native",
        device: torch.device | None = None,
        before: Renderer | None = None,
    ) -> None:
        """
        Args:
            avatar: to render.
            rasterizer: "native" or "gsplat".
            device: where to render; None: where the avatar is.
            before: of another state of this avatar, if there is one: it saves time.

        Raises:
            HeadsplatError: that rasterizer cannot run here.
        """
        backend_of(rasterizer).check()
        self.avatar = avatar
        self._rasterizer = rasterizer
        self._device = device or avatar.offsets.device
        self._copy = avatar if self._device == avatar.offsets.device else copy.deepcopy(avatar).to(self._device)
        poser = None if before is None else before._animator.poser
        self._animator: Animator = Animator(self._copy, 1, 1, rasterizer=rasterizer, poser=poser)
        # A pose takes a hundred small operations: on the CPU, and then to the device, they are done sooner.
        self._poser = self._animator if self._copy is avatar else Poser(avatar)
        self._readback = Readback(self._device)
        self._sized: dict[tuple[int, int, bool], Animator] = {}
        self._renderers: dict[Pass, tuple[Raster, FrameRenderer]] = {}
        self._fronts: dict[tuple[int, int], Camera] = {}
        self._relighting: Relighting | None = None

    @torch.no_grad()
    def render(self, params: HeadParams, camera: Camera, view: ViewSettings, torso: Torso | None = None) -> np.ndarray:
        """Render one frame.

        Args:
            params: [1] of the avatar.
            camera: [1]; its size is the image's.
            view: kind of image and debug settings.
            torso: [1] where it is known; None: from the torso map.

        Returns:
            uint8 [H,W,3], overwritten by the next call.
        """
        image = self._image_of(params, camera, view, torso, keep=False)
        assert isinstance(image, np.ndarray)
        return image

    @torch.no_grad()
    def render_kept(
        self, params: HeadParams, camera: Camera, view: ViewSettings, torso: Torso | None = None
    ) -> np.ndarray | DeviceImage:
        """Like `render`, but an image that a graph renders on a GPU stays there, until the next call."""
        return self._image_of(params, camera, view, torso, keep=True)

    @property
    def device(self) -> torch.device:
        """Where images are rendered."""
        return self._device

    def _image_of(
        self, params: HeadParams, camera: Camera, view: ViewSettings, torso: Torso | None, *, keep: bool
    ) -> np.ndarray | DeviceImage:
        self._shine(view.relighting)
        with ops.one_thread():
            if self._device.type == "cuda" and _is_plain(view):
                renderer = self._frame_renderer("rgb", camera, Background(view.background))
                if isinstance(renderer, PoseRenderer):
                    return self._plain_image(renderer, self._poses(params, torso), camera, keep)
            camera = replace(camera, K=self._to_device(camera.K), world_to_cam=self._to_device(camera.world_to_cam))
            frame = self._posed_frame(params, view, torso)
            image = self._image(frame, camera, view)
            if view.mesh_overlay and view.kind != "mesh":
                self._overlay_mesh(image, frame, camera, view.mesh_overlay)
        return image

    def frame_graph(self, camera: Camera, view: ViewSettings) -> FrameGraph | None:
        """The graph of images of colors from such a camera; None on the CPU, and of several avatars."""
        renderer = self._frame_renderer("rgb", camera, Background(view.background))
        return renderer.graph if isinstance(renderer, PoseRenderer) else None

    def front(self, width: int, height: int) -> Camera:
        """The camera [1] in front of the avatar's face, at the mean pose of its capture."""
        size = width, height
        if size not in self._fronts:
            _evict(self._fronts, _MAX_FRONT_CAMERAS)
            self._fronts[size] = front_camera(self._subject, width, height)
        return self._fronts[size]

    def is_stale(self) -> bool:
        """Whether something else than parameters, camera and view has changed since the last image."""
        return False

    @property
    def center(self) -> Tensor:
        """The center of the head [3] at that pose, meters, world: a camera orbits it."""
        return self._subject.center

    @cached_property
    def _subject(self) -> Subject:
        return subject_of(self.avatar, posed(self.avatar))

    @cached_property
    def _shader(self) -> MeshShader:
        return MeshShader(self._copy)

    @cached_property
    def _part_colors(self) -> Tensor:
        return part_colors(self._copy)

    @cached_property
    def _ranks(self) -> Tensor:
        return importance_rank(self._copy)

    @cached_property
    def _lit_avatar(self) -> Avatar:
        """The rendered avatar with a light of its own, which can change; all else is shared."""
        return with_own_light(self.avatar, self._copy)

    def _shine(self, relighting: Relighting | None) -> None:
        """Render in this light from now on."""
        if relighting == self._relighting:
            return
        self._relighting = relighting
        off = relighting is None or relighting.strength == 0
        if not off:
            shine(self._lit_avatar, relighting)
        for animator in (self._animator, *self._sized.values()):
            animator.avatar = self._copy if off else self._lit_avatar

    def _to_device(self, values: Tensor) -> Tensor:
        return values.to(self._device, torch.float32).contiguous()

    def _poses(self, params: HeadParams, torso: Torso | None) -> PosedFrames:
        tensors = (params.identity, params.expression, params.joint_rot, params.translation)
        place = self.avatar.offsets.device
        params = HeadParams(*(values.to(place, torch.float32).contiguous() for values in tensors))
        return self._poser.poses(params, torso)

    def _posed_frame(self, params: HeadParams, view: ViewSettings, torso: Torso | None) -> PosedFrame:
        frame = self._animator.frame(to_device(self._poses(params, torso), self._device), 0)
        return replace(frame, gaussians=self._apply_view(frame.gaussians, view))

    def _plain_image(
        self, renderer: PoseRenderer, poses: PosedFrames, camera: Camera, keep: bool
    ) -> np.ndarray | DeviceImage:
        """An image of colors on a GPU: pose and camera go there in one copy, and a graph renders them."""
        place = self.avatar.offsets.device
        K, world_to_cam = (values.to(place, torch.float32).contiguous() for values in (camera.K, camera.world_to_cam))
        camera = replace(camera, K=K, world_to_cam=world_to_cam)
        if keep:
            return renderer.keep_pose(poses, 0, camera, "rgb")
        return renderer.start_pose(poses, 0, camera)().images["rgb"]

    def _apply_view(self, gaussians: Gaussians, view: ViewSettings) -> Gaussians:
        """The Gaussians [1,N] with the view settings applied; the same ones for the defaults."""
        if view.splat_scale != 1:
            gaussians = replace(gaussians, scales=gaussians.scales * view.splat_scale)
        if view.sh_degree is not None:
            gaussians = replace(gaussians, sh=gaussians.sh[:, :, : (view.sh_degree + 1) ** 2].contiguous())
        if view.count is not None:
            gaussians = replace(gaussians, opacities=gaussians.opacities * (self._ranks < view.count))
        if view.kind == "binding":
            gaussians = replace(gaussians, sh=shade_by_luma(self._part_colors, gaussians.sh))
        return gaussians

    def _image(self, frame: PosedFrame, camera: Camera, view: ViewSettings) -> np.ndarray:
        name = _PASSES[view.kind]
        image = self._frame_renderer(name, camera, Background(view.background)).render(frame, camera)[name]
        if view.kind == "alpha":
            return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
        if view.kind == "depth":
            return self._depth_colors(image, frame, camera, view.background)
        return image

    def _frame_renderer(self, name: Pass, camera: Camera, background: Background) -> FrameRenderer:
        """The renderer of one pass; the last one of each is cached."""
        settings = RenderSettings(camera.width, camera.height, 1, background, (name,), self._rasterizer)
        animator = self._animator_of(settings)
        cached = self._renderers.get(name)
        if cached is None or cached[0] is not animator or cached[1].settings != settings:
            shader = self._shader if name == "mesh" else None
            renderer = (
                PoseRenderer(animator, settings, shader)
                if isinstance(animator, Animator)
                else FrameRenderer(animator, settings, shader)
            )
            cached = self._renderers[name] = animator, renderer
        return cached[1]

    def _animator_of(self, settings: RenderSettings) -> Raster:
        with_depth = "depth" in settings.passes
        size = (*raster_size(settings), with_depth)
        animator = self._sized.pop(size, None)
        if animator is None:
            _evict(self._sized, _MAX_SIZES)
            animator = self._animator.resized(*size[:2], with_depth=with_depth)
        self._sized[size] = animator  # the one used last is evicted last
        return animator

    def _depth_colors(
        self, depth: np.ndarray, frame: PosedFrame, camera: Camera, background: tuple[float, float, float]
    ) -> np.ndarray:
        """Depth [H,W] meters as colors, near ones bright, on a scale relative to the head's center."""
        view = camera.world_to_cam[0]
        center = frame.head.rotation[0] @ view.new_tensor(HEAD_CENTER) + frame.head.translation[0]
        far = float(view[2, :3] @ center + view[2, 3]) + _DEPTH_BACK
        scale = -255 / (_DEPTH_FRONT + _DEPTH_BACK)
        values = cv2.convertScaleAbs(np.minimum(depth, far), alpha=scale, beta=-scale * far)
        colored = cv2.applyColorMap(values, _COLORS)
        colored[depth == 0] = np.rint(255 * np.array(background))
        return colored

    def _overlay_mesh(self, image: np.ndarray, frame: PosedFrame, camera: Camera, opacity: float) -> None:
        """Blend the mesh into `image`, in place."""
        rgb, alpha = self._shader.render(frame.head, camera)
        mesh = ops.to_bytes(rgb[None], alpha[None], torch.zeros_like(rgb[0, 0]))[0]
        overlay = self._readback.start({"mesh": mesh, "alpha": alpha.to(torch.uint8)})()
        blended = cv2.addWeighted(image, 1 - opacity, overlay["mesh"], opacity, 0)
        cv2.copyTo(blended, overlay["alpha"], image)


def _is_plain(view: ViewSettings) -> bool:
    """Whether an image shows the Gaussians as they are."""
    unchanged = view.splat_scale == 1 and view.sh_degree is None and view.count is None
    return view.kind == "rgb" and unchanged and not view.mesh_overlay


def _evict(cache: dict[Any, Any], size: int) -> None:
    """Remove the oldest entries so that another one fits."""
    while len(cache) >= size:
        del cache[next(iter(cache))]
