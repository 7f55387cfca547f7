"""Offline rendering: frames of one avatar or several side by side along a motion, several frames in parallel."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import torch

from avatar import ops
from avatar.errors import HeadsplatError
from avatar.model.avatar import Avatar
from avatar.model.poser import PosedFrames
from avatar.model.to_device import to_device
from avatar.ops.ordered_map import ordered_map
from avatar.rendering.animator import Animator, PosedFrame
from avatar.rendering.frame_renderer import STRIP_PIXELS, PoseRenderer, RenderedPasses, raster_size
from avatar.rendering.mesh_shader import MeshShader
from avatar.rendering.settings import RenderSettings
from avatar.types import Camera, HeadParams, TorsoPose

#: Every pass of a frame, all columns side by side, and whether anything is visible in each column.
_Frame: TypeAlias = tuple[dict[str, np.ndarray], list[bool]]
#: Frames whose poses are computed in one call.
_CHUNK = 256
#: Bytes for each pixel of a finished pass, including its copies on the way to a file; for `working_memory`.
_BYTES_PER_PIXEL = 24
#: Limit of the memory of all threads together.
_MAX_BYTES = 2 << 30


@dataclass(frozen=True)
class RenderColumn:
    """One column of the rendered frames: an avatar, its parameters for every frame, and the camera."""

    avatar: Avatar
    params: HeadParams  # T frames
    camera: Camera  # [T], or [1] if it does not move; of the size of the settings
    torso: TorsoPose | None = None  # T frames, where it is measured; None: from the torso map

    def __len__(self) -> int:
        return len(self.params)

    def to(self, device: torch.device) -> RenderColumn:
        """This column on `device`; its avatar is moved there, not copied."""
        avatar = self.avatar.to(device)
        params = to_device(self.params, device)
        camera = to_device(self.camera, device)
        return RenderColumn(avatar, params, camera, to_device(self.torso, device))

    @property
    def avatars(self) -> tuple[Avatar, ...]:
        """The avatars of the column."""
        return (self.avatar,)

    def camera_at(self, frame: int) -> Camera:
        """The camera [1] of a frame."""
        return self.camera[frame if len(self.camera) > 1 else 0]

    def renderer(self, settings: RenderSettings) -> ColumnRenderer:
        """A renderer of the column, for one thread."""
        return _AvatarRenderer(self, settings)


class Column(Protocol):
    """One column of the rendered frames: a `RenderColumn`, or what has these."""

    def __len__(self) -> int: ...

    @property
    def avatars(self) -> tuple[Avatar, ...]:
        """The avatars of the column."""

    def renderer(self, settings: RenderSettings) -> ColumnRenderer:
        """A renderer of the column, for one thread."""


def render_frames(
    columns: Sequence[Column], settings: RenderSettings, frames: Sequence[int] | None = None
) -> Iterator[dict[str, np.ndarray]]:
    """Render avatars side by side, frame by frame.

    Args:
        columns: one or more, of equal numbers of frames.
        settings: of each column.
        frames: indices of the frames to render, in this order; None: all.

    Yields:
        For each pass a new array [H, W * columns, ...]: rgb and mesh uint8 [..,3], or [..,4] with straight alpha if
        the background is transparent; alpha uint8; depth float32 in meters along the camera axis; normals float32
        [..,3], unit, x right, y up, z towards the viewer. Depth and normals are 0 where alpha is below 0.5.

    Raises:
        HeadsplatError: a frame is not finite, or, after the last frame, an avatar is visible in none of them.
        ValueError: a frame of the parameters has a NaN or an infinity.
    """
    order = range(len(columns[0])) if frames is None else frames
    threads = render_threads(columns, settings)
    seen = [not order] * len(columns)
    rendered = (
        ordered_map(lambda: _FrameWorker(columns, settings).render, order, threads)
        if _on_cpu(columns)
        else _one_ahead(_FrameWorker(columns, settings).start, order)
    )
    with ops.other_packages(settings.rasterizer != "own"):
        for images, visible in rendered:
            seen = [before or now for before, now in zip(seen, visible, strict=True)]
            yield images
    if not all(seen):
        which = "the avatar" if len(columns) == 1 else f"avatar {seen.index(False) + 1} of {len(columns)}"
        raise HeadsplatError(
            f"{which} is visible in none of the {len(order)} frames (alpha is 0 everywhere); check the camera and the "
            "motion, or train the avatar again"
        )


def render_threads(columns: Sequence[Column], settings: RenderSettings) -> int:
    """How many frames are rendered in parallel: one for each CPU core, limited by memory; one on another device."""
    if not _on_cpu(columns):
        return 1
    return max(1, min(ops.kernel_threads(), _MAX_BYTES // _bytes_per_thread(columns, settings)))


def _on_cpu(columns: Sequence[Column]) -> bool:
    return columns[0].avatars[0].offsets.device.type == "cpu"


def _one_ahead(start: Callable[[int], Callable[[], _Frame]], order: Iterable[int]) -> Iterator[_Frame]:
    """Frames in order, each read once the next one is started: a GPU renders it meanwhile."""
    read = None
    for frame in order:
        read_before = read
        read = start(frame)
        if read_before is not None:
            yield read_before()
    if read is not None:
        yield read()


def working_memory(columns: Sequence[Column], settings: RenderSettings) -> int:
    """Approximate bytes that `render_frames` allocates: image buffers, and a half-precision basis for each avatar."""
    return render_threads(columns, settings) * _bytes_per_thread(columns, settings)


def _bytes_per_thread(columns: Sequence[Column], settings: RenderSettings) -> int:
    strip = min(settings.width * settings.height * settings.supersample**2, STRIP_PIXELS)
    passes = settings.passes
    floats = 5 + 2 * ("depth" in passes) + 10 * ("normals" in passes) + 22 * ("mesh" in passes)
    images = 4 * floats * strip + _BYTES_PER_PIXEL * len(passes) * settings.width * settings.height
    avatars = [avatar for column in columns for avatar in column.avatars]
    bases = sum(2 * (each.blendshapes.basis.numel() + each.head.exprdirs.numel()) for each in avatars)
    return len(columns) * images + bases


class _FrameWorker:
    """Renders all columns of a frame; one object for each thread."""

    def __init__(self, columns: Sequence[Column], settings: RenderSettings) -> None:
        self._columns = [column.renderer(settings) for column in columns]

    def render(self, frame: int) -> _Frame:
        """Every pass of a frame, in new arrays, and whether anything is visible in each column."""
        return self.start(frame)()

    def start(self, frame: int) -> Callable[[], _Frame]:
        """Like `render`, in two calls, as `FrameRenderer.start`."""
        with ops.one_thread(), torch.no_grad():
            columns = [column.start(frame) for column in self._columns]

        def read() -> _Frame:
            rendered = [column() for column in columns]
            visible = [column.peak_alpha > 0 for column in rendered]
            images = [column.images for column in rendered]
            if len(images) == 1:
                return {name: image.copy() for name, image in images[0].items()}, visible
            return {name: np.concatenate([column[name] for column in images], 1) for name in images[0]}, visible

        return read


class FramePoses:
    """Poses of one avatar frame by frame, computed for many frames at once."""

    def __init__(self, animator: Animator, params: HeadParams, torso: TorsoPose | None) -> None:
        """
        Args:
            animator: of the avatar.
            params: T frames.
            torso: T frames, where it is measured; None: from the torso map.
        """
        self._animator = animator
        self._params = params
        self._torso = torso
        self._chunk: tuple[int, PosedFrames] | None = None  # number of the chunk and its poses

    def frame(self, frame: int) -> PosedFrame:
        """Mesh and Gaussians of a frame."""
        return self._animator.frame(*self.of(frame))

    def of(self, frame: int) -> tuple[PosedFrames, int]:
        """The poses of some frames, and the index of this one among them."""
        chunk, index = divmod(frame, _CHUNK)
        if self._chunk is None or self._chunk[0] != chunk:
            rows = slice(chunk * _CHUNK, (chunk + 1) * _CHUNK)
            torso = None if self._torso is None else self._torso[rows]
            self._chunk = chunk, self._animator.poses(self._params[rows], torso)
        return self._chunk[1], index


class ColumnRenderer(ABC):
    """Renders one column; one object for each thread."""

    @abstractmethod
    def _start(self, frame: int) -> Callable[[], RenderedPasses]:
        """Start to render a frame; see `FrameRenderer.start`."""

    def start(self, frame: int) -> Callable[[], RenderedPasses]:
        """Start to render every pass of a frame; the function that is returned waits for them."""
        read = self._start(frame)

        def finish() -> RenderedPasses:
            passes = read()
            if math.isnan(passes.peak_alpha):
                raise HeadsplatError(
                    f"frame {frame}: its colors are not finite numbers; check the camera and the motion, or train the "
                    "avatar again"
                )
            return passes

        return finish


class _AvatarRenderer(ColumnRenderer):
    """Renders a column of one avatar."""

    def __init__(self, column: RenderColumn, settings: RenderSettings) -> None:
        self.column = column
        width, height = raster_size(settings, STRIP_PIXELS)
        animator = Animator(
            column.avatar, width, height, with_depth="depth" in settings.passes, rasterizer=settings.rasterizer
        )
        shader = MeshShader(column.avatar) if "mesh" in settings.passes else None
        self._poses = FramePoses(animator, column.params, column.torso)
        self._renderer = PoseRenderer(animator, settings, shader)

    def _start(self, frame: int) -> Callable[[], RenderedPasses]:
        return self._renderer.start_pose(*self._poses.of(frame), self.column.camera_at(frame))
