"""A small convolutional network in UV space: from the deformation of the mesh to the offsets of the Gaussians.

The input is an image of the motion of the mesh from its mean, in the UV layout of the head; the output is an image of
offsets, sampled at each Gaussian. What a fold does in one place of the skin helps to predict it in another.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avatar import ops
from avatar.head.model import HeadModel
from avatar.model.avatar import Avatar
from avatar.model.blendshapes import CHANNELS
from avatar.training.parts.offset_network.network import SLOPE, OffsetNetwork, last_layer

#: Side of the UV image, channels of its first and its coarse half, and meters of motion in one unit of the input.
SIDE = 64
FINE = 16
COARSE = 32
MOTION = 5e-3


class UVNetwork(OffsetNetwork):
    """Two levels of convolutions, with a learned gain for each texel in place of biases."""

    def __init__(self, avatar: Avatar, vertices: Tensor, seed: int) -> None:
        """
        Args:
            avatar: untrained.
            vertices: [S,V,3] of the training frames, meters, skull frame.
            seed: of the initial values.
        """
        super().__init__()
        self.register_buffer("mean", vertices.mean(0), persistent=False)
        for name, value in zip(("covered", "corners", "bary"), _uv_image(avatar.head), strict=True):
            self.register_buffer(name, value, persistent=False)
        self.register_buffer("places", torch.zeros(0), persistent=False)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.first = _convolution(3, FINE)
            self.down = _convolution(FINE, COARSE, stride=2)
            self.deep = _convolution(COARSE, COARSE)
            self.up = _convolution(FINE + COARSE, COARSE)
            self.last = last_layer(nn.Conv2d(COARSE, CHANNELS, 1, bias=False))
        self.fine_gain = nn.Parameter(torch.ones(FINE, SIDE, SIDE))
        self.coarse_gain = nn.Parameter(torch.ones(COARSE, SIDE // 2, SIDE // 2))
        self.bind(avatar)

    mean: Tensor
    covered: Tensor
    corners: Tensor
    bary: Tensor
    places: Tensor

    def bind(self, avatar: Avatar) -> None:
        """The UV coordinates of each Gaussian."""
        count = avatar.blendshapes.count
        head = avatar.head
        face = _faces_of(head, avatar.rig.triangles[:count])
        uv = (head.uv[head.uv_faces[face]] * avatar.rig.bary[:count, :, None]).sum(1)
        self.places = uv * 2 - 1

    def forward(self, soft: Tensor, vertices: Tensor) -> Tensor:
        """As of the base class; only the vertices are used."""
        moved = ((vertices - self.mean) / MOTION)[:, self.corners]  # [B,P,3,3]
        texels = (moved * self.bary[:, :, None]).sum(2)
        image = vertices.new_zeros(len(vertices), SIDE * SIDE, 3).index_copy(1, self.covered, texels)
        image = image.transpose(1, 2).reshape(-1, 3, SIDE, SIDE)
        fine = F.leaky_relu(self.first(image) * self.fine_gain, SLOPE)
        coarse = F.leaky_relu(self.down(fine) * self.coarse_gain, SLOPE)
        coarse = F.leaky_relu(self.deep(coarse), SLOPE)
        wide = F.interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=False)
        mixed = F.leaky_relu(self.up(torch.cat([fine, wide], 1)), SLOPE)
        offsets = self.last(mixed)
        places = self.places.expand(len(vertices), 1, -1, -1)
        sampled = F.grid_sample(offsets, places, align_corners=False, padding_mode="border")
        return sampled[:, :, 0].transpose(1, 2).contiguous()


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)


def _uv_image(head: HeadModel) -> tuple[Tensor, Tensor, Tensor]:
    """Covered texels [P], the vertices [P,3] of their triangles, and barycentric coordinates [P,3]."""
    points = torch.cat([head.uv * 2 - 1, torch.ones_like(head.uv[:, :1])], 1)
    half = SIDE / 2
    K = points.new_tensor([[half, 0, half], [0, half, half], [0, 0, 1]])[None]
    face, bary, _ = ops.mesh(points[None].contiguous(), head.uv_faces, K, SIDE, SIDE)
    covered = (face[0].flatten() >= 0).nonzero()[:, 0]
    return covered, head.faces[face[0].flatten()[covered].to(torch.int64)], bary[0].reshape(-1, 3)[covered]


def _faces_of(head: HeadModel, triangles: Tensor) -> Tensor:
    """Indices [M] of the faces whose vertices are `triangles` [M,3]."""

    def keys(values: Tensor) -> np.ndarray:
        base = len(head.v_template)
        first, second, third = values.cpu().numpy().astype(np.int64).T
        return np.asarray((first * base + second) * base + third)

    known = keys(head.faces)
    order = np.argsort(known)
    rows = order[np.searchsorted(known, keys(triangles), sorter=order)]
    return torch.from_numpy(rows).to(triangles.device)
