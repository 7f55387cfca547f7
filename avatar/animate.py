"""An avatar drawn again and again: what a viewer and an offline renderer run, without autograd."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from avatar import ops
from avatar.blendshapes import expression_features
from avatar.model import Avatar
from avatar.records import Camera, HeadParams
from avatar.render import WHITE


class Animator:
    """From head parameters to pictures of one size, in memory that is made once.

    The same operations as `avatar(params)` and `render`, but for the basis, which is read in half precision: a frame
    reads all of it, and half the bytes take half the time.
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
        self.buffers = ops.splat_buffers(1, len(avatar), width, height, device=home, with_depth=with_depth)
        self.bytes = torch.empty(1, height, width, 3, dtype=torch.uint8, device=home)
        ops.keep_memory()

    @property
    def depth(self) -> Tensor | None:
        """Depth [H,W] metres of the frame drawn last, where it was asked for."""
        return None if self.buffers.depth is None else self.buffers.depth[0]

    @property
    def alpha(self) -> Tensor:
        """Alpha [H,W] of the frame drawn last."""
        return self.buffers.alpha[0]

    @torch.no_grad()
    def draw(self, params: HeadParams, camera: Camera) -> Tensor:
        """The picture of one frame of `params` as `camera` [1] sees it.

        Returns:
            uint8 [H,W,3], overwritten by the next call.
        """
        avatar, params = self.avatar, self.avatar.with_identity(params)
        weights = avatar.blendshapes.weights(expression_features(params))
        extra = ops.blend(None, self.basis, weights)
        rotation, translation = avatar.head.skull_pose(params)
        still = avatar.place(extra, avatar.head.skull_vertices(params), rotation, translation)
        splats = (still.means, still.quats, still.scales, still.opacities, still.sh)
        ops.splat_into(self.buffers, *splats, camera)
        # On a CUDA device a frame may need more memory than was made for it.
        while (pairs := self.buffers.pairs()) > self.buffers.capacity:
            self._make_room(pairs + pairs // 2)
            ops.splat_into(self.buffers, *splats, camera)
        return ops.to_bytes(self.buffers.rgb, self.buffers.alpha, self.background, self.bytes)[0]

    def _make_room(self, capacity: int) -> None:
        _, height, width, _ = self.bytes.shape
        self.buffers = ops.splat_buffers(
            1, len(self.avatar), width, height, device=self.bytes.device, capacity=capacity,
            with_depth=self.buffers.depth is not None,
        )  # fmt: skip
