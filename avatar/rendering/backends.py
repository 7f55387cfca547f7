"""Rasterizers of Gaussians behind one interface: the native kernels, or gsplat on a CUDA device.

`own` are the native kernels, too, and `ops.other_packages` stays off: nvdiffrast and tiny-cuda-nn are not used.

gsplat (https://github.com/nerfstudio-project/gsplat, Apache-2.0) is an optional package. Its images equal those of the
native kernels within rounding, with these differences: gsplat does not cull Gaussians that are not finite, clamps the
projection's Jacobian a little outside the image (the native kernels clamp at a fixed slope, so that crops agree), and
is not deterministic.

Importing this module does not import torch.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from avatar.errors import HeadsplatError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from avatar.ops import SplatBuffers, SplatLayer
    from avatar.types import Camera, Gaussians

Rasterizer = Literal["native", "own", "gsplat"]
INSTALL = "pip install 'gsplat>=1.5'"
MIN_VERSION = (1, 5)
NEAR = 0.01  # meters: the default of `ops.splat`
_NO_LAYER = "gsplat cannot render the mesh layer of this avatar; leave --rasterizer gsplat out"


class RasterOutput(NamedTuple):
    """Images of B views before they are composited over a background."""

    rgb: Tensor  # [B,H,W,3] premultiplied with alpha
    alpha: Tensor  # [B,H,W] 0..1
    depth: Tensor | None  # [B,H,W] meters along the camera axis, alpha-weighted mean, 0 where alpha is 0


class RasterizerBackend(ABC):
    """One rasterizer of Gaussians. Backends have no state: one object serves every caller and thread."""

    name: ClassVar[Rasterizer]
    blends_features: ClassVar[bool]
    """whether `blend_features` is available, which the normals pass needs"""

    @abstractmethod
    def check(self) -> None:
        """Raise HeadsplatError if the rasterizer cannot run on this machine; the message contains the remedy."""

    @abstractmethod
    def rasterize(self, gaussians: Gaussians, camera: Camera, *, with_depth: bool = True) -> RasterOutput:
        """Rasterize with autograd: the output is differentiable in every tensor of `gaussians`.

        Args:
            gaussians: [B,N], world frame.
            camera: [B].
            with_depth: False skips the depth (None in the output) and saves time.

        Raises:
            HeadsplatError: the rasterizer cannot run on this machine.
        """

    @abstractmethod
    def rasterize_into(
        self, buffers: SplatBuffers, gaussians: Gaussians, camera: Camera, layer: SplatLayer | None = None
    ) -> tuple[SplatBuffers, object]:
        """Rasterize for inference, without autograd, into memory that is reused from frame to frame.

        Args:
            buffers: from `ops.splat_buffers` for B, N and the size of `camera`; overwritten.
            gaussians: [B,N], world frame, contiguous, on the device of the buffers.
            camera: [B], on the same device.
            layer: behind the Gaussians; None: the one that they have.

        Returns:
            The buffers that contain the images (new and larger ones if `buffers` were too small), and a handle for
            `blend_features` that is valid until those buffers are overwritten.

        Raises:
            HeadsplatError: the rasterizer cannot run on this machine.
        """

    @abstractmethod
    def blend_features(self, handle: object, features: Tensor, of_layer: Tensor | None = None) -> Tensor:
        """Blend other values of the Gaussians with the blend weights of a rasterized frame.

        Args:
            handle: from `rasterize_into`.
            features: [B,N,3], one vector for each Gaussian.
            of_layer: [B,h,w,3] in place of the color of the mesh layer, premultiplied; None: zero.

        Returns:
            [B,H,W,3], over zero.
        """


class NativeBackend(RasterizerBackend):
    """The kernels of `cuda_ext`; plain PyTorch where they have no build for a device."""

    name = "native"
    blends_features = True

    def check(self) -> None:
        """Nothing to check: the native rasterizer runs on every device."""

    def rasterize(self, gaussians: Gaussians, camera: Camera, *, with_depth: bool = True) -> RasterOutput:
        """See `RasterizerBackend.rasterize`."""
        from avatar import ops
        from avatar.rendering.layer import splat_layer

        out = ops.splat(
            *_tensors(gaussians), camera, with_depth=with_depth, dilation=gaussians.dilation,
            layer=splat_layer(gaussians, camera),
        )  # fmt: skip
        return RasterOutput(out.rgb, out.alpha, out.depth)

    def rasterize_into(
        self, buffers: SplatBuffers, gaussians: Gaussians, camera: Camera, layer: SplatLayer | None = None
    ) -> tuple[SplatBuffers, object]:
        """See `RasterizerBackend.rasterize_into`."""
        from avatar import ops
        from avatar.ops.graphs import is_capturing
        from avatar.rendering.layer import splat_layer

        tensors = _tensors(gaussians)
        layer = splat_layer(gaussians, camera) if layer is None else layer
        handle = ops.splat_into(buffers, *tensors, camera, dilation=gaussians.dilation, layer=layer)
        # On a CUDA device a frame may have more tile intersections than the buffers were allocated for; the caller of a
        # captured frame reads their number with its image.
        while not is_capturing(buffers.rgb) and (needed := buffers.intersections()) > buffers.max_intersections:
            batch, height, width, _ = buffers.rgb.shape
            buffers = ops.splat_buffers(
                batch, buffers.count, width, height, device=buffers.rgb.device, max_intersections=needed + needed // 2,
                with_depth=buffers.depth is not None,
            )  # fmt: skip
            handle = ops.splat_into(buffers, *tensors, camera, dilation=gaussians.dilation, layer=layer)
        return buffers, handle

    def blend_features(self, handle: object, features: Tensor, of_layer: Tensor | None = None) -> Tensor:
        """See `RasterizerBackend.blend_features`."""
        from avatar import ops

        return ops.splat_features(handle, features, of_layer)


class GsplatBackend(RasterizerBackend):
    """gsplat on a CUDA device; it blends colors and depth only."""

    name = "gsplat"
    blends_features = False

    def check(self) -> None:
        """Raise HeadsplatError without a CUDA device, without gsplat, or with a gsplat older than 1.5."""
        _cuda_device()
        _load_gsplat()

    def rasterize(self, gaussians: Gaussians, camera: Camera, *, with_depth: bool = True) -> RasterOutput:
        """See `RasterizerBackend.rasterize`. Gaussians on another device are copied to the CUDA device and back.

        gsplat renders all cameras of a call from one set of Gaussians, so it is called once for each batch item.
        """
        import torch

        if gaussians.layer is not None:
            raise HeadsplatError(_NO_LAYER)
        source = gaussians.means.device
        device = source if source.type == "cuda" else _cuda_device()
        gsplat = _load_gsplat()
        degree = round(gaussians.sh.shape[2] ** 0.5) - 1
        images = []
        alphas = []
        for b in range(len(gaussians.means)):
            image, alpha, _ = gsplat.rasterization(
                *(values[b].to(device) for values in _tensors(gaussians)),
                camera.world_to_cam[b : b + 1].to(device),
                camera.K[b : b + 1].to(device),
                camera.width,
                camera.height,
                near_plane=NEAR,
                eps2d=gaussians.dilation,
                sh_degree=degree,
                packed=False,
                render_mode="RGB+ED" if with_depth else "RGB",
            )
            images.append(image)
            alphas.append(alpha)
        image = torch.cat(images).to(source)
        alpha = torch.cat(alphas).to(source)
        return RasterOutput(image[..., :3], alpha[..., 0], image[..., 3] if with_depth else None)

    def rasterize_into(
        self, buffers: SplatBuffers, gaussians: Gaussians, camera: Camera, layer: SplatLayer | None = None
    ) -> tuple[SplatBuffers, object]:
        """See `RasterizerBackend.rasterize_into`. gsplat allocates its output, which is copied into `buffers`."""
        if layer is not None:
            raise HeadsplatError(_NO_LAYER)
        out = self.rasterize(gaussians, camera, with_depth=buffers.depth is not None)
        for target, image in zip((buffers.rgb, buffers.alpha, buffers.depth), out, strict=True):
            if target is not None and image is not None:
                target.copy_(image)
        return buffers, None

    def blend_features(self, handle: object, features: Tensor, of_layer: Tensor | None = None) -> Tensor:
        """Not available; raises HeadsplatError."""
        raise HeadsplatError("gsplat blends colors only; leave --rasterizer gsplat out")


_NATIVE = NativeBackend()
_BACKENDS: dict[Rasterizer, RasterizerBackend] = {"native": _NATIVE, "own": _NATIVE, "gsplat": GsplatBackend()}


def backend_of(name: Rasterizer) -> RasterizerBackend:
    """The backend called `name`; raises HeadsplatError for an unknown name."""
    if name not in _BACKENDS:
        raise HeadsplatError(f"rasterizer: expected one of {', '.join(_BACKENDS)}, got {name!r}")
    return _BACKENDS[name]


def _tensors(gaussians: Gaussians) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The tensors of `gaussians` in the order of the arguments of `ops.splat` and of gsplat."""
    return gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities, gaussians.sh


def _cuda_device() -> torch.device:
    import torch

    if not torch.cuda.is_available():
        raise HeadsplatError(
            "gsplat needs a CUDA device and torch finds none; leave --rasterizer out, or see `headsplat doctor`"
        )
    return torch.device("cuda")


def _load_gsplat() -> Any:
    try:
        import gsplat
    except ImportError as error:
        raise HeadsplatError(f"gsplat is not installed ({error}); `{INSTALL}`, or leave --rasterizer out") from error
    found = tuple(int(number) for number in re.findall(r"\d+", gsplat.__version__)[:2])
    if found < MIN_VERSION:
        raise HeadsplatError(f"gsplat {gsplat.__version__} is too old for headsplat; `{INSTALL}`")
    return gsplat
