"""Inference: from head parameters to images in reused memory, without autograd. Used by the viewer and offline."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from avatar import ops
from avatar.model.avatar import Avatar, assemble
from avatar.model.poser import PosedFrames, Poser
from avatar.model.to_device import to_device
from avatar.model.torso import Torso
from avatar.rendering.backends import Rasterizer, backend_of
from avatar.rendering.mesh_shader import gaussian_normals, layer_normals
from avatar.rendering.render import WHITE
from avatar.types import Camera, Gaussians, HeadParams, PosedHead


@dataclass(frozen=True)
class PosedFrame:
    """One frame of an avatar: its mesh and Gaussians, independent of a camera."""

    head: PosedHead  # [1]
    gaussians: Gaussians  # [1,N], world frame


class Raster(ABC):
    """Rasterizes Gaussians at one image size, frame after frame, into memory that is allocated once."""

    def __init__(
        self,
        count: int,
        width: int,
        height: int,
        background: Sequence[float] = WHITE,
        *,
        device: torch.device,
        with_depth: bool = False,
        rasterizer: Rasterizer = "native",
    ) -> None:
        """
        Args:
            count: of the Gaussians.
            width: pixels.
            height: pixels.
            background: [3], 0..1.
            device: of the images.
            with_depth: also render `depth`.
            rasterizer: "native" or "gsplat".
        """
        self.background = torch.tensor(list(background), dtype=torch.float32, device=device)
        self._count = count
        self._backend = backend_of(rasterizer)
        self._features_handle: object = None
        self._allocate(width, height, with_depth)

    def _allocate(self, width: int, height: int, with_depth: bool) -> None:
        device = self.background.device
        self.buffers = ops.splat_buffers(1, self._count, width, height, device=device, with_depth=with_depth)
        self.bytes = torch.empty(1, height, width, 3, dtype=torch.uint8, device=device)

    @property
    def rgb(self) -> Tensor:
        """Premultiplied color [H,W,3] of the last rendered frame."""
        return self.buffers.rgb[0]

    @property
    def depth(self) -> Tensor | None:
        """Depth [H,W] in meters of the last rendered frame; None without `with_depth`."""
        return None if self.buffers.depth is None else self.buffers.depth[0]

    @property
    def alpha(self) -> Tensor:
        """Alpha [H,W] of the last rendered frame."""
        return self.buffers.alpha[0]

    @abstractmethod
    def rasterize(self, gaussians: Gaussians, camera: Camera) -> None:
        """Rasterize `gaussians` [1,N] from `camera` [1] into `rgb`, `alpha` and `depth`."""

    @abstractmethod
    def normals(self, frame: PosedFrame, camera: Camera) -> tuple[Tensor, Tensor | None]:
        """Normals [N,3] of the Gaussians of a frame, and those of its layer; see `blend_features`."""

    def image(self, background: Tensor | None = None) -> Tensor:
        """The last frame over `background` [3] (None: that of this object): uint8 [H,W,3], overwritten by the next."""
        color = self.background if background is None else background
        return ops.to_bytes(self.buffers.rgb, self.buffers.alpha, color, self.bytes)[0]

    def blend_features(self, features: Tensor, of_layer: Tensor | None = None) -> Tensor:
        """Blend 3-vectors with the blend weights of the last frame: [H,W,3] over zero.

        Args:
            features: [N,3] of the Gaussians.
            of_layer: [1,h,w,3] in place of the color of the mesh layer, premultiplied; None: zero.
        """
        return self._backend.blend_features(self._features_handle, features[None], of_layer)[0]


class Animator(Raster):
    """Renders one avatar at one image size, frame after frame, into memory that is allocated once.

    It runs the same operations as `avatar(params)` and `render`, except that the blendshape basis is stored in half
    precision: a frame reads all of it, and half the bytes take half the time.
    """

    def __init__(
        self,
        avatar: Avatar,
        width: int,
        height: int,
        background: Sequence[float] = WHITE,
        *,
        with_depth: bool = False,
        rasterizer: Rasterizer = "native",
        poser: Poser | None = None,
    ) -> None:
        """
        Args:
            avatar: the avatar to render.
            width: pixels.
            height: pixels.
            background: [3], 0..1.
            with_depth: also render `depth`.
            rasterizer: "native" or "gsplat".
            poser: of another state of this avatar, if there is one: it saves time.
        """
        self.avatar = avatar
        device = avatar.offsets.device
        shapes = avatar.blendshapes
        masked = shapes.basis * shapes.mask[:, :, None] if shapes.mode == "expression" else shapes.basis
        self.basis = masked.detach().half()
        self._poser = Poser(avatar) if poser is None else poser.of(avatar)
        with torch.no_grad():
            self._constants = avatar.constants()
        super().__init__(
            len(avatar), width, height, background, device=device, with_depth=with_depth, rasterizer=rasterizer
        )
        ops.keep_memory()

    @property
    def poser(self) -> Poser:
        """The poser of the mesh."""
        return self._poser

    def resized(self, width: int, height: int, *, with_depth: bool = False) -> Animator:
        """An animator of the same avatar with another image size; it shares everything but the image buffers."""
        other = copy.copy(self)
        other._allocate(width, height, with_depth)
        return other

    def poses(self, params: HeadParams, torso: Torso | None = None) -> PosedFrames:
        """Poses of all frames of `params`, for `frame`; one call for many frames is much faster than many calls.

        Args:
            params: T frames.
            torso: the torso in the T frames where it is known; None: from the torso map.

        Raises:
            ValueError: a frame has a NaN or an infinity.
        """
        return self._poser.poses(params, torso)

    @torch.no_grad()
    def render(self, params: HeadParams, camera: Camera) -> Tensor:
        """Render one frame.

        Args:
            params: [1].
            camera: [1], of the animator's image size.

        Returns:
            uint8 [H,W,3], overwritten by the next call.

        Raises:
            ValueError: `params` has a NaN or an infinity.
        """
        self.rasterize(self.frame(self.poses(params), 0).gaussians, camera)
        return self.image()

    @torch.no_grad()
    def frame(self, frames: PosedFrames, index: int) -> PosedFrame:
        """One frame, ready to be rasterized.

        Args:
            frames: from `poses`.
            index: of the frame in `frames`.
        """
        head = self._poser.head(frames, index)
        extra = ops.blend(None, self.basis, frames.blendshape_weights[index : index + 1])
        return PosedFrame(head, assemble(self.avatar, head, extra, self._constants))

    @torch.no_grad()
    def rasterize(self, gaussians: Gaussians, camera: Camera) -> None:
        """See `Raster.rasterize`."""
        self.buffers, self._features_handle = self._backend.rasterize_into(self.buffers, gaussians, camera)

    def normals(self, frame: PosedFrame, camera: Camera) -> tuple[Tensor, Tensor | None]:
        """See `Raster.normals`."""
        gaussians = frame.gaussians
        return gaussian_normals(self.avatar, frame.head, gaussians, camera), layer_normals(gaussians, camera)


def render_track(
    avatar: Avatar,
    params: HeadParams,
    camera: Camera,
    background: Sequence[float] = WHITE,
    rasterizer: Rasterizer = "native",
) -> Iterator[np.ndarray]:
    """Render every frame of a track.

    Args:
        avatar: the avatar.
        params: T frames, on any device.
        camera: [1], or [T] one for each frame, on any device.
        background: [3], 0..1.
        rasterizer: "native" or "gsplat".

    Yields:
        uint8 [H,W,3] for each frame.
    """
    animator = Animator(avatar, camera.width, camera.height, background, rasterizer=rasterizer)
    params = to_device(params, avatar.offsets.device)
    camera = to_device(camera, avatar.offsets.device)
    for frame in range(len(params)):
        yield animator.render(params[frame], camera[frame if len(camera) > 1 else 0]).cpu().numpy().copy()
