"""Heads for the tests of bridges: an ARKit head driven by joints, and a FLAME-like one with known ground truth."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from avatar.head import load_head
from avatar.head.model import HeadModel
from avatar.head.stored import read
from avatar.types import JAW, JOINT_NAMES, LEFT_EYE, RIGHT_EYE

#: control -> joint and degrees about x, y at a weight of 1
TURNS = {
    "jawOpen": (JAW, 19, 0), "jawLeft": (JAW, 0, 3.5), "jawRight": (JAW, 0, -3.5),
    "eyeLookDownLeft": (LEFT_EYE, 26, 0), "eyeLookUpLeft": (LEFT_EYE, -22, 0),
    "eyeLookOutLeft": (LEFT_EYE, 0, 28), "eyeLookInLeft": (LEFT_EYE, 0, -28),
    "eyeLookDownRight": (RIGHT_EYE, 26, 0), "eyeLookUpRight": (RIGHT_EYE, -22, 0),
    "eyeLookOutRight": (RIGHT_EYE, 0, -28), "eyeLookInRight": (RIGHT_EYE, 0, 28),
}  # fmt: skip
LIDS = ("eyelidLeft", "eyelidRight")
OUTSIDE = ("tongueOut", *LIDS, *TURNS)


def turn_dirs(names: tuple[str, ...], times: float = 1.0) -> Tensor:
    """joint_dirs [J,3,E] of the controls of TURNS, scaled by `times`."""
    dirs = torch.zeros(len(JOINT_NAMES), 3, len(names))
    for name, (joint, about_x, about_y) in TURNS.items():
        dirs[joint, :, names.index(name)] = torch.tensor([about_x, about_y, 0.0]).deg2rad() * times
    return dirs


def arkit_head() -> HeadModel:
    """The embedded head."""
    return load_head()


def mixing(count: int, seed: int = 0) -> Tensor:
    """An invertible [count,count] matrix of condition 10 that mixes shapes into modes."""
    random = torch.Generator().manual_seed(seed)
    left, right = (torch.linalg.qr(torch.randn(count, count, generator=random))[0] for _ in range(2))
    return left @ torch.diag(torch.linspace(0.3, 3, count)) @ right


def mixed_names(head: HeadModel) -> list[str]:
    """Expressions of the ARKit head that the made-up FLAME head mixes into its modes."""
    return [name for name in head.expression_names if name not in OUTSIDE]


@lru_cache(maxsize=4)
def flame_head(other_person: bool = False, noise: float = 0.0) -> HeadModel:
    """A FLAME-like head: modes expr0.. are mixes of the ARKit head's shapes, jaw and eyes are joints, lids are extra.

    It has half the vertices and another triangulation.

    Args:
        other_person: another identity, 12 % larger and shifted.
        noise: asymmetric smooth noise on every mode, meters.
    """
    head, stored = arkit_head(), read()
    skin = len(head.v_template) - len(stored.part_vertices)
    cage = len(stored.cage_vertices)
    keep = torch.cat([torch.arange(cage), torch.arange(skin, len(head.v_template))])
    parts = torch.from_numpy(stored.part_faces.astype(np.int64)) + cage
    faces = torch.cat([torch.from_numpy(stored.cage_faces.astype(np.int64)), parts])
    columns = [head.expression_index(name) for name in mixed_names(head)]
    modes = head.exprdirs[keep][:, :, columns] @ mixing(len(columns))
    template, modes = _as_person(head, keep, modes) if other_person else (head.v_template[keep], modes)
    if noise:
        modes = modes + noise * _asymmetric(template, modes.shape[2])
    names = (*(f"expr{i}" for i in range(modes.shape[2])), *TURNS, *LIDS)
    lids = head.exprdirs[keep][:, :, [head.expression_index(name) for name in LIDS]] * (1.12 if other_person else 1)
    landmark_faces, landmark_bary = _landmarks(head, keep, faces)
    return replace(
        head,
        name="made-up FLAME",
        v_template=template,
        faces=faces,
        shapedirs=head.shapedirs[keep][:, :, :0],
        exprdirs=torch.cat([modes, torch.zeros(len(keep), 3, len(TURNS)), lids], 2),
        joint_dirs=turn_dirs(names, 1.3),
        curvedirs=torch.zeros(len(keep), 3, 0),
        curve_columns=torch.zeros(0, dtype=torch.int64),
        posedirs=torch.zeros(len(keep), 3, 0),
        J_regressor=_regressor(head, keep),
        lbs_weights=head.lbs_weights[keep],
        expression_names=names,
        landmark_faces=landmark_faces,
        landmark_bary=landmark_bary,
        uv=torch.zeros(1, 2),
        uv_faces=torch.zeros_like(faces),
        regions={name: mask[keep] for name, mask in head.regions.items()},
        colors=head.colors[keep],
        capabilities=frozenset({"eyelids"}),
    )


def _as_person(head: HeadModel, keep: Tensor, modes: Tensor) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(3)
    symmetric = 0.4 * torch.randn(12, generator=random)
    moved = head.shapedirs[:, :, :12] @ symmetric
    return (head.v_template + moved)[keep] * 1.12 + torch.tensor([0.0, 0.01, -0.02]), modes * 1.12


def _asymmetric(template: Tensor, count: int) -> Tensor:
    """Smooth asymmetric fields [V,3,count]."""
    random = torch.Generator().manual_seed(5)
    waves = torch.randn(3, count, generator=random) * 40
    phases, ways = torch.rand(count, generator=random) * 6, torch.randn(3, count, generator=random)
    return torch.sin(template @ waves + phases)[:, None] * ways


def _landmarks(head: HeadModel, keep: Tensor, faces: Tensor) -> tuple[Tensor, Tensor]:
    """A face corner for each landmark; all landmarks are kept vertices."""
    old = head.faces[head.landmark_faces].gather(1, head.landmark_bary.argmax(1)[:, None])[:, 0]
    place = torch.full((len(head.v_template),), -1)
    place[keep] = torch.arange(len(keep))
    first = {int(vertex): index for index, vertex in reversed(list(enumerate(faces.flatten().tolist())))}
    spots = torch.tensor([first[int(place[vertex])] for vertex in old])
    return spots // 3, torch.eye(3)[spots % 3]


def _regressor(head: HeadModel, keep: Tensor) -> Tensor:
    """Joint regressor over the kept vertices with the same joints for the mean person."""
    joints = head.joint_locations(head.neutral_params().identity)
    rows = []
    for position in joints:
        near = (head.v_template[keep] - position).norm(dim=1).argsort()[:60]
        equations = torch.cat([head.v_template[keep][near].T, torch.ones(1, 60)]).double()
        row = torch.zeros(len(keep))
        row[near] = (torch.linalg.pinv(equations) @ torch.cat([position, torch.ones(1)]).double()).float()
        rows.append(row)
    return torch.stack(rows)


def mirrored_turns(joint_rot: Tensor) -> Tensor:
    """Joint rotations [T,J,3] of the mirrored face."""
    swapped = joint_rot.clone()
    swapped[:, [LEFT_EYE, RIGHT_EYE]] = joint_rot[:, [RIGHT_EYE, LEFT_EYE]]
    return swapped * torch.tensor([1.0, -1.0, -1.0])


def turned(head: HeadModel, weights: Tensor, joint_rot: Tensor) -> Tensor:
    """Axis-angle [T,J,3] of all joints, including those driven by expressions."""
    return joint_rot + torch.einsum("jce,te->tjc", head.joint_dirs, weights)
