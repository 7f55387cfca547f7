"""The VRM file as its readers see it: three-vrm in a browser, and Khronos's validator of glTF."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from avatar.export import write_vrm
from avatar.export.vrm import perfect_sync
from avatar.head.arkit import ARKIT_52
from avatar.jobs.vrm_presets import vrm_presets
from avatar.model.avatar import Avatar
from tests.support.browser import Page
from tests.support.three_js import glb_faults, install_three
from tests.support.web_site import serve, visit

_PACKAGES = ("@pixiv/three-vrm@3.5.5", "gltf-validator@2.0.0-dev.3.10")
_PRESETS = ("happy", "angry", "sad", "relaxed", "surprised", "aa", "ih", "ou", "ee", "oh", "blink", "blinkLeft",
            "blinkRight", "lookUp", "lookDown", "lookLeft", "lookRight")  # fmt: skip
#: Shows me.vrm with three-vrm; `take(weights, head)` is an image of the face, with the head turned by radians.
_PAGE = """<!doctype html><meta charset="utf-8"><script type="importmap">{"imports": {
"three": "./node_modules/three/build/three.module.js", "three/addons/": "./node_modules/three/examples/jsm/",
"@pixiv/three-vrm": "./node_modules/@pixiv/three-vrm/lib/three-vrm.module.js"}}</script><script type="module">
import * as THREE from "three";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import { VRMLoaderPlugin } from "@pixiv/three-vrm";
const renderer = new THREE.WebGLRenderer({ preserveDrawingBuffer: true });
renderer.setSize(400, 400);
document.body.append(renderer.domElement);
const scene = new THREE.Scene();
scene.background = new THREE.Color("white");
const camera = new THREE.PerspectiveCamera(30, 1, 0.1, 20);
const loader = new GLTFLoader();
loader.register((parser) => new VRMLoaderPlugin(parser));
const gltf = await loader.loadAsync("me.vrm");
const { vrm } = gltf.userData;
scene.add(vrm.scene);
globalThis.vrm = vrm;
globalThis.take = (weights, turn = 0, look = null) => {
  vrm.expressionManager.resetValues();
  for (const [name, weight] of Object.entries(weights)) vrm.expressionManager.setValue(name, weight);
  vrm.humanoid.getNormalizedBoneNode("head").rotation.y = turn;
  vrm.lookAt.target = null;
  if (look) Object.assign(vrm.lookAt, { yaw: look[0], pitch: look[1] });
  vrm.update(0.01);
  const eyes = vrm.lookAt.getLookAtWorldPosition(new THREE.Vector3());
  camera.position.set(0, eyes.y - 0.03, 0.75);
  renderer.render(scene, camera);
  return renderer.domElement.toDataURL();
};
globalThis.isReady = true;
</script>"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, layered: Avatar) -> Path:
    path = tmp_path_factory.mktemp("vrm")
    if reason := install_three(path, *_PACKAGES):
        pytest.skip(reason)
    write_vrm(path / "me.vrm", layered, vrm_presets(), "Given by the person.")
    (path / "index.html").write_text(_PAGE, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def scene(page: Page, folder: Path) -> Iterator[Page]:
    with serve(folder) as address:
        visit(page, f"{address}/index.html")
        page.wait("globalThis.isReady")
        yield page


def taken(page: Page, weights: dict[str, float], more: str = "") -> np.ndarray:
    """RGB [H,W,3] of the face with weights of expressions by name; `more`: further arguments of `take`."""
    return page.image(f"take({json.dumps(weights)}{more})").astype(int)


def changed(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Pixels [H,W] that differ."""
    return np.abs(one - other).max(-1) > 10


def test_three_vrm_finds_all_expressions_bones_and_terms(scene: Page) -> None:
    names = scene.run("vrm.expressionManager.expressions.map((entry) => entry.expressionName)")
    assert sorted(names) == sorted((*_PRESETS, *map(perfect_sync, ARKIT_52)))
    assert scene.run("Object.values(vrm.humanoid.humanBones).length") >= 15 + 5
    meta = scene.run("vrm.meta")
    assert meta["metaVersion"] == "1" and meta["avatarPermission"] == "onlyAuthor"
    assert meta["copyrightInformation"] == "Given by the person." and meta["allowRedistribution"] is False


def test_the_face_moves_where_an_expression_is(scene: Page) -> None:
    rest = taken(scene, {})
    assert rest.std() > 20
    jaw, lids = (changed(taken(scene, {name: 1}), rest) for name in ("JawOpen", "blink"))
    assert jaw.sum() > 500 and lids.sum() > 200
    assert np.nonzero(jaw)[0].mean() > np.nonzero(lids)[0].mean() + 40  # rows: the mouth is below the eyes
    for name in (*_PRESETS, "TongueOut", "MouthSmileLeft"):
        assert changed(taken(scene, {name: 1}), rest).sum() > 20, name
    assert not changed(taken(scene, {}), rest).any()


def test_sides_are_those_of_the_person(scene: Page) -> None:
    """The person's left is at the right of the image."""
    rest = taken(scene, {})
    for name, sign in (("blinkLeft", 1), ("blinkRight", -1)):
        assert sign * (np.nonzero(changed(taken(scene, {name: 1}), rest))[1].mean() - 200) > 10
    turned = changed(taken(scene, {}, ", 0.4"), rest)
    assert turned.sum() > 2000
    pupil = {yaw: taken(scene, {}, f", 0, [{yaw}, 0]") for yaw in (-25, 25)}
    assert changed(pupil[25], rest).sum() > 20 and changed(pupil[-25], pupil[25]).sum() > 40


def test_the_validator_of_khronos_finds_no_fault(folder: Path) -> None:
    """It does not know VRMC_vrm, and reports that and bones without children."""
    assert glb_faults(folder, folder / "me.vrm") <= {"UNSUPPORTED_EXTENSION", "NODE_EMPTY"}
