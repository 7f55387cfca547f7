"""The size of the irises of one person, from the training frames in which the eyes are open.

Irises of the head model have the size of the mean person's. Where those of the person are smaller or larger, or the
head was fitted larger or smaller than it is, the texture is white where the mesh has the dark rim of the iris.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from avatar import ops
from avatar.data.training_frames import TrainingFrames
from avatar.head.model import HeadModel
from avatar.model.parts.eye_light import EYES
from avatar.model.parts.mesh_layer import MeshLayer, Part
from avatar.ops.ordered_map import ordered_map
from avatar.training.layer_comparison import LayerComparison, difference

#: Sizes that are compared, as factor of the angle from the middle of the iris to its rim.
SIZES = tuple(np.arange(10, 27) * 0.05)
#: Frames that count at most, and at least; pixels that determine a size.
MOST_FRAMES = 24
MIN_FRAMES = 8
_MIN_PIXELS = 400
#: A size is taken if it lowers the root mean square difference by this fraction or more, and if the lowest and the
#: highest are worse.
GAIN = 0.02
#: Angle from the middle of the iris from which on the eyeball does not change, radians.
_FIXED = 1.5
#: Texels of the iris that are darker than this are the pupil's.
_PUPIL = 0.06


@torch.no_grad()
def with_fitted_irises(head: HeadModel, frames: TrainingFrames) -> tuple[HeadModel, TrainingFrames]:
    """`head` and `frames` with irises of the size that explains the frames best.

    Args:
        head: the baked head; unchanged where it lacks irises, or few frames show them.
        frames: training frames of that head.
    """
    errors = size_errors(head, frames)
    if errors is None:
        return head, frames
    best = int(errors.argmin())
    usual = int(np.abs(np.array(SIZES) - 1).argmin())
    if best in (0, len(SIZES) - 1) or errors[best] > (1 - GAIN) * errors[usual]:
        return head, frames
    head = with_iris_size(head, SIZES[best])
    return head, replace(frames, states=frames.states.posed_again(head, *EYES))


def with_iris_size(head: HeadModel, size: float) -> HeadModel:
    """`head` with irises whose rims are `size` times as far from their middle; the eyeballs behind them follow."""
    template = head.v_template.clone()
    iris = head.mask("iris")
    for name in EYES:
        eye = head.mask(name)
        points = template[eye]
        center = _sphere_center(template[eye])
        axis = torch.nn.functional.normalize(template[eye & iris].mean(0) - center, dim=0)
        arm = points - center
        along = arm @ axis
        across = arm - along[:, None] * axis
        angle = torch.atan2(across.norm(dim=1), along)
        distance = arm.norm(dim=1)
        rim = angle[iris[eye]].max()
        behind = size * rim + (_FIXED - size * rim) * (angle - rim) / (_FIXED - rim)
        turned = torch.where(angle <= rim, size * angle, torch.where(angle < _FIXED, behind, angle))
        aside = torch.nn.functional.normalize(across, dim=1)
        direction = turned.cos()[:, None] * axis + turned.sin()[:, None] * aside
        template[eye] = center + distance[:, None] * direction
    return replace(head, v_template=template)


def size_errors(head: HeadModel, frames: TrainingFrames) -> np.ndarray | None:
    """Root mean square difference [S] of the frames from eyes with irises of each of `SIZES`.

    Sclera, iris and pupil take the color with which they explain the frames best. None: the head has no irises, or too
    few pixels of the eyes are seen.
    """
    if not all(bool(head.mask(name).any()) for name in (*EYES, "iris")):
        return None
    layer = MeshLayer(head)
    iris = layer.part == Part.IRIS
    dark = layer.start.mean(1) < _PUPIL
    groups = torch.stack([layer.part == Part.SCLERA, iris & ~dark, iris & dark], 1)
    comparison = LayerComparison(layer, frames, groups.float())
    chosen = torch.arange(len(frames))[:: max(1, -(-len(frames) // MOST_FRAMES))]
    seen = {int(index): comparison.pixels(int(index)) for index in chosen}
    seen = {index: pixels for index, pixels in seen.items() if pixels.shape[1]}
    if len(seen) < MIN_FRAMES or sum(pixels.shape[1] for pixels in seen.values()) < _MIN_PIXELS:
        return None
    target = torch.cat([comparison.truth(index, pixels) for index, pixels in seen.items()])
    params = frames.states.params[frames.step[list(seen)]]
    eyes = head.mask(*EYES).nonzero()[:, 0]
    usual = head.skull_vertices(params, eyes)

    @torch.no_grad()  # of a thread
    def error(size: float) -> float:
        moved = usual.new_zeros(len(usual), len(head.v_template), 3)
        moved[:, eyes] = with_iris_size(head, size).skull_vertices(params, eyes) - usual
        drawn = [comparison.draw(index, pixels, by) for (index, pixels), by in zip(seen.items(), moved, strict=True)]
        return difference(torch.cat(drawn), target)

    return np.array(list(ordered_map(lambda: error, SIZES, ops.kernel_threads())))


def _sphere_center(points: Tensor) -> Tensor:
    """Center [3] of the sphere through points [n,3] in the sense of least squares."""
    matrix = torch.cat([2 * points, torch.ones(len(points), 1)], 1).double()
    return torch.linalg.lstsq(matrix, points.double().square().sum(1, keepdim=True)).solution[:3, 0].to(points)
