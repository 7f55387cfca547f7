"""The reference reader of .hsa files in examples/ poses as the engine does, and as the page does."""

from __future__ import annotations

import json
import shutil
import subprocess
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avatar.export.layer_gaussians import with_layer
from avatar.export.posed import posed
from avatar.export.web import web_container
from avatar.geometry.rotations import SH_C0
from avatar.model.avatar import Avatar
from avatar.model.blendshapes import Blendshapes
from avatar.model.parts.mesh_layer import MeshLayer
from avatar.model.parts.pose_blendshapes import TERMS, WIDTH, PoseBlendshapes
from avatar.model.parts.weight_network import WeightNetwork
from avatar.types import HeadParams
from examples.hsa_light import layer_light
from examples.hsa_reader import Hsa
from tests.avatar.export.test_hsa_reader import VECTORS, differences, gaussians_of, within

ROOT = Path(__file__).parents[2]
#: Poses an avatar by the code of the page: means [N,3], axes times deviations [N,3,3], colors, opacities, skull frame.
PAGE = """
import { readFileSync } from "node:fs";
import { Container } from "./container/container.js";
import { AVATAR } from "./container/avatar_container.js";
import { PosedAvatar } from "./avatar/posed_avatar.js";
const { buffer } = new Uint8Array(readFileSync(process.argv[2]));
const posed = JSON.parse(readFileSync(process.argv[3], "utf8")).poses.map((pose) => {
  const avatar = new PosedAvatar(new Container(buffer, AVATAR));
  avatar.pose({ ...pose, jointRot: pose.joint_rot.flat() });
  const { means, axes, colors, opacities } = avatar.gaussians;
  return { means: [...means], axes: [...axes], colors: [...colors], opacities: [...opacities] };
});
console.log(JSON.stringify(posed));
"""


def by_engine(avatar: Avatar, params: HeadParams) -> dict[str, Any]:
    """The Gaussians of the engine, with those of the mesh layer, by the names of the test vectors."""
    found = with_layer(avatar(params))
    colors = found.sh[:, :, 0] * SH_C0 + 0.5
    values = {"means": found.means, "quats": found.quats, "scales": found.scales, "opacities": found.opacities}
    return {name: value[0].numpy() for name, value in {**values, "colors": colors}.items()}


@pytest.fixture(scope="module")
def whole(tiny_avatar: Avatar) -> Avatar:
    """An avatar with every part that the container has."""
    avatar = deepcopy(tiny_avatar).requires_grad_(False)
    noise = torch.Generator().manual_seed(0)
    avatar.add_part(MeshLayer(avatar.head).requires_grad_(False))
    avatar.blendshapes.basis += 0.03 * torch.randn(avatar.blendshapes.basis.shape, generator=noise)
    avatar.rig.torso.weight += 0.05 * torch.randn(6, 7, generator=noise)
    avatar.rig.torso.limit.fill_(0.3)
    basis = 0.1 * torch.randn(TERMS, len(avatar), WIDTH, generator=noise)
    basis[:, : avatar.blendshapes.count, :3] = 0
    avatar.add_part(PoseBlendshapes(basis).requires_grad_(False))
    network = WeightNetwork(len(avatar.blendshapes.mean), avatar.blendshapes.basis.shape[0], 4)
    network.randomize(1)
    avatar.add_part(network.requires_grad_(False))
    return avatar


KINDS = ("every part", "skin in the layer", "no layer, no stretch", "offsets by expression")


