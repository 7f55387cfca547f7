"""The head of SMPL-X files is read, and our skinning equals that of the smplx package where it is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avatar.errors import HeadsplatError
from avatar.head.flame.anatomy import file_head
from avatar.head.flame.source import read_flame
from avatar.types import JOINT_NAMES

from .made_up import tiny_arrays, write_npz

_HEAD_JOINTS = (12, 15, 22, 23, 24)


def _body() -> dict[str, Any]:
    """A made-up body in SMPL-X's layout: the tiny head's points and the same number on the chest."""
    head, random = tiny_arrays("2020"), np.random.default_rng(2)
    count = len(head["v_template"])
    points = np.vstack([head["v_template"], random.uniform(-0.3, -0.2, (count, 3))])
    weights = np.zeros((2 * count, 55))
    weights[:count, list(_HEAD_JOINTS)] = head["weights"]
    weights[count:, 9] = 1
    regressor = np.zeros((55, 2 * count))
    regressor[:, count:] = 1 / count
    regressor[list(_HEAD_JOINTS)] = 0
    regressor[list(_HEAD_JOINTS), :count] = head["J_regressor"]
    posedirs = random.normal(0, 1e-5, (2 * count, 3, 486))
    return {
        "v_template": points,
        "f": np.vstack([head["f"], head["f"] + count]),
        "shapedirs": random.normal(0, 1e-3, (2 * count, 3, 20)),
        "posedirs": posedirs,
        "J_regressor": regressor,
        "kintree_table": np.zeros((2, 55)),
        "weights": weights,
    }


def test_the_head_of_a_body_keeps_its_points_joints_and_correctives(tmp_path: Path) -> None:
    body = _body()
    read = read_flame(write_npz(tmp_path / "SMPLX_NEUTRAL.npz", body))
    count = len(body["v_template"]) // 2
    assert read.version.name == "SMPL-X head" and "non-commercial" in read.version.license
    assert np.allclose(read.v_template, body["v_template"][:count])
    assert np.array_equal(read.faces, body["f"][: len(read.faces)]) and read.faces.max() < count
    joints = body["J_regressor"][list(_HEAD_JOINTS)] @ body["v_template"]
    assert np.allclose(read.regressor @ read.v_template, joints, atol=1e-9)
    assert read.identity.shape[2] == read.expressions.shape[2] == 10
    assert np.array_equal(read.posedirs[:, :, 9:18], body["posedirs"][:count, :, 9 * 21 : 9 * 22])  # the jaw's


def test_a_body_with_inconsistent_arrays_is_refused_by_name(tmp_path: Path) -> None:
    body = _body()
    body["posedirs"] = body["posedirs"][:, :, :36]
    with pytest.raises(HeadsplatError, match=r"SMPLX\.npz: `posedirs` expected \[120,3,486\]"):
        read_flame(write_npz(tmp_path / "SMPLX.npz", body))


def test_our_skinning_equals_that_of_smplx(tmp_path: Path) -> None:
    """To 1e-8 m for identity and pose; in smplx, unlike here, expressions also move joints."""
    lbs = pytest.importorskip("smplx.lbs", reason="the optional package smplx is not installed")
    arrays = read_flame(write_npz(tmp_path / "made_up.npz", tiny_arrays("2023")))
    head = file_head(arrays)
    double = {
        name: getattr(head, name).double()
        for name in ("v_template", "shapedirs", "exprdirs", "joint_dirs", "curvedirs", "posedirs", "J_regressor")
    }
    head = type(head)(**{**vars(head), **double, "lbs_weights": head.lbs_weights.double()})
    params = head.neutral_params(4)
    random = torch.Generator().manual_seed(0)
    params.joint_rot[:] = 0.4 * torch.randn(params.joint_rot.shape, generator=random, dtype=torch.float64)
    params.identity[:] = torch.randn(params.identity.shape, generator=random, dtype=torch.float64)
    expected, _ = lbs.lbs(
        params.identity.expand(4, -1),
        params.joint_rot.reshape(4, 3 * len(JOINT_NAMES)),
        head.v_template[None].expand(4, -1, -1),
        head.shapedirs,
        head.posedirs.reshape(-1, 36).T,
        head.J_regressor,
        torch.tensor(head.parents),
        head.lbs_weights,
    )
    difference = (head.vertices(params) - expected).abs().max()
    assert difference < 1e-8, f"{difference:.2e} m"  # smplx adds 1e-8 to rotation vectors
