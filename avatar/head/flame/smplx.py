"""The head of a SMPL-X model file in FLAME's layout, without the smplx package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

JOINT_COUNT = 55
#: SMPL-X's neck, head, jaw and eyes serve as FLAME's root, neck, jaw and eyes; both have the same tree
_JOINTS = (12, 15, 22, 23, 24)
_MIN_WEIGHT = 0.5  # sum of a vertex's skin weights on those joints
#: number of identities and expressions of SMPL-X files by the number of their shape directions
_SPLITS = {400: (300, 100), 20: (10, 10)}
_FITTED = 50  # identities for which the new joint regressor is fitted to the old one


def is_smplx(arrays: Mapping[str, NDArray[Any]]) -> bool:
    """Whether the arrays of a file are a SMPL-X body's."""
    regressor = arrays["J_regressor"]
    weights = arrays["weights"]
    return regressor.ndim == 2 == weights.ndim and len(regressor) == JOINT_COUNT == weights.shape[1]


def head_part(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """FLAME's arrays of the head of a body: the vertices skinned to neck, head, jaw or eyes, and their faces.

    Args:
        arrays: v_template [V,3], faces [F,3], shapedirs [V,3,S], posedirs [V,3,486], J_regressor [55,V],
            weights [V,55]; the caller checks the shapes of the result.

    Returns:
        The arrays under the names that `source` uses, K vertices.
    """
    joints = list(_JOINTS)
    kept = np.asarray(arrays["weights"])[:, joints].sum(1) > _MIN_WEIGHT
    new_index = np.cumsum(kept) - 1
    faces = arrays["faces"].astype(np.int64)
    faces = new_index[faces[kept[faces].all(1)]]
    weights = np.array(arrays["weights"][kept][:, joints], float)
    weights[:, 0] = 1 - weights[:, 1:].sum(1)
    shapes = arrays["shapedirs"]
    identities, expressions = _SPLITS.get(shapes.shape[2], (shapes.shape[2], 0))
    columns = np.concatenate([np.arange(9 * (joint - 1), 9 * joint) for joint in joints[1:]])
    return {
        "v_template": arrays["v_template"][kept],
        "faces": faces,
        "shapedirs": shapes[kept][:, :, :identities],
        "exprdirs": shapes[kept][:, :, identities : identities + expressions],
        "posedirs": arrays["posedirs"][kept][:, :, columns],
        "J_regressor": _regressor(arrays, kept, joints, identities),
        "parents": np.array([-1, 0, 1, 1, 1]),
        "weights": weights,
    }


def _regressor(
    arrays: Mapping[str, NDArray[Any]], kept: NDArray[np.bool_], joints: list[int], identities: int
) -> NDArray[np.float64]:
    """Minimum-norm weights [5,K] over kept vertices that reproduce the joints of the mean and the first identities."""
    old = np.asarray(arrays["J_regressor"], float)[joints]
    count = min(identities, _FITTED, (int(kept.sum()) - 4) // 6)
    fields = np.concatenate([arrays["v_template"][..., None], arrays["shapedirs"][:, :, :count]], 2).astype(float)
    positions = np.einsum("jv,vck->jck", old, fields).reshape(len(joints), -1)
    equations = np.vstack([fields[kept].reshape(int(kept.sum()), -1).T, np.ones(int(kept.sum()))])
    targets = np.hstack([positions, np.ones((len(joints), 1))])
    return np.linalg.lstsq(equations, targets.T, rcond=None)[0].T
