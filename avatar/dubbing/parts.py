"""The part of the face that is replaced: which parameters it has, and how much of it each vertex of the head shows."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

import torch
from torch import Tensor

from avatar.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from avatar.head.arkit import is_mode
from avatar.head.model import HeadModel
from avatar.types import JAW, LEFT_EYE, NECK, RIGHT_EYE, ROOT, HeadParams

#: mouth: jaw, lips, tongue and blown cheeks; face: brows, lids and gaze as well.
Part = Literal["mouth", "face"]
PARTS: tuple[Part, ...] = get_args(Part)

_MOUTH = ("jaw", "mouth", "tongue", "cheekPuff")
#: MediaPipe's landmarks: top of the forehead, chin, below the nose, beside the ears, lower lids.
_FOREHEAD, _CHIN, _NOSE, _EARS, _LIDS = 10, 152, 2, [234, 454], [145, 374]
#: Below the chin the mask ends between these fractions of the distance from nose to chin: a jaw that opens is inside.
_NECK = 0.7, 1.5
#: Distance (meters) from the lips up to which the pixels of another mouth never fit, and from which on they do.
_LIPS = 0.002, 0.008


def replaced_columns(head: HeadModel, part: Part) -> Tensor:
    """Mask [E] bool of the expressions that are replaced; components without names (FLAME's) move the whole face."""
    names = head.expression_names
    return torch.tensor([part == "face" or name.startswith(_MOUTH) or is_mode(name) for name in names])


def with_part(head: HeadModel, film: HeadParams, face: HeadParams, part: Part, strength: Tensor) -> HeadParams:
    """The parameters of a film with a part of the face from another motion.

    Args:
        head: the avatar's.
        film: T frames; head pose and position stay.
        face: T frames.
        part: what is replaced.
        strength: [T] 0..1, between `film` and `face`.
    """
    columns = replaced_columns(head, part).to(film.expression.device)
    fraction = strength.to(film.expression)[:, None]
    expression = torch.where(columns, torch.lerp(film.expression, face.expression, fraction), film.expression)
    joints = [JAW] if part == "mouth" else [JAW, LEFT_EYE, RIGHT_EYE]
    assert not {ROOT, NECK} & set(joints)
    joint_rot = film.joint_rot.clone()
    start = axis_angle_to_matrix(film.joint_rot[:, joints].double())
    turn = matrix_to_axis_angle(start.mT @ axis_angle_to_matrix(face.joint_rot[:, joints].double()))
    turned = matrix_to_axis_angle(start @ axis_angle_to_matrix(fraction[:, None].double() * turn))
    same = (film.joint_rot[:, joints] == face.joint_rot[:, joints]).all(-1, keepdim=True) | (fraction[:, None] == 0)
    joint_rot[:, joints] = torch.where(same, film.joint_rot[:, joints], turned.to(joint_rot))
    return replace(film, expression=expression, joint_rot=joint_rot)


def vertex_weights(head: HeadModel, part: Part) -> tuple[Tensor, Tensor]:
    """How much each vertex of a baked head is replaced, .

    Returns:
        [V] 0..1: 1 on the part, falling smoothly to 0 around it; and [V] 0..1: 1 on lips, teeth and tongue, where the
        pixels of another mouth do not fit.
    """
    rest = head.v_template
    points = head.landmarks(rest[None])[0]
    down = points[_NOSE, 1] - points[_CHIN, 1]
    top, full = points[_FOREHEAD, 1], points[_FOREHEAD, 1] - 0.35 * down
    if part == "mouth":
        top = points[_LIDS, 1].mean() - 0.1 * down
        full = top - 0.45 * (top - points[_NOSE, 1])
    below = points[_CHIN, 1] - down * torch.tensor(_NECK, device=rest.device)
    behind = points[_EARS, 2].mean()
    weight = _ramp(rest[:, 1], top, full) * _ramp(rest[:, 1], below[1], below[0])
    weight = weight * _ramp(rest[:, 2], behind, behind + 0.45 * down)
    mouth = head.mask("teeth_upper", "teeth_lower", "tongue", "mouth_interior")
    eyes = head.mask("left_eyeball", "right_eyeball")
    inside = torch.maximum(mouth.float(), _around(rest, head.mask("lips", "lips_inner"), *_LIPS))
    weight = torch.where(mouth, 1.0, weight).masked_fill(eyes, 1.0 if part == "face" else 0.0)
    return weight.float(), inside


def _around(rest: Tensor, region: Tensor, one: float, zero: float) -> Tensor:
    """[V] 1 on a region [V] bool and up to `one` meters from it, 0 from `zero` meters on."""
    if not region.any():
        return rest.new_zeros(len(rest))
    distance = torch.cdist(rest, rest[region]).amin(1)
    return _ramp(distance, rest.new_tensor(zero), rest.new_tensor(one))


def _ramp(values: Tensor, zero: Tensor, one: Tensor) -> Tensor:
    """0 at `zero`, 1 at `one` and beyond, smooth between them."""
    t = ((values - zero) / (one - zero)).clamp(0, 1)
    return t * t * (3 - 2 * t)
