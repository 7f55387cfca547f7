"""Vertex masks and weights by the named regions of a head model."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from avatar.head.model import HeadModel
from avatar.types import ROOT

INSIDE = ("left_eyeball", "right_eyeball", "teeth_upper", "teeth_lower", "tongue", "mouth_interior")


def vertex_mask(head: HeadModel, names: tuple[str, ...]) -> np.ndarray:
    """Mask [V] of the vertices in any of the regions `names`; a region that the head lacks is empty."""
    mask = np.zeros(len(head.v_template), bool)
    for name in names:
        if name in head.regions:
            mask |= head.regions[name].cpu().numpy()
    return mask


def region_mask(head: HeadModel, names: tuple[str, ...]) -> Tensor:
    """`vertex_mask` as a tensor [V] bool on the device of the head."""
    return torch.from_numpy(vertex_mask(head, names)).to(head.v_template.device)


def torso_weight(head: HeadModel) -> np.ndarray:
    """Skin weight [V] of the root joint (the torso), 0 for the parts inside the head."""
    weight = head.lbs_weights[:, ROOT].cpu().numpy().copy()
    weight[vertex_mask(head, INSIDE)] = 0
    return weight
