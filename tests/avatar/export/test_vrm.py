"""VRM 1.0: bones, terms and expressions in a file of its own reader; readers of others are in tests/system/web."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from avatar.export import posed, vrm, write_vrm
from avatar.export.vrm import EYE_HEIGHT, perfect_sync
from avatar.head.arkit import ARKIT_52
from avatar.jobs.vrm_presets import vrm_presets
from avatar.model.avatar import Avatar
from tests.avatar.export.readers import Glb

_SIDED = ("UpperArm", "LowerArm", "Hand", "UpperLeg", "LowerLeg", "Foot")
REQUIRED = {"hips", "spine", "head", *(f"{side}{name}" for side in ("left", "right") for name in _SIDED)}


@pytest.fixture(scope="module")
def file(tiny_avatar: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Glb:
    """A file with a gray texture, because that of a .glb takes seconds; one preset has an unknown name."""
    path = tmp_path_factory.mktemp("vrm") / "me.vrm"
    presets = vrm_presets()
    presets["happy"] |= {"unknown": 1.0}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vrm, "mesh_colors", lambda avatar: torch.full((8, 8, 3), 0.5))
        write_vrm(path, tiny_avatar, presets, "Given by the person.")
    return Glb.read(path)


def test_bones_are_those_that_vrm_requires_and_stand_on_the_ground(file: Glb) -> None:
    nodes = file.json["nodes"]
    bones = file.json["extensions"]["VRMC_vrm"]["humanoid"]["humanBones"]
    assert set(bones) >= REQUIRED
    parents = {child: number for number, node in enumerate(nodes) for child in node.get("children", [])}

    def place(number: int | None) -> np.ndarray:
        return np.zeros(3) if number is None else place(parents.get(number)) + nodes[number]["translation"]

    places = {name: place(bone["node"]) for name, bone in bones.items()}
    assert all(nodes[bone["node"]]["name"] == name for name, bone in bones.items())
    heights = [places[name][1] for name in ("leftFoot", "leftLowerLeg", "hips", "spine", "upperChest", "neck", "head")]
    assert heights == sorted(heights) and 0 <= heights[0] < 0.2
    assert places["leftEye"][0] > 0 > places["rightEye"][0] and places["leftHand"][0] > 0.5
    inverse = file.values(file.json["skins"][0]["inverseBindMatrices"]).reshape(-1, 4, 4)
    joints = file.json["skins"][0]["joints"]
    assert inverse[:, 3, :3] == pytest.approx(-np.array([place(joint) for joint in joints]), abs=1e-5)


def test_weights_of_zero_are_the_resting_face_and_one_is_the_pose(file: Glb, tiny_avatar: Avatar) -> None:
    (primitive,) = file.json["meshes"][0]["primitives"]
    names = file.json["meshes"][0]["extras"]["targetNames"]
    head = tiny_avatar.head
    still = file.values(primitive["attributes"]["POSITION"]) - np.array([0, EYE_HEIGHT, 0])
    corners = file.values(primitive["indices"])
    for name in (None, "jawOpen", "eyeBlinkLeft"):
        params = head.neutral_params(1)
        params.expression[:] = posed(tiny_avatar, {name: 1.0} if name else {}).expression
        expected = head.vertices(params)[0][head.faces.reshape(-1)]
        moved = still if name is None else still + file.values(primitive["targets"][names.index(name)]["POSITION"])
        assert moved[corners] == pytest.approx(expected.numpy(), abs=1e-5), name


def test_expressions_name_targets_that_exist(file: Glb) -> None:
    expressions = file.json["extensions"]["VRMC_vrm"]["expressions"]
    names = file.json["meshes"][0]["extras"]["targetNames"]
    assert set(expressions["custom"]) == {perfect_sync(name) for name in ARKIT_52}
    for name, entry in expressions["custom"].items():
        (bind,) = entry["morphTargetBinds"]
        assert perfect_sync(names[bind["index"]]) == name and bind["weight"] == 1
    found = {
        name: {names[bind["index"]]: bind["weight"] for bind in entry["morphTargetBinds"]}
        for name, entry in expressions["preset"].items()
    }
    assert found["aa"] == pytest.approx(vrm_presets()["aa"]) and found["aa"]["jawOpen"] > 0.2
    assert found["lookLeft"] == {"eyeLookOutLeft": 1, "eyeLookInRight": 1}
    assert all(found.values()) and set(found["happy"]) == set(vrm_presets()["happy"])  # not the unknown one


def test_terms_are_the_most_restrictive_and_carry_the_consent(file: Glb) -> None:
    meta = file.json["extensions"]["VRMC_vrm"]["meta"]
    assert meta["copyrightInformation"] == "Given by the person." and meta["name"] == "me"
    assert [key for key, value in meta.items() if value is True] == []
    assert (meta["avatarPermission"], meta["modification"]) == ("onlyAuthor", "prohibited")
