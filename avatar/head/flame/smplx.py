"""The head of a SMPL-X model file in FLAME's layout; needs the file only, not the smplx package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

JOINT_COUNT = 55
#: SMPL-X's neck, head, jaw and eyes take the places of FLAME's root, neck, jaw and eyes; their tree is the same
_JOINTS = (12, 15, 22, 23, 24)
_LEAST_SHARE = 0.5  # of a vertex's weights on those joints
#: identities and expressions of SMPL-X files by the number of their shape directions
_SPLITS = {400: (300, 100), 20: (10, 10)}
_FITTED = 50  # identities by which the joints' new regressor follows the old one


def is_smplx(arrays: Mapping[str, NDArray[Any]]) -> bool:
    """Whether the arrays of a file are a SMPL-X body's."""
    regressor, weights = arrays["J_regressor"], arrays["weights"]
    return regressor.ndim == 2 == weights.ndim and len(regressor) == JOINT_COUNT == weights.shape[1]


def head_part(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """FLAME's arrays of the head of a body: vertices that neck, head, jaw or eyes hold, and the faces between them.

    Args:
        arrays: v_template [V,3], faces [F,3], shapedirs [V,3,S], posedirs [V,3,486], J_regressor [55,V],
            weights [V,55]; shapes are checked by the caller's reader afterwards, so only what is cut must fit.
    """
    joints = list(_JOINTS)
    kept = np.asarray(arrays["weights"])[:, joints].sum(1) > _LEAST_SHARE
    place = np.cumsum(kept) - 1
    faces = arrays["faces"].astype(np.int64)
    faces = place[faces[kept[faces].all(1)]]
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
    """Smallest weights [5,K] of kept vertices that give the joints' places in the mean and in the first identities."""
    old = np.asarray(arrays["J_regressor"], float)[joints]
    count = min(identities, _FITTED, (int(kept.sum()) - 4) // 6)
    fields = np.concatenate([arrays["v_template"][..., None], arrays["shapedirs"][:, :, :count]], 2).astype(float)
    wanted = np.einsum("jv,vck->jck", old, fields).reshape(len(joints), -1)
    equations = np.vstack([fields[kept].reshape(int(kept.sum()), -1).T, np.ones(int(kept.sum()))])
    targets = np.hstack([wanted, np.ones((len(joints), 1))])
    return np.linalg.lstsq(equations, targets.T, rcond=None)[0].T
