"""An avatar drawn again and again: what a viewer and an offline renderer run, without autograd."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from avatar import ops
from avatar.model.avatar import Avatar
from avatar.model.poser import Poser, Poses
from avatar.rendering.backends import render_gsplat
from avatar.rendering.render import WHITE
from avatar.types import Camera, Gaussians, HeadParams


class Animator:
    """From head parameters to pictures of one size, in memory that is made once.

    The same operations as `avatar(params)` and `render`, but for the bases, which are read in half precision: a frame
    reads all of them, and half the bytes take half the time.
    """

    def __init__(
        self, avatar: Avatar, width: int, height: int, background: Sequence[float] = WHITE, *, with_depth: bool = False
    ) -> None:
        """Args: the avatar, the pictures' size in pixels, their background (three values, 0..1), and whether `depth`
        is wanted."""
        self.avatar = avatar
        home = avatar.offsets.device
        shapes = avatar.blendshapes
        masked = shapes.basis * shapes.mask[:, :, None] if shapes.mode == "expression" else shapes.basis
        self.basis = masked.detach().half()
        self.background = torch.tensor(list(background), dtype=torch.float32, device=home)
        self._poser = Poser(avatar)
        self._splatted: object = None
        self._make_pictures(width, height, with_depth)
        ops.keep_memory()

    def sized(self, width: int, height: int, *, with_depth: bool = False) -> Animator:
        """An animator of the same avatar with pictures of its own size; what was made of the avatar is shared."""
        other = copy.copy(self)
        other._make_pictures(width, height, with_depth)
        return other

    def _make_pictures(self, width: int, height: int, with_depth: bool) -> None:
        home, count = self.background.device, len(self.avatar)
        self.buffers = ops.splat_buffers(1, count, width, height, device=home, with_depth=with_depth)
        self.bytes = torch.empty(1, height, width, 3, dtype=torch.uint8, device=home)

    @property
    def rgb(self) -> Tensor:
        """Premultiplied color [H,W,3] of the frame drawn last."""
        return self.buffers.rgb[0]

    @property
    def depth(self) -> Tensor | None:
        """Depth [H,W] meters of the frame drawn last, where it was asked for."""
        return None if self.buffers.depth is None else self.buffers.depth[0]

    @property
    def alpha(self) -> Tensor:
        """Alpha [H,W] of the frame drawn last."""
        return self.buffers.alpha[0]

    def poses(self, params: HeadParams) -> Poses:
        """All of the frames of `params`, for `gaussians`: made together they cost next to nothing."""
        return self._poser.poses(params)

    def vertices(self, poses: Poses, frame: int) -> Tensor:
        """Vertices [1,V,3] of a frame's mesh in the skull's frame, meters."""
        return self._poser.vertices(poses, frame)

    @torch.no_grad()
    def draw(self, params: HeadParams, camera: Camera) -> Tensor:
        """The picture of one frame of `params` as `camera` [1] sees it.

        Returns:
            uint8 [H,W,3], overwritten by the next call.
        """
        poses = self.poses(params)
        self.splat(self.gaussians(poses, 0, self.vertices(poses, 0)), camera)
        return self.picture()

    @torch.no_grad()
    def gaussians(self, poses: Poses, frame: int, vertices: Tensor) -> Gaussians:
        """Gaussians [1,N] of frame `frame` of `poses` with its `vertices` [1,V,3], world."""
        avatar, rig = self.avatar, self.avatar.rig
        one = slice(frame, frame + 1)
        extra = ops.blend(None, self.basis, poses.blend_weights[one])
        offsets, quats, scales, opacities, sh = ops.deform(
            avatar.offsets, avatar.quats, avatar.log_scales, avatar.logit_opacities, avatar.colors, extra,
            avatar.blendshapes.units,
        )  # fmt: skip
        means, turns = ops.bind(
            vertices, rig.triangles, rig.bary, offsets, quats, rig.skin, poses.quats[one], poses.translations[one]
        )
        return Gaussians(means, turns, scales, opacities, sh)

    @torch.no_grad()
    def splat(self, gaussians: Gaussians, camera: Camera) -> None:
        """Draw `gaussians` [1,N] as `camera` [1] sees them into `rgb`, `alpha` and `depth`."""
        splats = (gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities, gaussians.sh)
        self._splatted = ops.splat_into(self.buffers, *splats, camera)
        # On a CUDA device a frame may need more memory than was made for it.
        while (pairs := self.buffers.pairs()) > self.buffers.capacity:
            self._make_room(pairs + pairs // 2)
            self._splatted = ops.splat_into(self.buffers, *splats, camera)

    def picture(self, background: Tensor | None = None) -> Tensor:
        """The frame drawn last over `background` [3] (None: its own): uint8 [H,W,3], overwritten by the next call."""
        behind = self.background if background is None else background
        return ops.to_bytes(self.buffers.rgb, self.buffers.alpha, behind, self.bytes)[0]

    def blended(self, values: Tensor) -> Tensor:
        """Other 3-vectors [N,3] of the Gaussians blended as the frame drawn last: [H,W,3] over zero."""
        return ops.splat_features(self._splatted, values[None])[0]

    def _make_room(self, capacity: int) -> None:
        _, height, width, _ = self.bytes.shape
        self.buffers = ops.splat_buffers(
            1, len(self.avatar), width, height, device=self.bytes.device, capacity=capacity,
            with_depth=self.buffers.depth is not None,
        )  # fmt: skip


class GsplatAnimator(Animator):
    """The same with gsplat's kernels; it blends no values but colors."""

    @torch.no_grad()
    def splat(self, gaussians: Gaussians, camera: Camera) -> None:
        """Draw `gaussians` [1,N] as `camera` [1] sees them into `rgb`, `alpha` and `depth`."""
        pictures = render_gsplat(gaussians, camera, with_depth=self.buffers.depth is not None)
        for target, picture in zip((self.buffers.rgb, self.buffers.alpha, self.buffers.depth), pictures, strict=True):
            if target is not None and picture is not None:
                target.copy_(picture)
