"""Files in FLAME's formats with made-up arrays: the embedded head's skin and eyeballs in FLAME's layout."""

from __future__ import annotations

import pickle
import struct
import sys
import types
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sparse
import torch

from avatar.head import load_head
from avatar.head.skinning import joint_regressor_weights
from avatar.types import JAW, LEFT_EYE, RIGHT_EYE

VERSIONS = ("2020", "2023", "2023 Open")
#: positions of jaw and eyes that only FLAME 2023 Open has, meters in the file's frame
_OPEN_JOINTS = {
    JAW: (-0.00046, -0.01550, -0.05768),
    LEFT_EYE: (0.03172, 0.02288, 0.02437),
    RIGHT_EYE: (-0.03141, 0.02288, 0.02265),
}


@lru_cache(maxsize=1)
def _geometry() -> dict[str, np.ndarray]:
    """The embedded head without ears, teeth and tongue, with a hole behind the lips, in FLAME's frame."""
    head = load_head("embedded")
    regions = {name: mask.numpy() for name, mask in head.regions.items()}
    lip = head.landmarks(head.v_template[None])[0, 13, 2].item()
    deep = regions["mouth_interior"] & (head.v_template[:, 2].numpy() < lip - 0.009)
    kept = regions["skin"] | regions["left_eyeball"] | regions["right_eyeball"] | regions["mouth_interior"]
    kept &= ~regions["left_ear"] & ~regions["right_ear"] & ~deep
    faces = head.faces.numpy()
    faces = faces[kept[faces].all(1)]
    used, local = np.unique(faces, return_inverse=True)
    count = len(used)
    random = np.random.default_rng(0)
    identity = np.zeros((count, 3, 300))
    identity[:, :, : head.shapedirs.shape[2]] = head.shapedirs[used].numpy()
    expressions = np.zeros((count, 3, 100))
    expressions[:, :, : head.exprdirs.shape[2]] = head.exprdirs[used].numpy()
    eyes = head.joint_locations(head.neutral_params().identity)[[LEFT_EYE, RIGHT_EYE]].double().numpy()
    middle = (np.array(_OPEN_JOINTS[LEFT_EYE]) + np.array(_OPEN_JOINTS[RIGHT_EYE])) / 2
    regressor = head.J_regressor[:, torch.from_numpy(used)].double().numpy()
    return {
        "v_template": head.v_template[used].double().numpy() + middle - eyes.mean(0),
        "f": local.reshape(-1, 3).astype(np.uint32),
        "shapedirs": np.concatenate([identity, expressions], 2).astype(np.float32),
        "posedirs": random.normal(0, 1e-5, (count, 3, 36)),
        "J_regressor": regressor / regressor.sum(1, keepdims=True),
        "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], [0, 1, 2, 3, 4]], np.uint32),
        "weights": head.lbs_weights[used].double().numpy(),
    }


@lru_cache(maxsize=1)
def _tiny_geometry() -> dict[str, np.ndarray]:
    """Sixty points in FLAME's layout: readable, but not a head."""
    random = np.random.default_rng(0)
    points = random.uniform(-0.08, 0.08, (60, 3))
    weights = np.eye(5)[np.arange(60) % 5]
    return {
        "v_template": points,
        "f": np.stack([np.arange(58), np.arange(1, 59), np.arange(2, 60)], -1).astype(np.uint32),
        "shapedirs": random.normal(0, 1e-3, (60, 3, 400)),
        "posedirs": random.normal(0, 1e-5, (60, 3, 36)),
        "J_regressor": weights.T / 12,
        "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], [0, 1, 2, 3, 4]], np.uint32),
        "weights": weights,
    }


def tiny_arrays(version: str) -> dict[str, Any]:
    """Members of a made-up file that is readable but not a head."""
    return _versioned(_tiny_geometry(), version)


def arrays(version: str) -> dict[str, Any]:
    """Members of a made-up file of a head."""
    return _versioned(_geometry(), version)


def _versioned(geometry: dict[str, np.ndarray], version: str) -> dict[str, Any]:
    """The version is recognizable as in real files: by a text or by the joint positions."""
    members: dict[str, Any] = dict(geometry)
    if version == "2023 Open":
        members["J_regressor"] = members["J_regressor"].copy()
        near = np.flatnonzero(np.abs(members["v_template"][:, 0]) < 0.09)
        for joint, position in _OPEN_JOINTS.items():
            group = near if joint == JAW else np.flatnonzero(members["weights"][:, joint] > 0.5)
            members["J_regressor"][joint] = 0
            members["J_regressor"][joint, group] = joint_regressor_weights(
                members["v_template"][group], np.array(position)
            )
    elif version:
        members["notice"] = f"made up in the layout of FLAME {version}"
    return members


class _Python2(pickle._Pickler):
    """Writes bytes as strings of Python 2, as in FLAME's files."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_bytes(self, data: bytes) -> None:
        self.write(b"T" + struct.pack("<i", len(data)) + data)
        self.memoize(data)

    dispatch[bytes] = save_bytes


def write_pickle(path: Path, members: dict[str, Any], protocol: int = 2, python2: bool = True) -> Path:
    """Write a .pkl like FLAME's: chumpy arrays, a sparse regressor; a fake chumpy module exists while writing."""
    chumpy, ch = types.ModuleType("chumpy"), types.ModuleType("chumpy.ch")
    ch.Ch = type("Ch", (), {"__module__": "chumpy.ch"})  # type: ignore[attr-defined]
    sys.modules.update({"chumpy": chumpy, "chumpy.ch": ch})
    try:
        wrapped = dict(members)
        for name in ("v_template", "shapedirs"):
            wrapped[name] = ch.Ch()
            wrapped[name].__dict__.update(x=members[name], _dirty_vars=set(), _itr=None, _parents=None)
        wrapped["J_regressor"] = sparse.csc_matrix(members["J_regressor"])
        wrapped["bs_type"], wrapped["bs_style"] = "lrotmin", "lbs"
        with path.open("wb") as stream:
            (_Python2 if python2 else pickle._Pickler)(stream, protocol).dump(wrapped)
    finally:
        del sys.modules["chumpy"], sys.modules["chumpy.ch"]
    if python2:
        data = path.read_bytes().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
        path.write_bytes(data.replace(b"cscipy.sparse._csc\n", b"cscipy.sparse.csc\n"))
    return path


def write_npz(path: Path, members: dict[str, Any]) -> Path:
    """Write the same members as an .npz without pickles."""
    np.savez(path, **members)
    return path


def write(folder: Path, version: str, suffix: str = ".pkl") -> Path:
    """Write a made-up file of a version."""
    path = folder / f"made_up{suffix}"
    return (write_pickle if suffix == ".pkl" else write_npz)(path, arrays(version))
