"""Which splatting a picture is made with: our own kernels, or gsplat's on a CUDA device.

gsplat (https://github.com/nerfstudio-project/gsplat, Apache-2.0) is an optional package. Its pictures are ours to
within rounding, but for these: it does not cull what is not finite, freezes the projection's Jacobian a little outside
the picture's edge (ours: at a fixed slope, so that crops agree), and does not promise the same bits twice.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

from avatar.errors import HeadsplatError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from avatar.types import Camera, Gaussians

Rasterizer = Literal["native", "gsplat"]
INSTALL = "pip install 'gsplat>=1.5'"
OLDEST = (1, 5)
NEAR, DILATION = 0.01, 0.3  # meters, pixels^2: those of `ops.splat`


def check_rasterizer(rasterizer: Rasterizer) -> None:
    """Raise HeadsplatError where `rasterizer` cannot run here; the sentence says what to do."""
    if rasterizer == "gsplat":
        _cuda_device()
        _load_gsplat()


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
    if found < OLDEST:
        raise HeadsplatError(f"gsplat {gsplat.__version__} is too old for headsplat; `{INSTALL}`")
    return gsplat


def render_gsplat(
    gaussians: Gaussians, camera: Camera, *, with_depth: bool = True
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Splat with gsplat on the CUDA device, image by image: there a batch of cameras shares one set of Gaussians.

    Args:
        gaussians: [B,N] on any device.
        camera: [B].
        with_depth: False leaves the depth out.

    Returns:
        rgb [B,H,W,3] over black, alpha [B,H,W], depth [B,H,W] meters (alpha-weighted mean, 0 where nothing is) or None,
        on the device of `gaussians`; differentiable in all of `gaussians`.

    Raises:
        HeadsplatError: no CUDA device, no gsplat, or one older than 1.5.
    """
    import torch

    home = gaussians.means.device
    device = home if home.type == "cuda" else _cuda_device()
    gsplat = _load_gsplat()
    degree = round(gaussians.sh.shape[2] ** 0.5) - 1
    pictures, alphas = [], []
    for b in range(len(gaussians.means)):
        fields = (gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities, gaussians.sh)
        picture, alpha, _ = gsplat.rasterization(
            *(field[b].to(device) for field in fields),
            camera.world_to_cam[b : b + 1].to(device),
            camera.K[b : b + 1].to(device),
            camera.width,
            camera.height,
            near_plane=NEAR,
            eps2d=DILATION,
            sh_degree=degree,
            packed=False,
            render_mode="RGB+ED" if with_depth else "RGB",
        )
        pictures.append(picture)
        alphas.append(alpha)
    picture, alpha = torch.cat(pictures).to(home), torch.cat(alphas).to(home)
    return picture[..., :3], alpha[..., 0], picture[..., 3] if with_depth else None
