"""Colors of hair and clothes that no frame shows.

The smooth color of the prior of heads gets the strands of seen hair; the back of the torso has at each height the color
of its sides: in the middle is the neckline.
"""

from __future__ import annotations

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from avatar.data.training_frames import TrainingFrames
from avatar.model.prior import applies_to, head_prior
from avatar.model.resting import resting_means
from avatar.training.corrections import COLOR_CONTRIBUTION, HIDDEN
from avatar.training.hair_texture import strand_colors
from avatar.training.matte_sampling import nearest_pixel
from avatar.training.parts.head_prior import HIDDEN_PART, MIN_HAIR_PART, areas, on_mesh, on_scalp
from avatar.training.parts.part import PartTraining, Training
from avatar.training.unseen import HAIR, TORSO, rows_of

#: Nearer to the lowest point of the scalp hair has the color of skin, meters.
HAIRLINE = 0.05
#: Skinning weight from which on a Gaussian is of the torso; so many of about one height, half of them at the sides.
MIN_TORSO = 0.9
MIN_NECK = 0.3
NEIGHBORS = 60


class UnseenTraining(PartTraining):
    """Hair and torso of an avatar whose colors `PriorTraining`, an earlier part, completes."""

    key = "unseen"

    def __init__(self, training: Training) -> None:
        """Args: see `PartTraining`."""
        super().__init__(training)
        self._hair = rows_of(HAIR, training.avatar.logit_opacities)
        self._torso = rows_of(TORSO, training.avatar.logit_opacities)

    @classmethod
    def of(cls, training: Training) -> UnseenTraining | None:
        """None without the prior in the settings."""
        return cls(training) if training.config.prior else None

    def to(self, device: torch.device) -> None:
        """See `PartTraining`."""
        self._hair, self._torso = self._hair.to(device), self._torso.to(device)

    @torch.no_grad()
    def initialize(self, frames: TrainingFrames, contribution: Tensor) -> None:
        """Anchor all of them: relocation leaves anchored Gaussians where they are; then as `correct`."""
        anchors = self.training.anchors
        anchors.restore(torch.cat([anchors.rows, self._hair, self._torso]).unique(), anchors.initial)
        self.correct(frames, contribution)

    @torch.no_grad()
    def limit(self) -> None:
        """Keep them from spreading over gaps that some frames show."""
        scales, initial = self.training.avatar.log_scales, self.training.anchors.initial["log_scales"]
        for rows in (self._hair, self._torso):
            scales[rows] = scales[rows].minimum(initial[rows])

    @torch.no_grad()
    def correct(self, frames: TrainingFrames, contribution: Tensor) -> Tensor:
        """Anchor the colors of what no frame shows; hidden Gaussians take them."""
        places = resting_means(self.training.avatar, self.training.avatar.head)
        self._color_hair(places, contribution, nearest_pixel(frames))
        self._color_torso(places, contribution)
        return contribution

    def _color_hair(self, places: Tensor, contribution: Tensor, pixel: float) -> None:
        avatar, anchors = self.training.avatar, self.training.anchors
        if not applies_to(avatar.head):
            return
        rows = on_mesh(avatar, head_prior(), anchors.initial["offsets"])
        rows = rows[on_scalp(avatar)[rows]]
        if not len(rows):
            return
        behind = self._hair
        area = areas(avatar, rows, pixel)
        weight = contribution[rows]
        seen = torch.where(weight < MIN_HAIR_PART * area, 0.0, weight)
        hidden = torch.cat([weight < (HIDDEN_PART * area).clamp_min(HIDDEN), contribution[behind] < COLOR_CONTRIBUTION])
        smooth = anchors.initial["colors"][rows]
        smooth = torch.cat([smooth, smooth[_above(places[rows], places[behind])]])
        rows = torch.cat([rows, behind])
        seen = torch.cat([seen, torch.zeros_like(behind, dtype=seen.dtype)])
        values = [x.double().cpu().numpy() for x in (smooth, places[rows], avatar.colors[rows], seen)]
        colors = torch.from_numpy(strand_colors(*values)).to(smooth)
        anchors.initial["colors"][rows] = colors
        avatar.colors[rows[hidden]] = colors[hidden]

    def _color_torso(self, places: Tensor, contribution: Tensor) -> None:
        avatar, anchors = self.training.avatar, self.training.anchors
        rows = self._torso
        torso = avatar.rig.skin > MIN_TORSO
        seen = (torso & (contribution > COLOR_CONTRIBUTION)).nonzero()[:, 0]
        if not len(rows) or len(seen) < NEIGHBORS:
            return
        below = (places[:, 1] <= places[rows, 1].max()) & (places[:, 2] <= places[rows, 2].max())
        limit = torch.full_like(contribution, HIDDEN).index_fill(0, rows, COLOR_CONTRIBUTION)
        rows = ((contribution < limit) & below & (avatar.rig.skin > MIN_NECK)).nonzero()[:, 0]
        rows = rows[~torch.isin(rows, self._hair)]
        height = places[:, 1:2].double().cpu().numpy()
        nearest = cKDTree(height[seen.cpu()]).query(height[rows.cpu()], NEIGHBORS)[1]
        near = seen[torch.from_numpy(nearest).to(seen.device)]
        side = places[near, 0].abs()
        outer = (side >= side.median(1, keepdim=True).values)[..., None]
        colors = torch.where(outer, avatar.colors[near], torch.nan).nanmedian(1).values
        anchors.initial["colors"][rows] = colors
        avatar.colors[rows] = colors


def _above(scalp: Tensor, behind: Tensor) -> Tensor:
    """Indices [M] of the points of the `scalp` [n,3], above the hairline, from which hair at `behind` [M,3] falls."""
    high = (scalp[:, 1] > scalp[:, 1].min() + HAIRLINE).nonzero()[:, 0]
    nearest = cKDTree(scalp[high].cpu().numpy()).query(behind.cpu().numpy())[1]
    return high[torch.from_numpy(nearest).to(high.device)]
