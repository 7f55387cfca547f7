"""The head that ships with the project: its stored cage, subdivided once and turned into a HeadModel."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sparse
import torch
from numpy.typing import NDArray
from torch import Tensor

from avatar.records import JOINT_NAMES

from .model import HeadModel
from .stored import UNITS_A_METRE, StoredHead
from .subdivision import loop_matrix, midpoint_matrix, split_faces

PARENTS = (-1, 0, 1, 1, 1)
_CAPABILITIES = frozenset({"eyelids", "teeth", "tongue", "mouth_interior", "arkit"})


def _subdivided(metres: sparse.csr_matrix, cage: NDArray[np.int16], parts: NDArray[np.int16]) -> Tensor:
    """Metres [V,3,N] from N cage fields [C,3,N] and part fields [P,3,N] in stored units.

    `metres` is the Loop matrix divided by UNITS_A_METRE.
    """
    skin, fields = metres.shape[0], cage.shape[2]
    whole = np.empty((skin + len(parts), 3 * fields), np.float32)
    whole[:skin] = metres @ cage.reshape(len(cage), -1).astype(np.float32)
    np.multiply(parts.reshape(len(parts), -1), np.float32(1 / UNITS_A_METRE), out=whole[skin:])
    return torch.from_numpy(whole).view(-1, 3, fields)


def _weights(matrix: sparse.csr_matrix, stored: StoredHead) -> Tensor:
    table = np.concatenate([matrix @ stored.cage_weights.astype(float), stored.part_weights.astype(float)])
    return torch.from_numpy((table / table.sum(1, keepdims=True)).astype(np.float32))


def _atlas(stored: StoredHead) -> tuple[Tensor, Tensor]:
    """Texture coordinates [U,2] and faces [F,3] of the subdivided skin and the parts."""
    faces, count = stored.cage_uv_faces.astype(np.int64), len(stored.cage_uv)
    skin = midpoint_matrix(faces, count) @ stored.cage_uv.astype(float)
    uv = np.concatenate([skin, stored.part_uv.astype(float)]) / 65535
    uv_faces = np.concatenate([split_faces(faces, count), stored.part_faces.astype(np.int64) + len(skin)])
    return torch.from_numpy(uv.astype(np.float32)), torch.from_numpy(uv_faces)


def _landmarks(stored: StoredHead, faces: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """A face and barycentrics for each landmark; every landmark is a vertex."""
    vertices, first = np.unique(faces.ravel(), return_index=True)
    place = first[np.searchsorted(vertices, stored.landmark_vertex.astype(np.int64))]
    bary = np.eye(3, dtype=np.float32)[place % 3]
    return torch.from_numpy(place // 3), torch.from_numpy(bary)


def head_from(stored: StoredHead) -> HeadModel:
    """The HeadModel [V = subdivided skin + parts] of a stored head, float32 on the CPU."""
    cage_faces, count = stored.cage_faces.astype(np.int64), len(stored.cage_vertices)
    matrix = loop_matrix(cage_faces, count)
    skin_count = matrix.shape[0]
    faces = np.concatenate([split_faces(cage_faces, count), stored.part_faces.astype(np.int64) + skin_count])
    metres = (matrix / UNITS_A_METRE).astype(np.float32)
    template = _subdivided(metres, stored.cage_vertices[..., None], stored.part_vertices[..., None])[:, :, 0]
    regressor = torch.zeros(len(JOINT_NAMES), len(template))
    rows = torch.from_numpy(stored.regressor_joint.astype(np.int64))
    regressor[rows, torch.from_numpy(stored.regressor_vertex.astype(np.int64))] = torch.from_numpy(
        stored.regressor_weight
    )
    no_parts = np.zeros((len(stored.part_vertices), 3, len(stored.curve_columns)), np.int16)
    masks = np.unpackbits(stored.regions, axis=1, count=len(template)).astype(bool)
    uv, uv_faces = _atlas(stored)
    landmark_faces, landmark_bary = _landmarks(stored, faces)
    return HeadModel(
        name="embedded",
        licence="Apache-2.0",
        v_template=template,
        faces=torch.from_numpy(faces),
        shapedirs=_subdivided(metres, stored.cage_identity, stored.part_identity[stored.part_of]),
        exprdirs=_subdivided(metres, stored.cage_expressions, stored.part_expressions),
        joint_dirs=torch.from_numpy(stored.joint_dirs),
        curvedirs=_subdivided(metres, stored.cage_curves, no_parts),
        curve_columns=torch.from_numpy(stored.curve_columns.astype(np.int64)),
        posedirs=torch.zeros(len(template), 3, 0),
        J_regressor=regressor,
        parents=PARENTS,
        lbs_weights=_weights(matrix, stored),
        expression_names=stored.expression_names,
        landmark_faces=landmark_faces,
        landmark_bary=landmark_bary,
        uv=uv,
        uv_faces=uv_faces,
        regions={name: torch.from_numpy(mask) for name, mask in zip(stored.region_names, masks, strict=True)},
        colors=torch.from_numpy(stored.colors.astype(np.float32) / 255),
        capabilities=_CAPABILITIES,
    )
