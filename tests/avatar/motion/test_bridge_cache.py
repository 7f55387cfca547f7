"""Bridges are cached in the user's cache folder, and the cache never changes results."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avatar.common.cache import user_cache
from avatar.motion import bridge as bridges
from avatar.motion import load_bridge
from avatar.motion.bridge_fit import Fit

from .made_up import arkit_head, flame_head


def same(a: Fit, b: Fit) -> bool:
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in Fit.__dataclass_fields__)


def test_cached_bridge_is_the_fresh_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = load_bridge(arkit_head(), flame_head(), tmp_path)

    def never(*heads: object) -> Fit:
        raise AssertionError("fitted again")

    monkeypatch.setattr(bridges, "fit_bridge", never)
    assert same(load_bridge(arkit_head(), flame_head(), tmp_path).fit, fresh.fit)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 not a zip", b"\x93NUMPY\x01\x00"])
def test_damaged_cache_is_fitted_again(tmp_path: Path, damage: bytes) -> None:
    fresh = load_bridge(arkit_head(), flame_head(), tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    path.write_bytes(damage)
    assert same(load_bridge(arkit_head(), flame_head(), tmp_path).fit, fresh.fit)
    assert len(path.read_bytes()) == len(whole)


@pytest.mark.parametrize("change", ["shape", "nan", "column"])
def test_cache_with_wrong_arrays_is_fitted_again(tmp_path: Path, change: str) -> None:
    fresh = load_bridge(arkit_head(), flame_head(), tmp_path).fit
    (path,) = tmp_path.iterdir()
    wrong = {
        "shape": {"named": fresh.named[:-1]},
        "nan": {"coupling": fresh.coupling * np.nan},
        "column": {"fitted": fresh.fitted + 10**6},
    }[change]
    np.savez(path, **{**vars(fresh), **wrong})
    assert same(load_bridge(arkit_head(), flame_head(), tmp_path).fit, fresh)


def test_truncated_cache_is_fitted_again(tmp_path: Path) -> None:
    fresh = load_bridge(arkit_head(), flame_head(), tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-2000])
    assert same(load_bridge(arkit_head(), flame_head(), tmp_path).fit, fresh.fit)


def test_each_pair_direction_and_landmark_embedding_has_its_own_file(tmp_path: Path) -> None:
    head, flame = arkit_head(), flame_head()
    other = replace(flame, landmark_bary=flame.landmark_bary.roll(1, 1))
    for a, b in ((head, flame), (flame, head), (head, other)):
        load_bridge(a, b, tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


def test_bridge_is_fitted_without_a_writable_cache(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    found, _ = load_bridge(arkit_head(), flame_head(), blocked)(torch.zeros(1, 54), torch.zeros(1, 5, 3))
    assert not found.any()


def test_bridges_are_cached_in_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSPLAT_CACHE", str(tmp_path))
    load_bridge(arkit_head(), arkit_head())
    assert [path.suffix for path in user_cache("bridges").iterdir()] == [".npz"]
    assert user_cache("bridges").parent == tmp_path
