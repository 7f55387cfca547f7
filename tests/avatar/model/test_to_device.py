"""An avatar on another device leaves no tensor behind; torch's `meta` device shows it without a GPU."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from avatar.model.avatar import Avatar
from avatar.model.parts.mesh_layer import MeshLayer
from avatar.model.parts.person import PoseCorrector, TorsoRegression
from avatar.model.to_device import to_device


def tensors(value: Any, path: str, seen: set[int]) -> Iterator[tuple[str, Tensor]]:
    """All tensors that `value` holds, however deep, with their path."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, Tensor):
        yield path, value
    elif isinstance(value, Mapping):
        for name, entry in value.items():
            yield from tensors(entry, f"{path}.{name}", seen)
    elif isinstance(value, (list, tuple)):
        for index, entry in enumerate(value):
            yield from tensors(entry, f"{path}.{index}", seen)
    elif type(value).__module__.startswith("avatar") and hasattr(value, "__dict__"):
        yield from tensors(vars(value), path, seen)


@pytest.fixture
def whole(tiny_avatar: Avatar) -> Avatar:
    """An avatar with all optional parts."""
    avatar = copy.deepcopy(tiny_avatar)
    avatar.add_part(MeshLayer(avatar.head))
    avatar.add_part(TorsoRegression("capture", torch.zeros(6, 7), torch.ones(7)))
    tensors = torch.zeros(12), torch.zeros(12, 2), torch.zeros(5), torch.ones(5), torch.zeros(6, 5)
    avatar.add_part(PoseCorrector("capture", *tensors))
    return avatar


def test_all_tensors_of_an_avatar_move(whole: Avatar) -> None:
    names = {path for path, _ in tensors(whole, "avatar", set())}
    parts = (
        "head.faces",
        "head.regions.lips",
        "_modules.parts._modules.torso_regression._buffers.weight",
        "_modules.parts._modules.pose_corrector._buffers.low",
    )
    assert {f"avatar.{part}" for part in parts} <= names and any(name.endswith("mesh.texel_ids") for name in names)
    found = dict(tensors(whole.to("meta"), "avatar", set()))
    cached = {"avatar.head._rest_joints.0", "avatar.head._rest_joints.1", "avatar.head.expression_limits"}
    assert names - set(found) <= cached  # computed again where the head is now
    assert [path for path, tensor in found.items() if tensor.device.type != "meta"] == []


def test_a_move_to_the_same_device_changes_nothing(whole: Avatar) -> None:
    layer = whole.part(MeshLayer)
    assert layer is not None
    before = whole.head, layer.mesh, whole.part(TorsoRegression), whole.part(PoseCorrector)
    whole.to("cpu")
    after = whole.head, layer.mesh, whole.part(TorsoRegression), whole.part(PoseCorrector)
    assert all(a is b for a, b in zip(before, after, strict=True))


def test_values_of_any_kind_move_and_those_without_tensors_stay_the_same() -> None:
    value = {"a": [torch.zeros(2), "b"], "c": (torch.zeros(1), None), "d": ("e", 1)}
    there = to_device(value, torch.device("meta"))
    assert there["a"][0].device.type == there["c"][0].device.type == "meta"
    assert there["a"][1] == "b" and there["c"][1] is None and there["d"] is value["d"]
    assert to_device(value, torch.device("cpu")) is value
