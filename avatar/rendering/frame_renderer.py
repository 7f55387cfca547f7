"""All passes of one frame from one camera, from one set of Gaussians.

The offline renderer and the viewer both use it: equal parameters, camera and settings give equal bits in both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from avatar import ops
from avatar.model.poser import PosedFrames
from avatar.model.to_device import to_device
from avatar.ops.packages import own_ops
from avatar.rendering.animator import Animator, PosedFrame, Raster
from avatar.rendering.frame_graph import DeviceImage, FrameGraph
from avatar.rendering.mesh_shader import MeshShader
from avatar.rendering.passes import Pass
from avatar.rendering.readback import Readback
from avatar.rendering.render import to_uint8
from avatar.rendering.settings import RenderSettings
from avatar.types import Camera

#: Pixels that are rasterized at once: a larger (supersampled) frame is rendered in horizontal strips.
STRIP_PIXELS = 1 << 22
#: Below this alpha a pixel has no depth and no normal: it shows more background than surface.
_MIN_SURFACE_ALPHA = 0.5
_PEAK = "peak alpha"  # read back with the passes


@dataclass(frozen=True)
class RenderedPasses:
    """The passes of one frame from one camera."""

    images: dict[str, np.ndarray]  # [H,W] or [H,W,C] of each pass
    peak_alpha: float  # the largest; 0 if nothing is visible, NaN if a color or alpha is not finite


def raster_size(settings: RenderSettings, strip_pixels: int = STRIP_PIXELS) -> tuple[int, int]:
    """(width, height) in pixels of the rasterized image: the supersampled frame, or one strip of it."""
    step = settings.supersample
    width = settings.width * step
    return width, step * max(1, min(settings.height, strip_pixels // (width * step)))


class FrameRenderer:
    """Renders the passes of one frame with one set of settings; cheap to construct."""

    def __init__(self, animator: Raster, settings: RenderSettings, shader: MeshShader | None = None) -> None:
        """
        Args:
            animator: of `raster_size(settings)` pixels, with depth if the settings have a depth pass; its buffers are
                overwritten.
            settings: size, passes and background.
            shader: of what the frames show; required for a mesh pass.
        """
        self.settings = settings
        self._animator = animator
        self._shader = shader
        self._peaks: list[Tensor] = []  # [] of each image that the frame's passes are made of
        self._rows = animator.bytes.shape[1] // settings.supersample
        #: first row of each strip; the last strip overlaps the one before if they do not divide the height evenly
        self._tops = [min(top, settings.height - self._rows) for top in range(0, settings.height, self._rows)]
        device = animator.bytes.device
        self._readback = Readback(device)
        image = settings.background.image
        self._background_image = None if image is None else torch.from_numpy(image).to(device).float() / 255
        self._background_color = torch.tensor(settings.background.color, dtype=torch.float32, device=device)

    def render(self, frame: PosedFrame, camera: Camera) -> dict[str, np.ndarray]:
        """Every pass of the settings as seen from `camera` [1]; the arrays are overwritten by the next call."""
        return self.start(frame, camera)().images

    def start(self, frame: PosedFrame, camera: Camera) -> Callable[[], RenderedPasses]:
        """Like `render`, but on a GPU without waiting for the images.

        Returns:
            A function that waits for them. On the CPU it must be called before the next frame is rendered; on a GPU it
            may be called later.
        """
        return _finish(self._readback.start(self._render(frame, camera)))

    def _render(self, frame: PosedFrame, camera: Camera) -> dict[str, Tensor]:
        """Every pass on the device, and the largest alpha."""
        self._peaks = []
        strips = [self._render_strip(frame, camera, top) for top in self._tops]
        passes: dict[str, Tensor] = {name: self._join([strip[name] for strip in strips]) for name in strips[0]}
        return {**passes, _PEAK: torch.stack(self._peaks).amax()}

    def _join(self, strips: list[Tensor]) -> Tensor:
        if len(strips) == 1:
            return strips[0]
        joined = strips[0].new_empty(self.settings.height, *strips[0].shape[1:])
        for top, strip in zip(self._tops, strips, strict=True):
            joined[top : top + self._rows] = strip
        return joined

    def _render_strip(self, frame: PosedFrame, camera: Camera, top: int) -> dict[str, Tensor]:
        """The passes of the strip whose first row is `top`."""
        settings = self.settings
        animator = self._animator
        camera = _strip_camera(camera, settings.supersample, top, self._rows)
        if settings.passes != ("mesh",):
            animator.rasterize(frame.gaussians, camera)
            self._add_peak(animator.rgb, animator.alpha)
        passes: dict[str, Callable[[], Tensor]] = {
            "rgb": lambda: self._rgb(top),
            "alpha": lambda: to_uint8(self._downsample(animator.alpha)),
            "depth": self._depth,
            "normals": lambda: self._normals(frame, camera),
            "mesh": lambda: self._mesh(frame, camera, top),
        }
        # Copies: with several strips the next one overwrites the animator's buffers.
        return {name: passes[name]() if len(self._tops) == 1 else passes[name]().clone() for name in settings.passes}

    def _downsample(self, image: Tensor) -> Tensor:
        """An image [h,w(,c)] of the supersampled raster averaged to the output size."""
        step = self.settings.supersample
        if step == 1:
            return image
        if image.device.type == "cpu":  # ten times as fast as PyTorch's pooling of images with few channels
            size = image.shape[1] // step, image.shape[0] // step
            return torch.from_numpy(cv2.resize(image.numpy(), size, interpolation=cv2.INTER_AREA))
        channels = image if image.ndim == 3 else image[..., None]
        small = torch.nn.functional.avg_pool2d(channels.permute(2, 0, 1)[None], step)[0].permute(1, 2, 0)
        return small.contiguous() if image.ndim == 3 else small[..., 0].contiguous()

    def _rgb(self, top: int) -> Tensor:
        animator = self._animator
        background = self.settings.background
        if self.settings.supersample == 1 and not background.transparent and self._background_image is None:
            return animator.image(self._background_color)
        rgb = self._downsample(animator.rgb)
        alpha = self._downsample(animator.alpha)
        return self._composite(rgb, alpha, top)

    def _composite(self, rgb: Tensor, alpha: Tensor, top: int) -> Tensor:
        """Bytes of premultiplied color over the background; with straight alpha if the background is transparent.

        Args:
            rgb: [h,w,3] 0..1, premultiplied.
            alpha: [h,w] 0..1.
            top: the strip's first row in the frame.
        """
        if self.settings.background.transparent:
            straight = rgb / alpha.clamp_min(1e-6)[..., None]
            return to_uint8(torch.cat([straight, alpha[..., None]], -1))
        if self._background_image is None:
            return ops.to_bytes(rgb[None], alpha[None], self._background_color)[0]
        background = self._background_image[top : top + self._rows]
        composite = torch.addcmul(rgb, (1 - alpha)[..., None], background)
        return ops.to_bytes(composite[None], alpha[None], torch.zeros_like(self._background_color))[0]

    def _depth(self) -> Tensor:
        alpha = self._animator.alpha
        depth = self._animator.depth
        assert depth is not None
        small_alpha = self._downsample(alpha)
        if self.settings.supersample > 1:
            depth = self._downsample(depth * alpha) / small_alpha.clamp_min(1e-6)
        return torch.where(small_alpha >= _MIN_SURFACE_ALPHA, depth, torch.zeros_like(depth))

    def _normals(self, frame: PosedFrame, camera: Camera) -> Tensor:
        animator = self._animator
        blended = self._downsample(animator.blend_features(*animator.normals(frame, camera)))
        visible = self._downsample(animator.alpha) >= _MIN_SURFACE_ALPHA
        squared = blended.square() @ blended.new_ones(3)  # a matrix product: a sum over three channels is slow
        return blended * (squared.clamp_min(1e-18).rsqrt() * visible)[..., None]

    def _mesh(self, frame: PosedFrame, camera: Camera, top: int) -> Tensor:
        assert self._shader is not None
        rgb, alpha = self._shader.render(frame.head, camera)
        self._add_peak(rgb, alpha)
        return self._composite(self._downsample(rgb), self._downsample(alpha), top)

    def _add_peak(self, rgb: Tensor, alpha: Tensor) -> None:
        self._peaks.append(alpha.amax() + 0 * rgb.sum())  # 0 times a value that is not finite is NaN


class PoseRenderer(FrameRenderer):
    """Renders the passes of one avatar from its poses."""

    def __init__(self, animator: Animator, settings: RenderSettings, shader: MeshShader | None = None) -> None:
        """See `FrameRenderer`."""
        super().__init__(animator, settings, shader)
        self._poser = animator
        #: of frames on a GPU; None: they are launched one by one
        self.graph: FrameGraph | None = None
        graphed = animator.bytes.device.type == "cuda" and settings.rasterizer != "gsplat"
        graphed = graphed and "mesh" not in settings.passes and len(self._tops) == 1
        if graphed:
            self.graph = FrameGraph(animator, self._render_pose)

    def start_pose(self, poses: PosedFrames, index: int, camera: Camera) -> Callable[[], RenderedPasses]:
        """Like `start` of `Animator.frame(poses, index)`; on a GPU from the third frame of a kind on by a CUDA graph.

        Args:
            poses: T frames, on the host or where the animator is.
            index: of the frame in `poses`.
            camera: [1], where the poses are.
        """
        if self.graph is None:
            return self._start_pose(poses, index, camera)
        read = self.graph.start(poses, index, camera)
        if read is not None:
            return _finish(read)
        with own_ops():  # as the frames of the graph
            return self._start_pose(poses, index, camera)

    def keep_pose(self, poses: PosedFrames, index: int, camera: Camera, name: Pass) -> DeviceImage | np.ndarray:
        """One pass, as `start_pose` gives it, which stays on the GPU where a graph renders it."""
        kept = None if self.graph is None else self.graph.keep(poses, index, camera, name)
        if kept is not None:
            return kept
        with own_ops():
            return self._start_pose(poses, index, camera)().images[name]

    def _start_pose(self, poses: PosedFrames, index: int, camera: Camera) -> Callable[[], RenderedPasses]:
        device = self._poser.bytes.device
        return self.start(self._poser.frame(to_device(poses, device), index), to_device(camera, device))

    def _render_pose(self, poses: PosedFrames, index: int, camera: Camera) -> dict[str, Tensor]:
        return self._render(self._poser.frame(poses, index), camera)


def _finish(read: Callable[[], dict[str, np.ndarray]]) -> Callable[[], RenderedPasses]:
    def finish() -> RenderedPasses:
        images = read()
        return RenderedPasses(images, float(images.pop(_PEAK)))

    return finish


def _strip_camera(camera: Camera, step: int, top: int, rows: int) -> Camera:
    """The camera of `rows` rows from row `top` on, with every pixel split into step x step pixels."""
    if step == 1 and rows == camera.height:
        return camera
    K = camera.K.clone()
    K[:, 1, 2] -= top
    K[:, :2] *= step
    return replace(camera, K=K, width=camera.width * step, height=rows * step)
