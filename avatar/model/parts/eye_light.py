"""Light on the eyeballs of the mesh layer: the shadow of the lids, and the reflections on the cornea."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from avatar.head.model import HeadModel
from avatar.head.regions import Region
from avatar.ops import EyeSurface
from avatar.reference import edge_span, lid_edges
from avatar.types import PosedReflections

EYES: tuple[Region, ...] = ("left_eyeball", "right_eyeball")
#: Landmarks of the edges of the upper and of the lower lid, corners included, of the left and of the right eye.
LID_EDGES = (
    ((263, 466, 388, 387, 386, 385, 384, 398, 362), (263, 249, 390, 373, 374, 380, 381, 382, 362)),
    ((33, 246, 161, 160, 159, 158, 157, 173, 133), (33, 7, 163, 144, 145, 153, 154, 155, 133)),
)
#: Depth of the shadow right at the upper and at the lower edge.
SHADOW = (0.5, 0.2)
#: Meters from the edge within which the shadow of either lid decreases by 1/e.
SHADOW_REACH = (0.0025, 0.001)
#: Side of the texture of the reflections, which spans this many radii of the iris to every side.
SIDE = 16
SPAN = 1.0
_DEGREE = 4  # of the polynomials through the edges


class EyeLight(nn.Module):
    """Shadow and reflections on both eyes of one head.

    Reflections keep their place in the image, relative to the iris: camera and lights do not turn with the head.
    """

    def __init__(self, head: HeadModel) -> None:
        """Args: the baked head; without two irises or without landmarks of the lids it has no light of its own."""
        super().__init__()
        eyes = [np.flatnonzero(head.mask(name).numpy()) for name in EYES]
        of_iris = head.mask("iris").numpy()
        irises = [rows[of_iris[rows]] for rows in eyes]
        alike = all(len(left) == len(right) > 0 for left, right in (eyes, irises))
        self.known = alike and len(head.landmark_faces) > max(LID_EDGES[0][0])
        self.register_buffer("shadow", torch.tensor(SHADOW))
        self.reflections = nn.Parameter(torch.zeros(2, SIDE, SIDE))
        inside = (_grid(SIDE).square().sum(-1) < 1).float()
        for name, value in (("inside", inside), ("reach", torch.tensor(SHADOW_REACH))):
            self.register_buffer(name, value, persistent=False)
        if not self.known:
            return
        rows = torch.tensor(LID_EDGES).flatten()
        self.register_buffer("eyes", torch.from_numpy(np.stack(eyes)), persistent=False)
        self.register_buffer("irises", torch.from_numpy(np.stack(irises)), persistent=False)
        self.register_buffer("corners", head.faces[head.landmark_faces[rows]], persistent=False)
        self.register_buffer("bary", head.landmark_bary[rows], persistent=False)
        edges = lid_edges(head.v_template[None], self.corners, self.bary)
        self.register_buffer("fit", _polynomials(edges), persistent=False)

    shadow: Tensor  # [2] 0..1, of the upper and of the lower lid
    reach: Tensor  # [2] meters within which the shadow decreases by 1/e
    eyes: Tensor  # [2,n] vertices
    irises: Tensor  # [2,m] vertices
    corners: Tensor
    bary: Tensor
    fit: Tensor  # [2,2,D,9] coefficients of the polynomials from the heights of the landmarks of an edge
    inside: Tensor  # [S,S] 0 or 1: the texture is a disc

    def surface(self) -> EyeSurface | None:
        """The eyes and their lids for `ops.layer_shade`; None for a head without irises."""
        if not self.known:
            return None
        return EyeSurface(self.eyes, self.corners, self.bary, self.fit, self.shadow, self.reach)

    def posed(self, vertices: Tensor) -> PosedReflections | None:
        """The reflections for vertices [B,V,3] (meters, skull frame); None for a head without irises."""
        if not self.known:
            return None
        irises = vertices[:, self.irises]
        apart = (irises.amax(2) - irises.amin(2)).amax(-1)
        return PosedReflections(irises.mean(2), 0.5 * SPAN * apart, self.textures())

    def textures(self) -> Tensor:
        """The reflections [2,S,S] within their discs."""
        return self.reflections * self.inside


def _polynomials(edges: Tensor) -> Tensor:
    middle, half = edge_span(edges)
    t = (edges[..., 0] - middle[..., None]) / half[..., None]
    powers = torch.stack([t[0].double() ** k for k in range(_DEGREE + 1)], -1)
    return torch.linalg.pinv(powers).to(edges)


def _grid(side: int) -> Tensor:
    """Positions [side,side,2] of texels in -1..1."""
    at = (torch.arange(side) + 0.5) * (2 / side) - 1
    return torch.stack(torch.meshgrid(at, at, indexing="xy"), -1)
