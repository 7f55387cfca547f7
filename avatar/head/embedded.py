"""The head shipped with the project: its stored cage, subdivided once, as a HeadModel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.sparse as sparse
import torch
from numpy.typing import NDArray
from torch import Tensor

from avatar.types import JOINT_NAMES

from .model import HeadModel
from .skinning import joint_regressor_weights
from .stored import UNITS_PER_METER, StoredHead, read
from .subdivision import loop_matrix, midpoint_matrix, split_faces

PARENTS = (-1, 0, 1, 1, 1)
_CAPABILITIES = frozenset({"eyelids", "teeth", "tongue", "mouth_interior", "arkit"})


def _subdivide(meters: sparse.csr_matrix, cage: NDArray[np.int16], parts: NDArray[np.int16]) -> Tensor:
    """Meters [V,3,N] from N cage fields [C,3,N] and part fields [P,3,N] in stored units.

    `meters` is the Loop matrix divided by UNITS_PER_METER.
    """
    skin = meters.shape[0]
    fields = cage.shape[2]
    whole = np.empty((skin + len(parts), 3 * fields), np.float32)
    whole[:skin] = meters @ cage.reshape(len(cage), -1).astype(np.float32)
    np.multiply(parts.reshape(len(parts), -1), np.float32(1 / UNITS_PER_METER), out=whole[skin:])
    return torch.from_numpy(whole).view(-1, 3, fields)


@dataclass(frozen=True)
class _Level:
    """One level of detail of the head: N skin vertices, then the kept vertices of the parts."""

    skin: sparse.csr_matrix  # [N,C] rows of the Loop matrix
    parts: NDArray[np.int64]  # [P'] kept vertices of the parts
    faces: NDArray[np.int64]  # [F,3]
    uv: NDArray[np.float64]  # [U,2] of 65535
    uv_faces: NDArray[np.int64]  # [F,3]
    full_indices: NDArray[np.int64]  # [N+P'] indices of its vertices in the full level

    @staticmethod
    def full(stored: StoredHead, loop: sparse.csr_matrix) -> _Level:
        """The skin subdivided once and all vertices of the parts."""
        cage = stored.cage_faces.astype(np.int64)
        cage_uv = stored.cage_uv_faces.astype(np.int64)
        uv = midpoint_matrix(cage_uv, len(stored.cage_uv)) @ stored.cage_uv.astype(float)
        count = loop.shape[0]
        parts = stored.part_faces.astype(np.int64)
        return _Level(
            skin=loop,
            parts=np.arange(len(stored.part_vertices)),
            faces=np.concatenate([split_faces(cage, loop.shape[1]), parts + count]),
            uv=np.concatenate([uv, stored.part_uv.astype(float)]),
            uv_faces=np.concatenate([split_faces(cage_uv, len(stored.cage_uv)), parts + len(uv)]),
            full_indices=np.arange(count + len(stored.part_vertices)),
        )

    @staticmethod
    def half(stored: StoredHead, loop: sparse.csr_matrix) -> _Level:
        """The cage's faces on the subdivided surface, and every second row and column of the parts."""
        count = loop.shape[1]
        parts = stored.half_part_faces.astype(np.int64)
        rows = stored.half_part_vertices.astype(np.int64)
        return _Level(
            skin=loop[:count],
            parts=rows,
            faces=np.concatenate([stored.cage_faces.astype(np.int64), parts + count]),
            uv=np.concatenate([stored.cage_uv, stored.part_uv[rows]]).astype(float),
            uv_faces=np.concatenate([stored.cage_uv_faces.astype(np.int64), parts + len(stored.cage_uv)]),
            full_indices=np.concatenate([np.arange(count), loop.shape[0] + rows]),
        )

    def places(self, vertices: NDArray[np.unsignedinteger]) -> NDArray[np.int64]:
        """Indices in this level of vertices [K] of the full level; -1 for those that it omits."""
        rows = np.searchsorted(self.full_indices, vertices).clip(max=len(self.full_indices) - 1)
        return np.where(self.full_indices[rows] == vertices, rows, -1)