@pytest.mark.parametrize("kind", KINDS)
def test_the_reader_poses_every_kind_of_avatar_as_the_engine_does(whole: Avatar, kind: str) -> None:
    avatar = deepcopy(whole)
    if kind == "skin in the layer":
        avatar.add_part(MeshLayer(avatar.head, skin=True).requires_grad_(False))
    elif kind == "no layer, no stretch":
        avatar.remove_part(MeshLayer)
        avatar.remove_part(PoseBlendshapes)
        avatar.remove_part(WeightNetwork)
        avatar.rig.stretch = None
    elif kind == "offsets by expression":
        avatar.remove_part(WeightNetwork)
        features = torch.rand(9, len(avatar.blendshapes.mean), generator=torch.Generator().manual_seed(0))
        avatar.blendshapes = Blendshapes("expression", features, 0, 300).requires_grad_(False)
        avatar.blendshapes.basis.normal_(0, 0.02, generator=torch.Generator().manual_seed(1))
    hsa = Hsa(web_container(avatar, {}, "me"))
    hsa.light = layer_light
    params = posed(
        avatar, {"jawOpen": 0.6, "mouthSmileLeft": 0.5, "eyeBlinkLeft": 1, "eyeLookUpRight": 0.5}, (25, 10, -5)
    )
    params.joint_rot[:, 2:] = torch.tensor([[0.05, 0.02, 0], [0.1, -0.1, 0], [0.05, 0.1, 0]])
    arrays = {name: getattr(params, name)[0].numpy() for name in ("expression", "joint_rot", "translation")}
    found = gaussians_of(hsa, arrays)
    # The bases of this avatar are noise of 5 mm, several times what a training finds, and its 8 bits are as coarse.
    tolerances = {"means": 1e-3, "rotations": 6, "scales": 0.02, "opacities": 0.1, "colors": 0.1}
    assert within(differences(found, by_engine(avatar, params)), tolerances)


def test_rest_is_the_mean_pose_of_the_engine(whole: Avatar) -> None:
    hsa = Hsa(web_container(whole, {}, "me"))
    params = posed(whole, {}, (20, 0, 0))
    joint_rot, translation = hsa.rest([0, np.radians(20), 0])
    np.testing.assert_allclose(joint_rot, params.joint_rot[0], atol=1e-6)
    np.testing.assert_allclose(translation, params.translation[0], atol=1e-6)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, list[float]]]:
    """The poses of the test vectors by the code of the page, in Node.js."""
    if shutil.which("node") is None:
        pytest.skip("needs Node.js (apt-get install nodejs)")
    folder = tmp_path_factory.mktemp("page") / "src"
    shutil.copytree(ROOT / "viewer" / "web" / "src", folder)
    (folder / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    (folder / "vectors.js").write_text(PAGE, encoding="utf-8")
    vectors = ROOT / "examples" / "hsa_vectors"
    command = ["node", folder / "vectors.js", vectors / "sample.hsa", vectors / "vectors.json"]
    found: list[dict[str, list[float]]] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return found


@pytest.mark.parametrize("number", range(len(VECTORS["poses"])), ids=lambda k: VECTORS["poses"][k]["name"])
def test_the_page_poses_as_the_reader_does(page: list[dict[str, list[float]]], number: int) -> None:
    hsa, pose, found = (
        Hsa((ROOT / "examples/hsa_vectors/sample.hsa").read_bytes()),
        VECTORS["poses"][number],
        page[number],
    )
    turns = np.array(pose["joint_rot"]) + hsa.joint_dirs @ pose["expression"]
    R, t = hsa.kinematics(turns, pose["translation"])[1]
    expected, count = gaussians_of(hsa, pose), len(found["opacities"])
    axes = (expected["rotations"] * expected["scales"][:, None])[:count]
    # The page sums 8-bit rows in whole numbers and keeps float32.
    np.testing.assert_allclose(np.reshape(found["means"], (-1, 3)) @ R.T + t, expected["means"][:count], atol=2e-6)
    np.testing.assert_allclose(R @ np.reshape(found["axes"], (-1, 3, 3)), axes, atol=2e-6)
    np.testing.assert_allclose(
        np.reshape(found["colors"], (-1, 3)), np.maximum(expected["colors"][:count], 0), atol=1e-4
    )
    np.testing.assert_allclose(found["opacities"], expected["opacities"][:count], atol=1e-4)
