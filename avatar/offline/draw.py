"""Frames of avatars along their motion: every pass of one picture from one set of splats."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from avatar import ops
from avatar.animate import Animator, GsplatAnimator
from avatar.model import Avatar
from avatar.offline.in_order import in_order
from avatar.offline.look import Look
from avatar.offline.surface import MeshShader, gaussian_normals
from avatar.posing import Poses
from avatar.records import Camera, Gaussians, HeadParams

#: Frames whose poses are made together; counted from the motion's start, so that a piece of it has the same bits.
_CHUNK = 256
#: Pixels that are splatted at once: a picture that is larger (supersampled) is drawn in strips.
STRIP_PIXELS = 1 << 22
#: A pixel of a finished pass, its copies on the way to a file counted in; for `working_memory`.
_PICTURE_BYTES = 24
#: What drawing several frames at a time may take in all.
_MOST_BYTES = 2 << 30
#: Alpha under which a pixel has no depth or normal: it shows more of the background than of a surface.
_VISIBLE = 0.5


@dataclass(frozen=True)
class Actor:
    """An avatar along a whole motion, before its camera."""

    avatar: Avatar
    params: HeadParams  # T frames
    camera: Camera  # [T], or [1] where it rests; of the pictures' size

    def __len__(self) -> int:
        return len(self.params)

    def camera_at(self, frame: int) -> Camera:
        """The camera [1] of a frame."""
        return self.camera[frame if len(self.camera) > 1 else 0]


def draw_frames(
    actors: Sequence[Actor], look: Look, frames: Sequence[int] | None = None
) -> Iterator[dict[str, np.ndarray]]:
    """Pictures of `actors` side by side, a frame at a time.

    Args:
        actors: one or several, of the same number of frames.
        look: of each actor's column.
        frames: which, in order; None: all.

    Yields:
        For each pass an array of its own [H, W * actors, ...]: rgb and mesh uint8 [..,3], or [..,4] with straight alpha
        where the background is transparent; alpha uint8; depth float32 metres along the camera's axis; normals float32
        [..,3] unit (x right, y up, z towards the viewer). Both are 0 where alpha is under a half.
    """
    order = range(len(actors[0])) if frames is None else frames
    yield from in_order(lambda: _Drawer(actors, look).draw, order, drawing_threads(actors, look))


def drawing_threads(actors: Sequence[Actor], look: Look) -> int:
    """How many frames are drawn at a time: one a core of the CPU, as far as memory goes."""
    if actors[0].avatar.offsets.device.type != "cpu":
        return 1
    return max(1, min(ops.kernel_threads(), _MOST_BYTES // _bytes_a_thread(actors, look)))


def working_memory(actors: Sequence[Actor], look: Look) -> int:
    """Bytes that `draw_frames` holds while it draws, about: pictures, and half-precision bases of each avatar."""
    return drawing_threads(actors, look) * _bytes_a_thread(actors, look)


def _bytes_a_thread(actors: Sequence[Actor], look: Look) -> int:
    strip = min(look.width * look.height * look.supersample**2, STRIP_PIXELS)
    floats = 5 + 2 * ("depth" in look.passes) + 10 * ("normals" in look.passes) + 22 * ("mesh" in look.passes)
    column = 4 * floats * strip + _PICTURE_BYTES * len(look.passes) * look.width * look.height
    bases = sum(2 * (actor.avatar.blendshapes.basis.numel() + actor.avatar.head.exprdirs.numel()) for actor in actors)
    return len(actors) * column + bases


@dataclass(frozen=True)
class _Still:
    """One frame of an avatar, before any camera."""

    poses: Poses
    frame: int  # of `poses`
    vertices: Tensor  # [1,V,3] skull frame
    gaussians: Gaussians  # [1,N]


class _Drawer:
    """All actors' pictures, in memory of its own."""

    def __init__(self, actors: Sequence[Actor], look: Look) -> None:
        self._columns = [_Column(actor, look) for actor in actors]

    def draw(self, frame: int) -> dict[str, np.ndarray]:
        """Every pass of a frame, as `draw_frames` gives it."""
        with ops.one_thread(), torch.no_grad():
            drawn = [column.draw(frame) for column in self._columns]
        if len(drawn) == 1:
            return {name: picture.copy() for name, picture in drawn[0].items()}
        return {name: np.concatenate([column[name] for column in drawn], 1) for name in drawn[0]}


