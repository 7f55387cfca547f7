"""The heights of upper and lower teeth of one person, from the training frames in which the mouth is open.

The teeth of the head model are those of the mean person. Where a person shows more or less of them, the mesh layer has
teeth where the frames have the tongue or the dark behind them, and no texture makes up for that in every pose.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from avatar import ops
from avatar.data.training_frames import TrainingFrames
from avatar.head.model import HeadModel
from avatar.head.regions import Region
from avatar.model.parts.mesh_layer import LIPS, MeshLayer, Part, has_parts
from avatar.ops.ordered_map import ordered_map
from avatar.training.layer_comparison import LayerComparison, difference

#: Heights that are compared, meters above those of the head model: those of most people lie within. Lower lips hide
#: most of the lower teeth.
HEIGHTS: dict[Region, tuple[float, ...]] = {
    "teeth_upper": tuple(np.arange(-4, 7) * 5e-4),
    "teeth_lower": tuple(np.arange(-1, 6) * 1e-3),
}
#: The mouth is open from this distance of the lips on, meters; frames that count at most, and at least.
OPEN = 0.004
MOST_FRAMES = 32
MIN_FRAMES = 8
#: A height is taken if it lowers the root mean square difference by these fractions or more, and if the lowest and the
#: highest are worse: where the frames hardly show teeth, the best is one of those.
GAINS: dict[Region, float] = {"teeth_upper": 0.025, "teeth_lower": 0.02}
#: Pixels that determine a height.
_MIN_PIXELS = 200
#: Parts that have a color of their own in the comparison.
_GROUPS = ((Part.CROWN,), (Part.GUM,), (Part.TONGUE, Part.CAVITY))


@torch.no_grad()
def with_placed_teeth(head: HeadModel, frames: TrainingFrames) -> tuple[HeadModel, TrainingFrames]:
    """`head` and `frames` with upper and lower teeth at the heights that explain the open mouths of the frames best.

    Args:
        head: the baked head; unchanged where it lacks teeth or landmarks, or few frames show the inside of the mouth.
        frames: training frames of that head.
    """
    if len(head.landmark_faces) <= max(LIPS) or not has_parts(head):
        return head, frames
    for region, heights in HEIGHTS.items():
        if not bool(head.mask(region).any()):
            continue
        errors = height_errors(head, frames, region)
        if errors is None:
            return head, frames
        best = int(errors.argmin())
        if best in (0, len(heights) - 1) or errors[best] > (1 - GAINS[region]) * errors[heights.index(0.0)]:
            continue
        head, frames = _raised(head, frames, region, heights[best])
    return head, frames


def _raised(head: HeadModel, frames: TrainingFrames, region: Region, height: float) -> tuple[HeadModel, TrainingFrames]:
    """`head` and `frames` with a `region` higher by `height` in meters."""
    template = head.v_template.clone()
    template[head.mask(region)] += torch.tensor([0.0, height, 0.0])
    head = replace(head, v_template=template)
    return head, replace(frames, states=frames.states.posed_again(head, region))


def height_errors(head: HeadModel, frames: TrainingFrames, region: Region) -> np.ndarray | None:
    """Root mean square difference [H] of the frames from the inside of the mouth with teeth at each of their `HEIGHTS`.

    Crowns, gums, and tongue and cavity take the color with which they explain the frames best. None: too few frames
    show an open mouth, or too few pixels of it.
    """
    chosen = _open_frames(head, frames)
    if len(chosen) < MIN_FRAMES:
        return None
    layer = MeshLayer(head)
    textures = torch.stack([torch.isin(layer.part, torch.tensor(group)) for group in _GROUPS], 1).float()
    comparison = LayerComparison(layer, frames, textures)
    seen = {index: comparison.pixels(index) for index in chosen.tolist()}
    target = torch.cat([comparison.truth(index, pixels) for index, pixels in seen.items()])
    if len(target) < _MIN_PIXELS:
        return None
    raised = head.mask(region)[:, None] * torch.tensor([0.0, 1.0, 0.0])

    @torch.no_grad()  # of a thread
    def error(height: float) -> float:
        drawn = [comparison.draw(index, pixels, height * raised) for index, pixels in seen.items()]
        return difference(torch.cat(drawn), target)

    return np.array(list(ordered_map(lambda: error, HEIGHTS[region], ops.kernel_threads())))


def _open_frames(head: HeadModel, frames: TrainingFrames) -> Tensor:
    """Frames [n] in which the lips are apart, evenly chosen."""
    lips = head.landmarks(frames.states.vertices)[:, list(LIPS[:2])]
    apart = ((lips[:, 0] - lips[:, 1]).norm(dim=1) > OPEN)[frames.step].nonzero()[:, 0]
    return apart[:: max(1, -(-len(apart) // MOST_FRAMES))]
