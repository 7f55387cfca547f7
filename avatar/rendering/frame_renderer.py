"""One frame of an avatar as one camera sees it: every pass of a picture from one set of splats.

What the offline renderer and the viewer share: the same parameters, camera and look are the same bits in both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from avatar import ops
from avatar.model.poser import Poses
from avatar.rendering.animator import Animator, GsplatAnimator
from avatar.rendering.backends import Rasterizer
from avatar.rendering.mesh_shader import MeshShader, gaussian_normals
from avatar.rendering.settings import Look
from avatar.types import Camera, Gaussians

#: Pixels that are splatted at once: a picture that is larger (supersampled) is drawn in strips.
STRIP_PIXELS = 1 << 22
#: Alpha under which a pixel has no depth or normal: it shows more of the background than of a surface.
_VISIBLE = 0.5
#: What draws the splats of a still.
ANIMATORS: dict[Rasterizer, type[Animator]] = {"native": Animator, "gsplat": GsplatAnimator}


@dataclass(frozen=True)
class Still:
    """One frame of an avatar, before any camera."""

    poses: Poses
    frame: int  # of `poses`
    vertices: Tensor  # [1,V,3] skull frame
    gaussians: Gaussians  # [1,N]

    @staticmethod
    def of(animator: Animator, poses: Poses, frame: int) -> Still:
        """Frame `frame` of `poses`, which `animator` made."""
        vertices = animator.vertices(poses, frame)
        return Still(poses, frame, vertices, animator.gaussians(poses, frame, vertices))


def strip_size(look: Look, strip_pixels: int = STRIP_PIXELS) -> tuple[int, int]:
    """Pixels (width, height) of the raster that a picture is drawn on, strip by strip where it has more pixels."""
    step = look.supersample
    wide = look.width * step
    return wide, step * max(1, min(look.height, strip_pixels // (wide * step)))


class Painter:
    """Pictures of stills of one avatar in one look; cheap to make."""

    def __init__(self, animator: Animator, look: Look, shader: MeshShader | None = None) -> None:
        """
        Args:
            animator: of `strip_size(look)` pixels, with depth where the look has a depth pass; drawn into.
            look: what is drawn.
            shader: of the same avatar, where the look has a mesh pass.
        """
        self.look = look
        self._animator, self._shader = animator, shader
        self._rows = animator.bytes.shape[1] // look.supersample
        #: rows where the strips begin; the last one overlaps where they do not fit evenly
        self._tops = [min(top, look.height - self._rows) for top in range(0, look.height, self._rows)]
        home = animator.bytes.device
        picture = look.backdrop.picture
        self._picture = None if picture is None else torch.from_numpy(picture).to(home).float() / 255
        self._color = torch.tensor(look.backdrop.color, dtype=torch.float32, device=home)

    def draw(self, still: Still, camera: Camera) -> dict[str, np.ndarray]:
        """Every pass of the look as `camera` [1] sees it, overwritten by the next call."""
        strips = [self._strip(still, camera, top) for top in self._tops]
        return {name: self._joined([strip[name] for strip in strips]) for name in self.look.passes}

    def _joined(self, strips: list[Tensor]) -> np.ndarray:
        if len(strips) == 1:
            return strips[0].cpu().numpy()
        whole = strips[0].new_empty(self.look.height, *strips[0].shape[1:])
        for top, strip in zip(self._tops, strips, strict=True):
            whole[top : top + self._rows] = strip
        return whole.cpu().numpy()

    def _strip(self, still: Still, camera: Camera, top: int) -> dict[str, Tensor]:
        """The passes of the strip of rows that begins at `top`."""
        look, animator = self.look, self._animator
        camera = _part(camera, look.supersample, top, self._rows)
        if look.passes != ("mesh",):
            animator.splat(still.gaussians, camera)
        makers: dict[str, Callable[[], Tensor]] = {
            "rgb": lambda: self._rgb(top),
            "alpha": lambda: _bytes(self._small(animator.alpha)),
            "depth": self._depth,
            "normals": lambda: self._normals(still, camera),
            "mesh": lambda: self._mesh(still, camera, top),
        }
        # Copies: with several strips the next one overwrites the animator's memory.
        return {name: makers[name]() if len(self._tops) == 1 else makers[name]().clone() for name in look.passes}

    def _small(self, picture: Tensor) -> Tensor:
        """A picture [h,w(,c)] of the supersampled raster averaged to the asked size."""
        step = self.look.supersample
        if step == 1:
            return picture
        if picture.device.type == "cpu":  # ten times as fast as PyTorch's pooling of pictures with few channels
            size = picture.shape[1] // step, picture.shape[0] // step
            return torch.from_numpy(cv2.resize(picture.numpy(), size, interpolation=cv2.INTER_AREA))
        channels = picture if picture.ndim == 3 else picture[..., None]
        small = torch.nn.functional.avg_pool2d(channels.permute(2, 0, 1)[None], step)[0].permute(1, 2, 0)
        return small.contiguous() if picture.ndim == 3 else small[..., 0].contiguous()

    def _rgb(self, top: int) -> Tensor:
        animator, backdrop = self._animator, self.look.backdrop
        if self.look.supersample == 1 and not backdrop.transparent and self._picture is None:
            return animator.picture(self._color)
        rgb, alpha = self._small(animator.rgb), self._small(animator.alpha)
        return self._over(rgb, alpha, top)

    def _over(self, rgb: Tensor, alpha: Tensor, top: int) -> Tensor:
        """Premultiplied color over the background, as bytes; with straight alpha where that is transparent."""
        if self.look.backdrop.transparent:
            straight = rgb / alpha.clamp_min(1e-6)[..., None]
            return _bytes(torch.cat([straight, alpha[..., None]], -1))
        if self._picture is None:
            return ops.to_bytes(rgb[None], alpha[None], self._color)[0]
        behind = self._picture[top : top + self._rows]
        composed = torch.addcmul(rgb, (1 - alpha)[..., None], behind)
        return ops.to_bytes(composed[None], alpha[None], torch.zeros_like(self._color))[0]

    def _depth(self) -> Tensor:
        alpha, depth = self._animator.alpha, self._animator.depth
        assert depth is not None
        small = self._small(alpha)
        if self.look.supersample > 1:
            depth = self._small(depth * alpha) / small.clamp_min(1e-6)
        return torch.where(small >= _VISIBLE, depth, torch.zeros_like(depth))

    def _normals(self, still: Still, camera: Camera) -> Tensor:
        animator = self._animator
        own = gaussian_normals(animator.avatar, still.poses.quats[still.frame], still.vertices, still.gaussians, camera)
        blended = self._small(animator.blended(own))
        visible = self._small(animator.alpha) >= _VISIBLE
        squared = blended.square() @ blended.new_ones(3)  # a product: sums over three are slow
        return blended * (squared.clamp_min(1e-18).rsqrt() * visible)[..., None]

    def _mesh(self, still: Still, camera: Camera, top: int) -> Tensor:
        assert self._shader is not None
        poses, frame = still.poses, still.frame
        rgb, alpha = self._shader.draw(still.vertices, poses.quats[frame], poses.translations[frame], camera)
        return self._over(self._small(rgb), self._small(alpha), top)


def _bytes(values: Tensor) -> Tensor:
    return (values.clamp(0, 1) * 255 + 0.5).to(torch.uint8)


def _part(camera: Camera, step: int, top: int, rows: int) -> Camera:
    """The camera of `rows` rows from `top` on, every pixel split into step x step."""
    if step == 1 and rows == camera.height:
        return camera
    K = camera.K.clone()
    K[:, 1, 2] -= top
    K[:, :2] *= step
    return replace(camera, K=K, width=camera.width * step, height=rows * step)
