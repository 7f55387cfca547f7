"""Frames of avatars along their motion, side by side and several at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from avatar import ops
from avatar.model.avatar import Avatar
from avatar.model.poser import Poses
from avatar.rendering.frame_renderer import ANIMATORS, STRIP_PIXELS, Painter, Still, strip_size
from avatar.rendering.mesh_shader import MeshShader
from avatar.rendering.settings import Look
from avatar.types import Camera, HeadParams
from avatar.video.ordered_map import in_order

#: Frames whose poses are made together.
_CHUNK = 256
#: A pixel of a finished pass, its copies on the way to a file counted in; for `working_memory`.
_PICTURE_BYTES = 24
#: What drawing several frames at a time may take in all.
_MOST_BYTES = 2 << 30


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


def render_frames(
    actors: Sequence[Actor], look: Look, frames: Sequence[int] | None = None
) -> Iterator[dict[str, np.ndarray]]:
    """Pictures of `actors` side by side, a frame at a time.

    Args:
        actors: one or several, of the same number of frames.
        look: of each actor's column.
        frames: which, in order; None: all.

    Yields:
        For each pass an array of its own [H, W * actors, ...]: rgb and mesh uint8 [..,3], or [..,4] with straight alpha
        where the background is transparent; alpha uint8; depth float32 meters along the camera's axis; normals float32
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
    """Bytes that `render_frames` holds while it draws, about: pictures, and half-precision bases of each avatar."""
    return drawing_threads(actors, look) * _bytes_a_thread(actors, look)


def _bytes_a_thread(actors: Sequence[Actor], look: Look) -> int:
    strip = min(look.width * look.height * look.supersample**2, STRIP_PIXELS)
    floats = 5 + 2 * ("depth" in look.passes) + 10 * ("normals" in look.passes) + 22 * ("mesh" in look.passes)
    column = 4 * floats * strip + _PICTURE_BYTES * len(look.passes) * look.width * look.height
    bases = sum(2 * (actor.avatar.blendshapes.basis.numel() + actor.avatar.head.exprdirs.numel()) for actor in actors)
    return len(actors) * column + bases


class _Drawer:
    """All actors' pictures, in memory of its own."""

    def __init__(self, actors: Sequence[Actor], look: Look) -> None:
        self._columns = [_Column(actor, look) for actor in actors]

    def draw(self, frame: int) -> dict[str, np.ndarray]:
        """Every pass of a frame, as `render_frames` gives it."""
        with ops.one_thread(), torch.no_grad():
            drawn = [column.draw(frame) for column in self._columns]
        if len(drawn) == 1:
            return {name: picture.copy() for name, picture in drawn[0].items()}
        return {name: np.concatenate([column[name] for column in drawn], 1) for name in drawn[0]}


class _Column:
    """One actor's pictures."""

    def __init__(self, actor: Actor, look: Look) -> None:
        self.actor = actor
        width, height = strip_size(look, STRIP_PIXELS)
        make = ANIMATORS[look.rasterizer]
        self._animator = make(actor.avatar, width, height, with_depth="depth" in look.passes)
        self._painter = Painter(self._animator, look, MeshShader(actor.avatar) if "mesh" in look.passes else None)
        self._poses: tuple[int, Poses] | None = None

    def draw(self, frame: int) -> dict[str, np.ndarray]:
        """Every pass of a frame, overwritten by the next one."""
        still = Still.of(self._animator, *self._poses_of(frame))
        return self._painter.draw(still, self.actor.camera_at(frame))

    def _poses_of(self, frame: int) -> tuple[Poses, int]:
        chunk, place = divmod(frame, _CHUNK)
        if self._poses is None or self._poses[0] != chunk:
            params = self.actor.params[chunk * _CHUNK : (chunk + 1) * _CHUNK]
            self._poses = chunk, self._animator.poses(params)
        return self._poses[1], place