class _Column:
    """One actor's pictures."""

    def __init__(self, actor: Actor, look: Look) -> None:
        self.actor, self.look = actor, look
        step = look.supersample
        wide = look.width * step
        rows = max(1, min(look.height, STRIP_PIXELS // (wide * step)))
        #: rows where the strips begin; the last one overlaps where they do not fit evenly
        self._tops = [min(top, look.height - rows) for top in range(0, look.height, rows)]
        self._rows = rows
        with_depth = "depth" in look.passes
        make = Animator if look.rasterizer == "native" else GsplatAnimator
        self._animator = make(actor.avatar, wide, rows * step, look.backdrop.colour, with_depth=with_depth)
        self._shader = MeshShader(actor.avatar) if "mesh" in look.passes else None
        self._poses: tuple[int, Poses] | None = None
        home = actor.avatar.offsets.device
        picture = look.backdrop.picture
        self._picture = None if picture is None else torch.from_numpy(picture).to(home).float() / 255
        self._colour = torch.tensor(look.backdrop.colour, device=home)

    def draw(self, frame: int) -> dict[str, np.ndarray]:
        """Every pass of a frame, overwritten by the next one."""
        poses, place = self._poses_of(frame)
        vertices = self._animator.vertices(poses, place)
        still = _Still(poses, place, vertices, self._animator.gaussians(poses, place, vertices))
        strips = [self._strip(still, self.actor.camera_at(frame), top) for top in self._tops]
        return {name: self._joined([strip[name] for strip in strips]) for name in self.look.passes}

    def _poses_of(self, frame: int) -> tuple[Poses, int]:
        chunk, place = divmod(frame, _CHUNK)
        if self._poses is None or self._poses[0] != chunk:
            params = self.actor.params[chunk * _CHUNK : (chunk + 1) * _CHUNK]
            self._poses = chunk, self._animator.poses(params)
        return self._poses[1], place

    def _joined(self, strips: list[Tensor]) -> np.ndarray:
        if len(strips) == 1:
            return strips[0].cpu().numpy()
        whole = strips[0].new_empty(self.look.height, *strips[0].shape[1:])
        for top, strip in zip(self._tops, strips, strict=True):
            whole[top : top + self._rows] = strip
        return whole.cpu().numpy()

    def _strip(self, still: _Still, camera: Camera, top: int) -> dict[str, Tensor]:
        """The passes of the strip of rows that begins at `top`."""
        look, animator = self.look, self._animator
        camera = _part(camera, look.supersample, top, self._rows)
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
            return animator.picture()
        rgb, alpha = self._small(animator.rgb), self._small(animator.alpha)
        return self._over(rgb, alpha, top)

    def _over(self, rgb: Tensor, alpha: Tensor, top: int) -> Tensor:
        """Premultiplied colour over the background, as bytes; with straight alpha where that is transparent."""
        if self.look.backdrop.transparent:
            straight = rgb / alpha.clamp_min(1e-6)[..., None]
            return _bytes(torch.cat([straight, alpha[..., None]], -1))
        if self._picture is None:
            return ops.to_bytes(rgb[None], alpha[None], self._colour)[0]
        behind = self._picture[top : top + self._rows]
        composed = torch.addcmul(rgb, (1 - alpha)[..., None], behind)
        return ops.to_bytes(composed[None], alpha[None], torch.zeros_like(self._colour))[0]

    def _depth(self) -> Tensor:
        alpha, depth = self._animator.alpha, self._animator.depth
        assert depth is not None
        small = self._small(alpha)
        if self.look.supersample > 1:
            depth = self._small(depth * alpha) / small.clamp_min(1e-6)
        return torch.where(small >= _VISIBLE, depth, torch.zeros_like(depth))

    def _normals(self, still: _Still, camera: Camera) -> Tensor:
        animator = self._animator
        own = gaussian_normals(animator.avatar, still.poses.quats[still.frame], still.vertices, still.gaussians, camera)
        blended = self._small(animator.blended(own))
        visible = self._small(animator.alpha) >= _VISIBLE
        squared = blended.square() @ blended.new_ones(3)  # a product: sums over three are slow
        return blended * (squared.clamp_min(1e-18).rsqrt() * visible)[..., None]

    def _mesh(self, still: _Still, camera: Camera, top: int) -> Tensor:
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