def _weights(level: _Level, stored: StoredHead) -> Tensor:
    table = np.concatenate([level.skin @ stored.cage_weights.astype(float), stored.part_weights[level.parts]])
    return torch.from_numpy((table / table.sum(1, keepdims=True)).astype(np.float32))


def _landmarks(vertices: NDArray[np.int64], faces: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """Face [478] and barycentric weights [478,3] of landmarks at the vertices [478]."""
    used, first = np.unique(faces.ravel(), return_index=True)
    corner = first[np.searchsorted(used, vertices)]
    bary = np.eye(3, dtype=np.float32)[corner % 3]
    return torch.from_numpy(corner // 3), torch.from_numpy(bary)


def _regressor(stored: StoredHead, level: _Level, template: NDArray[np.float32]) -> Tensor:
    """Joint regressor [J,V]; where the level omits vertices of a row, weights that give the same joint position."""
    regressor = np.zeros((len(JOINT_NAMES), len(template)), np.float32)
    places = level.places(stored.regressor_vertex)
    for joint in range(len(JOINT_NAMES)):
        entries = stored.regressor_joint == joint
        present = places[entries][places[entries] >= 0]
        if len(present) == entries.sum():
            regressor[joint, present] = stored.regressor_weight[entries]
        else:
            regressor[joint, present] = joint_regressor_weights(template[present], stored.joints[joint])
    return torch.from_numpy(regressor)


def head_from(stored: StoredHead, half: bool = False) -> HeadModel:
    """The HeadModel [V = skin + parts] of a stored head, float32 on the CPU.

    Args:
        stored: the file's arrays.
        half: a quarter of the skin's triangles, on the same surface, with the same landmarks.
    """
    loop = loop_matrix(stored.cage_faces.astype(np.int64), len(stored.cage_vertices))
    level = _Level.half(stored, loop) if half else _Level.full(stored, loop)
    meters = (level.skin / UNITS_PER_METER).astype(np.float32)

    def fields(cage: NDArray[np.int16], parts: NDArray[np.int16]) -> Tensor:
        return _subdivide(meters, cage, parts)

    template = fields(stored.cage_vertices[..., None], stored.part_vertices[level.parts, :, None])[:, :, 0]
    masks = np.unpackbits(stored.regions, axis=1, count=stored.colors.shape[0]).astype(bool)[:, level.full_indices]
    landmark_faces, landmark_bary = _landmarks(level.places(stored.landmark_vertex), level.faces)
    return HeadModel(
        name="embedded-half" if half else "embedded",
        license="Apache-2.0",
        v_template=template,
        faces=torch.from_numpy(level.faces),
        shapedirs=fields(stored.cage_identity, stored.part_identity[stored.part_of[level.parts]]),
        exprdirs=fields(stored.cage_expressions, stored.part_expressions[level.parts]),
        joint_dirs=torch.from_numpy(stored.joint_dirs),
        curvedirs=fields(stored.cage_curves, np.zeros((len(level.parts), *stored.cage_curves.shape[1:]), np.int16)),
        curve_columns=torch.from_numpy(stored.curve_columns.astype(np.int64)),
        posedirs=torch.zeros(len(template), 3, 0),
        J_regressor=_regressor(stored, level, template.numpy()),
        parents=PARENTS,
        lbs_weights=_weights(level, stored),
        expression_names=stored.expression_names,
        landmark_faces=landmark_faces,
        landmark_bary=landmark_bary,
        uv=torch.from_numpy((level.uv / 65535).astype(np.float32)),
        uv_faces=torch.from_numpy(level.uv_faces),
        regions={name: torch.from_numpy(mask) for name, mask in zip(stored.region_names, masks, strict=True)},
        colors=torch.from_numpy(stored.colors[level.full_indices].astype(np.float32) / 255),
        capabilities=_CAPABILITIES,
    )


@lru_cache(maxsize=2)
def embedded_head(half: bool = False) -> HeadModel:
    """The embedded head, read once; `half` has a quarter of the skin's triangles."""
    return head_from(read(), half)
