"""Colors of skin and scalp that the frames hardly show, from the prior of heads.

Gaussians on the mesh that frames show well give their colors to its vertices; the posterior of the prior
(`avatar.model.prior`) and the way the person differs from it give colors to all others: an unseen side, the back of the
head, lids that never closed.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from avatar.data.training_frames import TrainingFrames
from avatar.head.regions import Region
from avatar.model.avatar import Avatar
from avatar.model.prior import HeadPrior, applies_to, head_prior
from avatar.training.anchors import Anchors
from avatar.training.corrections import HIDDEN
from avatar.training.facing import MAX_TORSO, ON_MESH
from avatar.training.hair_height import hair_vertices
from avatar.training.matte_sampling import nearest_pixel
from avatar.training.parts.part import PartTraining, Training

LIPS: tuple[Region, ...] = ("lips", "lips_inner")
#: Blend weight per frame, in pixels, with which a vertex is seen well.
SEEN = 2.0
#: Blend weight per frame relative to the area of a Gaussian from which on it says what its vertices look like: of a
#: wide Gaussian behind an ear the frames show a rim, in the color of the ear.
MIN_PART = 0.03
#: The same for hair, which stands off the head: of the Gaussians at the back the frames show more of a rim.
MIN_HAIR_PART = 0.2
#: A Gaussian of a smaller part takes its color at once.
HIDDEN_PART = 0.01
#: The anchor of a color is as strong as this part of the area of the Gaussian.
ANCHOR_PART = 0.05
#: Colors are rounded to this step, so that they do not depend on the order of the sums of a linear algebra library.
STEP = 1e-4


class PriorTraining(PartTraining):
    """The prior in the training of an avatar; all colors have weak anchors then."""

    key = "prior"

    def __init__(self, training: Training) -> None:
        """Args: see `PartTraining`."""
        super().__init__(training)
        self._prior = head_prior()
        training.anchors.anchor_all_colors()

    @classmethod
    def of(cls, training: Training) -> PriorTraining | None:
        """None without it in the settings, or for a head that the prior does not know."""
        return cls(training) if training.config.prior and applies_to(training.avatar.head) else None

    def initialize(self, frames: TrainingFrames, contribution: Tensor) -> None:
        """See `set_prior_colors`."""
        pixel = nearest_pixel(frames)
        set_prior_colors(self.training.avatar, self._prior, self.training.anchors, contribution, pixel)

    def correct(self, frames: TrainingFrames, contribution: Tensor) -> Tensor:
        """See `set_prior_colors`."""
        self.initialize(frames, contribution)
        return contribution


def on_mesh(avatar: Avatar, prior: HeadPrior, initial_offsets: Tensor) -> Tensor:
    """Indices [M] of the Gaussians that lie on skin or scalp, as the prior knows them.

    Args:
        avatar: the avatar, of a head to which the prior applies.
        prior: the prior of heads.
        initial_offsets: [N,3] meters, before the first step.
    """
    known = torch.zeros(len(avatar.head.v_template), dtype=torch.bool)
    known[torch.from_numpy(prior.vertices)] = True
    known = known.to(initial_offsets.device)
    distance = torch.where(on_scalp(avatar), initial_offsets[:, :2].norm(dim=1), initial_offsets.norm(dim=1))
    near = distance < ON_MESH
    return (near & known[avatar.rig.triangles].all(1) & (avatar.rig.skin < MAX_TORSO)).nonzero()[:, 0]


def on_scalp(avatar: Avatar) -> Tensor:
    """Mask [N] of the Gaussians bound to triangles that hair may cover: they start at the height of the hair."""
    return hair_vertices(avatar.head)[avatar.rig.triangles].all(1)


@torch.no_grad()
def areas(avatar: Avatar, rows: Tensor, pixel: float) -> Tensor:
    """Pixels [M] that each of the Gaussians `rows` would cover if seen from its widest side, `pixel` meters wide."""
    widest = avatar.log_scales[rows].sort(1).values[:, 1:].sum(1)
    return 2 * math.pi * torch.sigmoid(avatar.logit_opacities[rows]) * widest.exp() / pixel**2


@torch.no_grad()
def prior_colors(avatar: Avatar, prior: HeadPrior, weight: Tensor, rows: Tensor) -> Tensor:
    """Colors [M,3] of the Gaussians `rows`, as far as other Gaussians and the prior explain them.

    Args:
        avatar: the avatar, of a head to which the prior applies.
        prior: the prior of heads.
        weight: [M] pixels, blend weight of each of them in a frame, summed over pixels; 0 where it says nothing.
        rows: [M] from `on_mesh`.
    """
    place = np.full(len(avatar.head.v_template), -1)
    place[prior.vertices] = np.arange(len(prior.vertices))
    corners = place[avatar.rig.triangles[rows].cpu().numpy()]
    bary = avatar.rig.bary[rows].double().cpu().numpy()
    shares = bary * weight.double().cpu().numpy()[:, None]
    colors = avatar.colors[rows].double().cpu().numpy()
    count = len(prior.vertices)
    total = np.bincount(corners.ravel(), shares.ravel(), count)
    sums = [np.bincount(corners.ravel(), (shares * color[:, None]).ravel(), count) for color in colors.T]
    observed = np.stack(sums, 1) / np.maximum(total, 1e-9)[:, None]
    complete = prior.complete(observed, np.clip(total / SEEN, 0, 1))
    values = np.einsum("mk,mkc->mc", bary, complete[corners])
    return torch.from_numpy(np.rint(values / STEP) * STEP).float().to(rows.device)


@torch.no_grad()
def set_prior_colors(avatar: Avatar, prior: HeadPrior, anchors: Anchors, contribution: Tensor, pixel: float) -> None:
    """Anchor the colors of Gaussians on the mesh to those of `prior_colors`; hidden ones take them.

    Lips keep theirs: `avatar.training.parts.mouth_limits` colors them.

    Args:
        avatar: its colors change.
        prior: the prior of heads.
        anchors: of the training.
        contribution: [N] pixels, mean blend weight of each Gaussian in a frame, summed over pixels.
        pixel: its size at the head in the nearest frame, meters.
    """
    rows = on_mesh(avatar, prior, anchors.initial["offsets"])
    if not len(rows):
        return
    weight = contribution[rows]
    area = areas(avatar, rows, pixel)
    least = torch.where(on_scalp(avatar)[rows], MIN_HAIR_PART, MIN_PART) * area
    colors = prior_colors(avatar, prior, torch.where(weight < least, 0.0, weight), rows)
    hidden = weight < (HIDDEN_PART * area).clamp_min(HIDDEN)
    take = ~avatar.head.mask(*LIPS)[avatar.rig.triangles[rows]].any(1)
    anchors.set_surface_colors(rows[take], colors[take], ANCHOR_PART * area[take])
    avatar.colors[rows[take & hidden]] = colors[take & hidden]
