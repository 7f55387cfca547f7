"""Render an avatar's Gaussians with gsplat's rasterization, and compare the image with headsplat's own.

Needs a CUDA device and gsplat (pip install 'gsplat>=1.5').

python examples/07_gsplat_rasterizer.py me.avatar --size 512
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from avatar import Camera, load_avatar, render
from avatar.export import posed

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("avatar", type=Path)
parser.add_argument("--size", type=int, default=512, help="of the image, pixels")
arguments = parser.parse_args()
if not torch.cuda.is_available():
    sys.exit("gsplat needs a CUDA device, and torch finds none on this machine")
try:
    from gsplat import rasterization
except ImportError:
    sys.exit("gsplat is not installed; pip install 'gsplat>=1.5'")

avatar = load_avatar(arguments.avatar)
camera = Camera.facing(focal=2 * arguments.size, width=arguments.size, height=arguments.size)
with torch.no_grad():
    g = avatar(posed(avatar))  # means [1,N,3] meters, quats wxyz, scales, opacities, spherical harmonics [1,N,D,3]
    rgb, alpha, _ = rasterization(
        *(value[0].cuda() for value in (g.means, g.quats, g.scales, g.opacities, g.sh)),
        camera.world_to_cam.cuda(), camera.K.cuda(), camera.width, camera.height,
        near_plane=0.01, eps2d=g.dilation, sh_degree=round(g.sh.shape[2] ** 0.5) - 1,
    )  # fmt: skip
    difference = (rgb + 1 - alpha).cpu() - render(g, camera).rgb  # both over white
print(f"PSNR between the two images: {-10 * difference.square().mean().log10():.1f} dB")
