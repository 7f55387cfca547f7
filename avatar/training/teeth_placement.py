"""The height of the upper teeth of one person, from the training frames in which the mouth is open.

The teeth of the head model are those of the mean person. Where a person shows more or less of them, the mesh layer has
teeth where the frames have the tongue or the dark behind them, and no texture makes up for that in every pose.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from avatar.data.training_frames import TrainingFrames
from avatar.head.model import HeadModel
from avatar.head.regions import vertex_mask
from avatar.model.mesh_layer import LIPS, MeshLayer, Part, has_parts
from avatar.rendering.layer import layer_images
from avatar.types import PosedLayer

#: Heights that are compared, meters above those of the head model: those of most people lie within.
HEIGHTS = tuple(np.arange(-4, 7) * 5e-4)
#: The mouth is open from this distance of the lips on, meters; frames that count at most, and at least.
OPEN, MOST_FRAMES, MIN_FRAMES = 0.004, 32, 8
#: A height is taken if it lowers the root mean square difference by this fraction or more, and if the lowest and the
#: highest are worse: where the frames hardly show teeth, the best is one of those.
GAIN = 0.025
#: Pixels count where nothing but the mouth is, away from the lips: by its part of the pixel, and by the stencil.
_MOUTH_ALONE, _CLEAR = 0.9, 0.6
#: Pixels that determine a height.
_MIN_PIXELS = 200
#: Parts that have a color of their own in the comparison.
_GROUPS = ((Part.CROWN,), (Part.GUM,), (Part.TONGUE, Part.CAVITY))
#: Weight of the difference of their gains from one for all, relative to that of the images.
_RIDGE = 0.02


@torch.no_grad()
def with_placed_teeth(head: HeadModel, frames: TrainingFrames) -> tuple[HeadModel, TrainingFrames]:
    """`head` and `frames` with the upper teeth at the height that explains the open mouths of the frames best.

    Args:
        head: the baked head; unchanged where it lacks teeth or landmarks, or few frames show the inside of the mouth.
        frames: training frames of that head.
    """
    teeth = torch.from_numpy(vertex_mask(head, ("teeth_upper",)))
    if not bool(teeth.any()) or len(head.landmark_faces) <= max(LIPS) or not has_parts(head):
        return head, frames
    errors = height_errors(head, frames)
    if errors is None:
        return head, frames
    best = int(errors.argmin())
    if best in (0, len(HEIGHTS) - 1) or errors[best] > (1 - GAIN) * errors[HEIGHTS.index(0.0)]:
        return head, frames
    shift = torch.tensor([0.0, HEIGHTS[best], 0.0])
    template, vertices = head.v_template.clone(), frames.states.vertices.clone()
    template[teeth] += shift
    vertices[:, teeth] += shift
    return replace(head, v_template=template), replace(frames, states=replace(frames.states, vertices=vertices))


def height_errors(head: HeadModel, frames: TrainingFrames) -> np.ndarray | None:
    """Root mean square difference [H] of the frames from the inside of the mouth with the teeth at each of `HEIGHTS`.

    Crowns, gums, and tongue and cavity take the color with which they explain the frames best. None: too few frames
    show an open mouth, or too few pixels of it.
    """
    chosen = _open_frames(head, frames)
    if len(chosen) < MIN_FRAMES:
        return None
    teeth = torch.from_numpy(vertex_mask(head, ("teeth_upper",)))
    layer = MeshLayer(head)
    textures = torch.stack([torch.isin(layer.part, torch.tensor(group)) for group in _GROUPS], 1).float()
    lit = textures * layer.start.mean(1, keepdim=True)
    values: list[list[Tensor]] = [[] for _ in HEIGHTS]
    truth = []
    for index in chosen.tolist():
        seen = _mouth_pixels(layer, frames, index, textures)
        truth.append(frames.rgb[index][seen[1], seen[0]].double() / 255)
        for height, found in zip(HEIGHTS, values, strict=True):
            found.append(_rendered(layer, frames, index, lit, teeth * height, seen))
    target = torch.cat(truth)
    if len(target) < _MIN_PIXELS:
        return None
    return np.array([_difference(torch.cat(found).double(), target) for found in values])


def _open_frames(head: HeadModel, frames: TrainingFrames) -> Tensor:
    """Frames [n] in which the lips are apart, evenly chosen."""
    lips = head.landmarks(frames.states.vertices)[:, list(LIPS[:2])]
    apart = ((lips[:, 0] - lips[:, 1]).norm(dim=1) > OPEN)[frames.step].nonzero()[:, 0]
    return apart[:: max(1, -(-len(apart) // MOST_FRAMES))]


def _posed(layer: MeshLayer, frames: TrainingFrames, index: int, texels: Tensor, raised: Tensor) -> PosedLayer:
    """The layer in frame `index`, some of its vertices raised by `raised` [V] meters."""
    step = frames.step[index : index + 1]
    vertices = frames.states.vertices[step].clone()
    vertices[..., 1] += raised
    rotation, translation = frames.states.rotation[step], frames.states.translation[step]
    return layer.posed(vertices, rotation, translation, texels.new_ones(0), texels.contiguous())


def _mouth_pixels(layer: MeshLayer, frames: TrainingFrames, index: int, textures: Tensor) -> Tensor:
    """Pixels [2,n], x and y, of frame `index` where the teeth of the head model, its tongue or cavity are."""
    posed = _posed(layer, frames, index, textures, torch.zeros(()))
    images = layer_images(replace(posed, shade=torch.ones_like(posed.shade)), frames.view(index))
    alone = images.color[0].sum(-1) > _MOUTH_ALONE
    y, x = (alone & (images.stencil[0] > _CLEAR)).nonzero(as_tuple=True)
    return torch.stack([x, y]) + images.origin[0][:, None].long()


def _rendered(
    layer: MeshLayer, frames: TrainingFrames, index: int, texels: Tensor, raised: Tensor, pixels: Tensor
) -> Tensor:
    """Colors [n,3] of the layer at `pixels` [2,n] of frame `index`, 0 outside its window."""
    images = layer_images(_posed(layer, frames, index, texels, raised), frames.view(index))
    height, width = images.coverage.shape[1:]
    x, y = pixels - images.origin[0][:, None].long()
    inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
    out = texels.new_zeros(pixels.shape[1], 3)
    out[inside] = images.color[0][y[inside], x[inside]]
    return out


def _difference(values: Tensor, target: Tensor) -> float:
    """Root mean square of `target` [n,3] minus the best combination of `values` [n,G] for each color."""
    square = values.square().mean()
    total = values.sum(1)
    one = (total @ target) / total.square().sum().clamp_min(1e-9)  # [3] gain of all groups together
    ridge = _RIDGE * len(target) * square * torch.eye(values.shape[1]).double()
    gains = torch.linalg.solve(values.T @ values + ridge, values.T @ target + ridge.sum(1)[:, None] * one)
    return float((values @ gains - target).square().mean().sqrt())
